"""The story that golden events tell: made-up events of a schema, with everything in them that engines get wrong."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from quickthorn.bundle.golden_events import GoldenStep
from quickthorn.decision.expression import Among, Compare, EventField, Expression, Feature, children, walk
from quickthorn.decision.expression import Number as NumberIs
from quickthorn.decision.expression import Text as TextIs
from quickthorn.event import Boolean, Category, Entity, Field, Money, Number, Text
from quickthorn.event.fields import MONEY_LIMIT
from quickthorn.event.sample_events import START_US, sample_column, sample_events
from quickthorn.features.declare import FeatureSet, parts_of
from quickthorn.features.kept import Kept
from quickthorn.features.plan import Plan
from quickthorn.features.signals import SignalValue, sources_of

if TYPE_CHECKING:
    from quickthorn.decision.compiled import Conditions

EVENTS = 256
ENTITIES = 12
_BLOCK = 32  # of events that crowd a window, and then of as many that leave it empty
_SEED = 20_261_126
_SECOND_US = 1_000_000
_HOUR_US = 3_600 * _SECOND_US
_STRANGE_TEXTS = ("", "\u00dcn\u00efc\u00f6d\u00e9 \u2713", "a" * 300)
_STRANGE_NUMBERS = (0.0, -2.5, 1e6)


def golden_story(features: FeatureSet, planned: Plan, conditions: Conditions | None) -> Iterator[GoldenStep]:
    """``EVENTS`` events, and the labels and signals that the features read between them; always the same ones.

    Few entities, so that windows fill; ties in time, steps to both edges of every window, late events in place and
    left out, retries with the same and with other content, optional fields missing, unknown categories, extreme
    amounts and numbers, strange texts, amounts and texts on and beside what the policy's conditions compare with, and
    events that do not fit the schema.
    """
    return _Story(features, planned, conditions).steps()


class _Story:
    def __init__(self, features: FeatureSet, planned: Plan, conditions: Conditions | None) -> None:
        self.features = features
        self.planned = planned
        self.random = np.random.default_rng(_SEED)
        self.spans_us = _spans_us(features)
        self.turns: Counter[str] = Counter()
        self.asked = _compared_values(features, conditions)
        self.now_us = START_US
        self.told: list[dict[str, Any]] = []  # events that fit the schema
        self.id_name = features.schema.event_id.name
        self.time_name = features.schema.event_time.name
        self.takes_labels = bool(planned.looked_up) or any(
            [*(group.is_labelled for group in planned.groups), *(each.keeps_labels for each in planned.components)]
        )

    def steps(self) -> Iterator[GoldenStep]:
        """The story from its beginning."""
        events = sample_events(self.features.schema.fields, EVENTS, seed=_SEED, entities=ENTITIES)
        for number, event in enumerate(events):
            self._pass_time(crowded=number // _BLOCK % 2 == 0)
            event[self.time_name] = self.now_us
            if self.planned.signals and self.random.random() < 0.4:
                yield self._signal()
            kind = self.random.random()
            if number % 50 == 49:
                event = self._unfit(event, number // 50)
            elif self.told and kind < 0.06:
                event = self._retried()
            elif self.told and kind < 0.14:
                self._make_late(event)
            elif kind < 0.5:
                self._make_strange(event, number)
            if number % 50 != 49:
                self.told.append(event)
            given = {name: value for name, value in event.items() if value is not None or self.random.random() < 0.5}
            yield GoldenStep(event=msgspec.Raw(msgspec.json.encode(given)))
            if self.takes_labels and self.told and self.random.random() < 0.5:
                yield self._label()

    def _pass_time(self, *, crowded: bool) -> None:
        kind, span_us = self.random.random(), int(self.random.choice(self.spans_us))
        if kind < 0.75:
            self.now_us += int(self.random.exponential(span_us / (400 if crowded else 24)))
        elif kind < 0.83:  # to an edge of a window that opened with an earlier event, or beside it
            opened_us = self.told[-int(self.random.integers(1, 9)) :][:1]
            edge_us = (opened_us[0][self.time_name] if opened_us else self.now_us) + span_us
            self.now_us = max(self.now_us, edge_us + int(self.random.integers(-1, 2)))
        elif kind < 0.9:
            self.now_us += int(self.random.integers(1, 60 * _SECOND_US))

    def _retried(self) -> dict[str, Any]:
        event = dict(self.told[-int(self.random.integers(1, min(20, len(self.told)) + 1))])
        if self.random.random() < 0.5:
            event[self.time_name] = self.now_us
        return event

    def _make_late(self, event: dict[str, Any]) -> None:
        """The event is of the same entities as the one before, and older than it."""
        before = self.told[-1]
        event.update(
            {field.name: before[field.name] for field in self.features.schema.fields if field.kind == "entity"}
        )
        lateness_us = self.features.lateness_us
        late_us = int(self.random.choice([1, lateness_us // 2, lateness_us, lateness_us + 1, _HOUR_US]))
        event[self.time_name] = before[self.time_name] - late_us

    def _make_strange(self, event: dict[str, Any], number: int) -> None:
        """One field at an extreme, or at what a condition compares with."""
        fields = [field for field in self.features.schema.fields if self._strange_values(field)]
        if not fields:
            return
        field = fields[number % len(fields)]
        values = self._strange_values(field)
        self.turns[field.name] += 1  # in turn, so that every one comes up
        event[field.name] = values[self.turns[field.name] % len(values)]

    def _strange_values(self, field: Field) -> list[Any]:
        values: list[Any] = [] if field.required else [None]
        values += self.asked.get(field.name, [])
        if isinstance(field, Money):
            minors = (0, 1, MONEY_LIMIT, *((-1, -MONEY_LIMIT) if field.signed else ()))
            values += [_amount(field, minor) for minor in minors]
        elif isinstance(field, Number):
            values += _STRANGE_NUMBERS
        elif isinstance(field, Text) or (isinstance(field, Category) and not field.closed):
            values += _STRANGE_TEXTS
        elif isinstance(field, Entity):
            values += [7, "7", "\u00e9" * 60]
        return values

    def _unfit(self, event: dict[str, Any], turn: int) -> dict[str, Any]:
        """The event with one required field missing, or of the wrong type."""
        required = [field for field in self.features.schema.fields if field.required]
        field = required[turn % len(required)]
        return {**event, field.name: None if turn % 2 else [1]}

    def _label(self) -> GoldenStep:
        about = self.told[-int(self.random.integers(1, min(30, len(self.told)) + 1))]
        since_us = self.now_us + int(self.random.choice([0, 0, 1, -_SECOND_US, int(self.random.choice(self.spans_us))]))
        return GoldenStep(label=(str(about[self.id_name]), bool(self.random.random() < 0.6), since_us))

    def _signal(self) -> GoldenStep:
        plan = self.planned.signals[int(self.random.integers(len(self.planned.signals)))]
        source = sources_of([plan])[0]
        values = {field.name: sample_column(field, 1, self.random, ENTITIES)[0] for field in source.values}
        for field in source.values:
            if not field.required and self.random.random() < 0.2:
                values[field.name] = None
        at_us = self.now_us + int(self.random.choice([0, 0, 1, -1, -_SECOND_US, -self.spans_us[0]]))
        key = f"{plan.by.name}-{self.random.integers(ENTITIES)}"
        return GoldenStep(signal=(source.name, key, values, at_us))


def _spans_us(features: FeatureSet) -> list[int]:
    """How far back features look, with how long things are remembered; the shortest first."""
    parts = [part for name in features.names for part in parts_of(features.expression(name))]
    spans_us = {part.reach_us for part in parts if isinstance(part, Kept)}
    spans_us |= {part.ttl_us for part in parts if isinstance(part, SignalValue)} | {features.expire_after_us}
    spans_us |= {getattr(part, "half_life_us", 0) for part in parts}
    return sorted(spans_us - {0}) or [_HOUR_US]


def _amount(field: Field, minor: int) -> int | str:
    return minor if field.minor_units else str(Decimal(minor).scaleb(-field.scale))


def _compared_values(features: FeatureSet, conditions: Conditions | None) -> dict[str, list[Any]]:
    """By field, what conditions compare it with and the values on both sides of that, where the field can have them."""
    found: dict[str, list[Any]] = {}
    for expression in conditions.all if conditions is not None else ():
        for part in walk(expression):
            if isinstance(part, Compare):
                names, constants = children(part), children(part)
            elif isinstance(part, Among):
                names, constants = (part.operand,), part.values
            else:
                continue
            for name in names:
                field = _field_of(name, features)
                for constant in constants if field is not None else ():
                    assert field is not None
                    found.setdefault(field.name, []).extend(_around(field, constant))
    return found


def _field_of(expression: Expression, features: FeatureSet) -> Field | None:
    """The field that is compared, by itself or as a feature."""
    if isinstance(expression, EventField):
        return features.schema.field(expression.name)
    declared = features.expression(expression.name) if isinstance(expression, Feature) else None
    return declared if isinstance(declared, Field) else None


def _around(field: Field, constant: Expression) -> list[Any]:
    if isinstance(constant, TextIs) and isinstance(field, (Category, Entity, Text)):
        fits = bool(constant.value) and (not field.closed or constant.value in field.values)
        return [constant.value] if fits else []
    if not isinstance(constant, NumberIs) or not math.isfinite(constant.value):
        return []
    if isinstance(field, Money):
        minor = round(constant.value * 10**field.scale)
        least = -MONEY_LIMIT if field.signed else 0
        return [_amount(field, near) for near in (minor - 1, minor, minor + 1) if least <= near <= MONEY_LIMIT]
    if isinstance(field, Number):
        return [constant.value, *(math.nextafter(constant.value, end) for end in (-math.inf, math.inf))]
    if isinstance(field, Boolean):
        return [True, False]
    return []
