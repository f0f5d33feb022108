"""What third parties say of entities: the latest signal of each key, as of an event."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from quickthorn.event.signal import Source
from quickthorn.features.declare import FeatureSet, parts_of
from quickthorn.features.signals import MISSING, NULL, OK, STALE, SignalValue
from quickthorn.reference.event import Row, number_of, read_event


class Signals:
    """The latest signal of every key of one source, and what is read of it."""

    def __init__(self, source: Source, values: tuple[SignalValue, ...], features: FeatureSet) -> None:
        self.source = source
        self.values = values
        self.time = features.schema.event_time.name
        self.lateness_us = features.lateness_us
        self.expire_after_us = features.expire_after_us
        self.clock_us: int | None = None  # the largest time of an event that was let in
        self.latest: dict[str, Row] = {}

    def tell(self, key: object, values: Mapping[str, object], at: object) -> str:
        """Keep a signal; "late" where a newer one is known of its key, or it is too old for any event to see."""
        signal = read_event(self.source, {**values, self.source.key.name: key, "at": at})
        known = self.latest.get(signal[self.source.key.name])
        if known is not None and signal["at"] < known["at"]:
            return "late"
        if self.clock_us is not None and self.is_expired(signal, self.clock_us - self.lateness_us):
            return "late"
        self.latest[signal[self.source.key.name]] = signal
        return "ok"

    def pass_time(self, at_us: int) -> None:
        """The stream of events has come at least this far."""
        self.clock_us = at_us if self.clock_us is None else max(self.clock_us, at_us)

    def is_expired(self, signal: Row, judged_us: int) -> bool:
        """Whether the key was idle for so long that it is forgotten."""
        return self.expire_after_us > 0 and judged_us - int(signal["at"]) >= self.expire_after_us

    def read(self, row: Row, with_current: bool) -> dict[SignalValue, float]:
        """Every value at the event's time; whether the event itself counts makes no difference."""
        return {value: self.value(value, row) for value in self.values}

    def value(self, value: SignalValue, row: Row) -> float:
        """One value at the event's time."""
        now_us: int = row[self.time]
        judged_us = now_us if self.clock_us is None else max(now_us, self.clock_us - self.lateness_us)
        signal = self.latest.get(row[value.by.name])
        # What was said later than the event is none of its business, and what was said before that is not kept.
        if signal is None or signal["at"] > now_us or self.is_expired(signal, judged_us):
            return MISSING if value.kind == "status" else math.nan
        age_us = now_us - signal["at"]
        if value.kind == "age":
            return float(age_us) / 1e6
        said = math.nan if value.field is None else number_of(value.field, signal[value.field.name])
        is_stale = age_us >= value.ttl_us
        if value.kind == "value":
            return math.nan if is_stale else said
        if is_stale:
            return STALE
        return NULL if value.field is not None and math.isnan(said) else OK


def signals_of(features: FeatureSet) -> dict[str, Signals]:
    """The sources that the feature set reads, by name."""
    parts = (part for name in features.names for part in parts_of(features.expression(name)))
    read: dict[Source, dict[Any, None]] = {}
    for part in parts:
        if isinstance(part, SignalValue):
            read.setdefault(part.source, {})[part] = None
    return {source.name: Signals(source, tuple(values), features) for source, values in read.items()}
