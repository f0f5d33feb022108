"""Signals on their way in: which of the bundle's sources is meant, and a row of its fields."""

from __future__ import annotations

from collections.abc import Mapping

from quickthorn.bundle import Manifest, SignalSummary
from quickthorn.errors import SignalError
from quickthorn.event import Signal


def source_named(manifest: Manifest, source: object) -> tuple[int, SignalSummary]:
    """The source of that name, or declared by that class, with its number in the libraries; SignalError for another."""
    name = source.source.name if isinstance(source, type) and issubclass(source, Signal) else source
    for number, summary in enumerate(manifest.signals):
        if summary.name == name:
            return number, summary
    declared = ", ".join(summary.name for summary in manifest.signals) or "none"
    raise SignalError(f"signal: expected a source that the bundle reads, {declared}, found {name!r}")


def as_row(source: SignalSummary, key: object, values: object, at: object) -> dict[str, object]:
    """A signal as a row of its source's fields, of which only the names are checked here."""
    if not isinstance(values, Mapping):
        raise SignalError(f"{source.name}: expected values by name, found {values!r}")
    names = [field.name for field in source.fields[1:-1]]
    for name in values:
        if name not in names:
            raise SignalError(f"{source.name}: expected values named {', '.join(names)}, found {name!r}")
    return {**values, source.fields[0].name: key, source.fields[-1].name: at}
