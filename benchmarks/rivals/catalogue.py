"""Every adapter there is, ours first."""

from __future__ import annotations

import re
from importlib import import_module

from benchmarks.rivals.adapter import Adapter

MODULES = (
    "quickthorn",
    "xgboost",
    "lightgbm",
    "catboost",
    "lleaves",
    "tl2cgen",
    "treelite_gtil",
    "onnx_runtime",
    "ydf",
    "onedal",
)


def adapters() -> tuple[Adapter, ...]:
    """All of them; their libraries are imported only when they are used."""
    modules = [import_module(f"benchmarks.rivals.{name}") for name in MODULES]
    return tuple(adapter for module in modules for adapter in module.ADAPTERS)


def adapter_named(name: str) -> Adapter:
    """The adapter of this name."""
    return next(adapter for adapter in adapters() if adapter.name == name)


def is_ours(name: str) -> bool:
    """Whether an adapter's name is one of Quickthorn's own."""
    return name.startswith("Quickthorn")


def slug(name: str) -> str:
    """An adapter's name as a folder's."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
