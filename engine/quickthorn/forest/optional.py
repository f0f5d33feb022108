"""Importing the libraries that only compiling needs, at the moment they are needed."""

from __future__ import annotations

import importlib
from types import ModuleType

from quickthorn.errors import MissingExtraError

_EXTRA_OF = {"treelite": "compile", "xgboost": "train", "lightgbm": "train"}


def import_library(package: str, purpose: str) -> ModuleType:
    """Import treelite, xgboost or lightgbm; raises MissingExtraError naming the extra that brings it."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        # A broken installation fails on some other name: hiding that behind "install it" would mislead.
        if error.name is not None and error.name.partition(".")[0] != package:
            raise
        raise MissingExtraError(package, _EXTRA_OF[package], purpose) from error
