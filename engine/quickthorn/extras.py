"""Optional packages, imported at the moment they are needed."""

from __future__ import annotations

import importlib
from types import ModuleType

from quickthorn.errors import MissingExtraError


def require(module: str, extra: str, purpose: str) -> ModuleType:
    """Import ``module``, or raise MissingExtraError saying what needs it and which extra brings it."""
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        # A package that is there but fails inside for want of another is a different fault, and keeps its own message.
        if error.name is not None and error.name.partition(".")[0] != package:
            raise
        raise MissingExtraError(package, extra, purpose) from error
