"""Hypothesis strategies for event classes, feature sets over every family, and streams of their events."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

import quickthorn as qt
from quickthorn.event import Field

S = 1_000_000
WORDS = ["a", "b", "de", "a@b.c", "Ann Lee", "x1", "ü", ""]
KEYS: list[str | int] = ["a", "b", 7]
ENCODING = qt.Encoding("ordinal", {"a": 0.0, "b": 1.0, "7": 2.5}, unknown=-1.0)
# Steps of event time that meet the ends of windows, of tiles and of the lateness, and miss each by a microsecond.
STEPS_US = [0, 0, 0, 1, -1, S // 2, S, S, S - 1, S + 1, 3 * S, 10 * S, 10 * S - 1, -S, -2 * S, -3 * S - 1, 30 * S]


@qt.kernel
def larger(one, other):  # type: ignore[no-untyped-def]
    return one if one > other else other


@qt.kernel
def is_large(value):  # type: ignore[no-untyped-def]
    return value > 100.0


@qt.stateful
class Rise:
    """By how much a value has risen since it was first seen, and how often."""

    first: float = math.nan
    times: int = 0

    def update(self, at, value):  # type: ignore[no-untyped-def]
        if self.times == 0:
            self.first = value
        self.times += 1

    def read(self, at, value):  # type: ignore[no-untyped-def]
        return value - self.first + self.times


@st.composite
def event_classes(draw: st.DrawFn) -> type[qt.Event]:
    """An event class with one to three entities and some fields of every kind, in any order and with any options."""
    fields: list[tuple[str, Any, Any]] = [("event_id", qt.Id, None), ("at", qt.EventTime, None)]
    for kind, least, most in (
        (qt.Entity, 1, 3),
        (qt.Money, 1, 2),
        (qt.Number, 2, 2),
        (qt.Boolean, 1, 1),
        (qt.Category, 1, 2),
        (qt.Text, 1, 2),
    ):
        for number in range(draw(st.integers(least, most))):
            options = None
            if kind is qt.Money:
                options = qt.field(scale=draw(st.integers(0, 4)), signed=draw(st.booleans()))
            if kind is qt.Category:
                options = qt.field(values=("a", "b", "de"))
            annotation = kind | None if draw(st.booleans()) else kind
            fields.append((f"{kind.__name__.lower()}_{number}", annotation, options))
    fields = draw(st.permutations(fields))
    body: dict[str, Any] = {"__annotations__": {name: annotation for name, annotation, _ in fields}}
    body |= {name: options for name, _, options in fields if options is not None}
    return type("Drawn", (qt.Event,), body | {"__module__": __name__})


class Declarations:
    """Draws single features of one event class, a family at a time."""

    def __init__(self, draw: st.DrawFn, event: type[qt.Event]) -> None:
        self.draw = draw
        self.at = event.schema.event_time
        self.entities = self.of(event, qt.Entity)
        self.money, self.numbers = self.of(event, qt.Money), self.of(event, qt.Number)
        self.booleans, self.categories, self.texts = (
            self.of(event, kind) for kind in (qt.Boolean, qt.Category, qt.Text)
        )

    @staticmethod
    def of(event: type[qt.Event], kind: type[Field]) -> list[Any]:
        return [field for field in event.schema.fields if isinstance(field, kind)]

    def one(self, values: list[Any]) -> Any:
        return self.draw(st.sampled_from(values))

    def by(self) -> Any:
        chosen = self.draw(st.permutations(self.entities))[: self.draw(st.integers(1, 2))]
        return tuple(chosen) if len(chosen) > 1 else chosen[0]

    def where(self) -> Any:
        return self.one([None, None, self.booleans[0], is_large(self.money[0]), is_large(self.numbers[0])])

    def kept(self) -> dict[str, Any]:
        return {"by": self.by(), "where": self.where()}

    def numeric(self) -> Any:
        return self.one([*self.money, *self.numbers, *self.booleans])

    def velocity(self) -> Any:
        options = self.kept() | {"over": self.one(["1us", "1s", "3s", "10s"])}
        options |= self.one([{}, {}, {"include_current": True}, {"delay": "1s"}])
        if "delay" not in options and self.draw(st.booleans()):
            options |= {"over": "10s", "tile": self.one(["1s", "5s", "10s"])}
        declare = self.one([None, qt.sum, qt.mean, qt.std, qt.variance, qt.min, qt.max])
        return qt.count(**options) if declare is None else declare(self.numeric(), **options)

    def distinct(self) -> Any:
        field = self.one([*self.entities, *self.categories, *self.texts])
        declare = self.one([qt.distinct, qt.distinct_is_exact])
        return declare(field, over=self.one(["3s", "30s"]), cap=self.one([1, 2, 32]), up_to=64, **self.kept())

    def recency(self) -> Any:
        declare = self.one([qt.since_last, qt.age, qt.is_new])
        return declare(**self.kept())

    def sequence(self) -> Any:
        declare = self.one([qt.last, qt.difference, qt.run_length, qt.changed])
        field = self.numeric() if declare in (qt.last, qt.difference) else self.one([*self.categories, *self.texts])
        return declare(field, **self.kept())

    def decay(self) -> Any:
        options = self.kept() | {"half_life": self.one(["1s", "10s"])}
        declare = self.one([None, qt.decayed_sum, qt.decayed_mean, qt.decayed_variance])
        return qt.decayed_count(**options) if declare is None else declare(self.one(self.money), **options)

    def ratio(self) -> Any:
        by = self.by()
        short, long = qt.count(by=by, over="1s"), qt.count(by=by, over="10s")
        money = self.one(self.money)
        return self.one(
            [qt.ratio(short, long), qt.share(short, long), qt.z_score(money, qt.max(money, by=by, over="10s"), 2.0)]
        )

    def amount(self) -> Any:
        return self.one([qt.log1p, qt.roundness, qt.decimal_part, qt.first_digit])(self.one(self.money))

    def calendar(self) -> Any:
        zone = self.one(["UTC", "Europe/Berlin", "America/New_York"])
        return self.one([qt.hour, qt.weekday, qt.day_of_month, qt.is_month_end, qt.is_night, qt.is_weekend])(
            self.at, zone=zone
        )

    def geography(self) -> Any:
        north, east = self.numbers
        by = self.by()
        last = qt.last(north, by=by), qt.last(east, by=by)
        return self.one(
            [
                qt.distance_km(north, east, 52.5, 13.4),
                qt.implied_speed_kmh(north, east, *last, qt.since_last(by=by)),
                qt.mismatch(self.categories[0], self.texts[0]),
            ]
        )

    def category(self) -> Any:
        field = self.one([*self.categories, *self.texts, *self.entities])
        return self.one([qt.encoded(field, ENCODING), qt.hash_bucket(field, 16)])

    def text(self) -> Any:
        one, other = self.one(self.texts), self.one([*self.texts, *self.categories])
        declare = self.one([qt.text_length, qt.digit_ratio, qt.entropy, qt.edit_distance, qt.jaro_winkler])
        return declare(one, other) if declare in (qt.edit_distance, qt.jaro_winkler) else declare(one)

    def own(self) -> Any:
        return self.one(
            [larger(self.numeric(), self.one(self.money)), Rise(self.at, self.one(self.money), **self.kept())]
        )

    def families(self) -> list[Callable[[], Any]]:
        """One function per family; each draws a feature of it."""
        return [
            *(self.velocity, self.velocity, self.velocity, self.distinct, self.recency, self.sequence, self.decay),
            *(self.ratio, self.amount, self.calendar, self.geography, self.category, self.text, self.own),
        ]


@st.composite
def feature_sets(draw: st.DrawFn) -> qt.FeatureSet:
    """A feature of every family, of velocity three, over an event class of its own, with limits of its own."""
    event = draw(event_classes())
    features = qt.FeatureSet(
        event,
        lateness=draw(st.sampled_from(["0s", "2s"])),
        expire_after=draw(st.sampled_from([None, "60s"])),
        row_limit=draw(st.sampled_from([2, 1000])),
        remembered_ids=draw(st.sampled_from([3, 1000])),
    )
    declarations = Declarations(draw, event)
    for number, family in enumerate(draw(st.permutations(declarations.families()))):
        features[f"{number}_{family.__name__}"] = family()
    return features


def _values(field: Field) -> st.SearchStrategy[Any]:
    if isinstance(field, qt.Entity):
        return st.sampled_from(KEYS)
    if isinstance(field, qt.Money):
        least = -(2**43) if field.signed else 0
        minor = st.one_of(st.integers(max(least, -1000), 30_000), st.integers(least, 2**43))
        return minor.map(lambda value: Decimal(value).scaleb(-field.scale))
    if isinstance(field, qt.Number):
        return st.one_of(st.floats(-90, 90), st.sampled_from([0.0, -0.0, 1e16, -1e150, 5e-324, 180.0]))
    if isinstance(field, qt.Boolean):
        return st.booleans()
    return st.sampled_from(WORDS)


@st.composite
def streams(draw: st.DrawFn, features: qt.FeatureSet) -> list[dict[str, Any]]:
    """Events with ties, late ones, ids that come again, and values and keys that are missing where they may."""
    at = draw(st.sampled_from([0, -7, 1_785_000_000_000_000]))
    events: list[dict[str, Any]] = []
    for number in range(draw(st.integers(1, 20))):
        at += draw(st.sampled_from(STEPS_US))
        event: dict[str, Any] = {"event_id": draw(st.sampled_from([number] * 5 + [number - 1])), "at": at}
        for field in features.schema.fields:
            if field.name not in event and (field.required or draw(st.integers(0, 4))):
                event[field.name] = draw(_values(field))
        events.append(event)
    return events
