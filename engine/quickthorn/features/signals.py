"""Third-party signals: what a source last said of an entity, how long ago, and whether it may still be relied on.

A source is declared as a class (:class:`quickthorn.Signal`), told by ``engine.signal()``, and read by the entity of an
event that it is about. Only what was said at or before the event's own time is read; docs/SIGNALS.md has the rules.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, TypeAlias

from quickthorn.errors import FeatureError
from quickthorn.event import Category, Entity, Field
from quickthorn.event.signal import Signal, Source, source_of
from quickthorn.features.durations import duration_us

Kind: TypeAlias = Literal["value", "age", "status"]

# What signal_status gives.
OK, MISSING, STALE, NULL = 0.0, 1.0, 2.0, 3.0


@dataclass(frozen=True)
class SignalValue:
    """The "value" or "status" of one field of a source, or the source's "age" or "status" where there is no field.

    ``by`` is the entity of the event that the signal is about. A signal as old as ``ttl_us`` or older is stale.
    """

    source: Source
    kind: Kind
    field: Field | None
    by: Entity
    ttl_us: int


@dataclass(frozen=True)
class SignalPlan:
    """Who is looked up in which source, with the values read: values[value_first : value_first + len(values)]."""

    source: Source
    source_index: int
    by: Entity
    values: tuple[SignalValue, ...]
    value_first: int


def signal_value(field: object, *, by: Entity | None, ttl: str | timedelta) -> SignalValue:
    """What the source last said of the entity, as kernels see such a field; missing where it is not there or stale.

    ``field``  a value of a source, such as ``Bureau.score``
    ``by``     the entity of the event that the signal is about
    ``ttl``    how long a signal may be relied on: one exactly so old, or older, is stale
    """
    source, value = _read(field, "signal_value")
    if value is None:
        example = f"{source.name}.{source.values[0].name}"
        raise FeatureError(f"signal_value: expected a value of the source, such as {example}, found {source.name}")
    if isinstance(value, Category) and not value.values:
        raise FeatureError(f"signal_value: {value!r} needs field(values=(...)) before it can be a feature")
    return SignalValue(source, "value", value, _entity(by, "signal_value"), _lifetime(ttl, "signal_value"))


def signal_status(what: object, *, by: Entity | None, ttl: str | timedelta) -> SignalValue:
    """How it stands with a source, or one value of it: 0 ok, 1 missing, 2 stale, and of a value 3 null.

    Missing is a source that never said anything of the entity by the event's time, whose entity the event lacks, or
    whose key was forgotten. Null is a signal that is neither missing nor stale and has no such value.
    """
    source, value = _read(what, "signal_status")
    return SignalValue(source, "status", value, _entity(by, "signal_status"), _lifetime(ttl, "signal_status"))


def signal_age(what: object, *, by: Entity | None) -> SignalValue:
    """Seconds from the source's last signal of the entity to the event, stale or not; missing where there is none."""
    source, _ = _read(what, "signal_age")
    return SignalValue(source, "age", None, _entity(by, "signal_age"), 0)


def signal_plans(values: Iterable[SignalValue], value_first: int) -> tuple[SignalPlan, ...]:
    """One plan for each source and entity, in the order of first use; FeatureError for two sources of one name."""
    by_lookup: dict[tuple[Source, Entity], dict[SignalValue, None]] = {}
    for value in values:
        by_lookup.setdefault((value.source, value.by), {})[value] = None
    sources = list(dict.fromkeys(source for source, _ in by_lookup))
    names = [source.name for source in sources]
    for name in names:
        if names.count(name) > 1:
            raise FeatureError(f"signals: expected sources of different names, found two that are called {name}")
    plans = []
    for (source, by), read in by_lookup.items():
        plans.append(SignalPlan(source, sources.index(source), by, tuple(read), value_first))
        value_first += len(read)
    return tuple(plans)


def sources_of(plans: Iterable[SignalPlan]) -> tuple[Source, ...]:
    """The sources, by their numbers."""
    return tuple(dict.fromkeys(plan.source for plan in plans))


def _read(what: object, where: str) -> tuple[Source, Field | None]:
    if isinstance(what, type) and issubclass(what, Signal) and what is not Signal:
        return what.source, None
    source = source_of(what) if isinstance(what, Field) else None
    if source is None:
        raise FeatureError(f"{where}: expected a source of signals or a value of one, found {what!r}")
    assert isinstance(what, Field)
    return source, what


def _entity(by: object, where: str) -> Entity:
    if not isinstance(by, Entity):
        raise FeatureError(f"{where}(by=): expected an Entity field of the event class, found {by!r}")
    return by


def _lifetime(ttl: str | timedelta, where: str) -> int:
    ttl_us = duration_us(ttl, f"{where}(ttl=)")
    if ttl_us == 0:
        raise FeatureError(f"{where}(ttl=): expected more than 0, found {ttl!r}")
    return ttl_us
