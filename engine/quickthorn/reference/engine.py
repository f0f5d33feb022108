"""The five stages in a row, one event at a time."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from quickthorn.decision.compiled import compile_conditions
from quickthorn.decision.policy_file import PolicySource
from quickthorn.errors import EventError, LabelError, ModelError
from quickthorn.event import Field
from quickthorn.features.components import ComponentValue
from quickthorn.features.declare import Application, Constant, Expression, FeatureSet, Reference
from quickthorn.features.kept import Kept
from quickthorn.features.plan import plan
from quickthorn.features.signals import SignalValue
from quickthorn.reference.calibration import aligned, calibrated, linked
from quickthorn.reference.components import Graph, graphs_of
from quickthorn.reference.decision import Judgement, draw_of, judge, settle
from quickthorn.reference.event import Row, number_of, read_event
from quickthorn.reference.features import Group, argument_of, groups_of
from quickthorn.reference.forest import margin_of
from quickthorn.reference.identity import keyed_hash
from quickthorn.reference.kernels import apply
from quickthorn.reference.labels import CHANGES, changed_by, read_label
from quickthorn.reference.signals import signals_of

if TYPE_CHECKING:
    from quickthorn.calibration.knots import Calibration
    from quickthorn.decision.policy import Policy
    from quickthorn.forest.ensemble import Ensemble


@dataclass(frozen=True)
class ReferenceDecision:
    """What is decided about one event, and what it was decided from.

    ``outcome``   one of the policy's
    ``score``     the calibrated margin; NaN for an invalid event
    ``aligned_score``  0 to 999; None where the score is no probability
    ``rule``      what decided, None where the thresholds did
    ``propensity``  the chance that the event had of its outcome
    ``margin``    the forest's raw sum; NaN for an invalid event
    ``status``    "ok", "capped", "late", "duplicate" or "invalid", the last that applies
    ``features``  the feature vector by name, NaN where missing; empty for an invalid event
    ``error``     for an invalid event, the sentence that says what is wrong with it
    """

    outcome: str
    score: float
    margin: float
    status: str
    features: dict[str, float]
    aligned_score: int | None = None
    rule: str | None = None
    propensity: float = 1.0
    error: str | None = None


@dataclass(frozen=True)
class Reading:
    """An event as it was read: its row, its feature vector by name, its status, and what it was computed from."""

    row: Row
    features: dict[str, float]
    status: str
    known: dict[Expression, float]


class ReferenceEngine:
    """Decides events one by one, as the native engine must.

    Events are mappings, objects with attributes, or JSON bytes. Without an ``ensemble`` and a ``policy`` the engine
    observes and reads features, and refuses to decide.
    """

    def __init__(
        self,
        features: FeatureSet,
        ensemble: Ensemble | None = None,
        policy: Policy | None = None,
        calibration: Calibration | None = None,
        *,
        hash_key: bytes = bytes(16),
    ) -> None:
        plan(features)  # refuses what cannot be computed, a cycle for one; the plan itself is the compiler's
        self.schema = features.schema
        self.expressions = {name: features.expression(name) for name in features.names}
        self.groups = groups_of(features)
        self.graphs = graphs_of(features)
        self.let_in: list[Row] = []  # every event but retries
        for group in self.groups:
            group.let_in = self.let_in
        self.signals = signals_of(features)
        self.keepers: list[Group | Graph] = [*self.groups, *self.graphs]
        self.accepted: deque[tuple[str, Row]] = deque(maxlen=features.remembered_ids)
        self.ensemble = ensemble.with_features(features.names) if ensemble is not None else None
        self.policy = policy
        self.calibration = calibration
        self.conditions = (
            compile_conditions(PolicySource(policy), self.schema.fields, features.names) if policy is not None else None
        )
        self.hash_key = hash_key
        switch = policy.kill_switch if policy is not None else None
        self.kill_switch = switch.outcome if switch is not None and switch.active else None

    def decide(self, event: object) -> ReferenceDecision:
        """Read, score, then update. A wrong event changes nothing and gives the policy's fallback outcome."""
        return self._decision(event, update=True)

    def score(self, event: object) -> ReferenceDecision:
        """Read and score; nothing is stored, so the status is never "capped"."""
        return self._decision(event, update=False)

    def observe(self, event: object) -> str:
        """Update only; the event's status."""
        try:
            row = read_event(self.schema, event)
        except EventError:
            return "invalid"
        return self._update(row)

    def label(self, event_id: object, fraud: object, available_at: object) -> None:
        """From ``available_at`` on it is known whether the event is fraud; LabelError where it is not remembered."""
        label = read_label(event_id, fraud, available_at)
        if not any(expression.is_of_labels for keeper in self.keepers for expression in keeper.kept):
            raise LabelError("label: expected a bundle with features of labels, found none in this one")
        for accepted, row in self.accepted:
            if accepted == label.event_id:
                row[CHANGES] = changed_by(row.get(CHANGES, ()), label)
                return
        raise LabelError(f"event_id: expected the id of an event that is remembered, found {event_id!r}")

    def signal(self, source: str, key: object, values: Mapping[str, object], at: object) -> str:
        """Tell what a third party says of a key; "ok", or "late" where it is left out. EventError where it is wrong."""
        return self.signals[source].tell(key, values, at)

    def features(self, event: object) -> dict[str, float]:
        """The feature vector by name, without updating; EventError where the event is wrong."""
        return self._features(read_event(self.schema, event))

    def read(self, event: object, *, update: bool) -> Reading:
        """The first two stages: what the event's row and features are, and what becomes of it; EventError as above."""
        row = read_event(self.schema, event)
        known = self._known(row)
        features = self._named(row, known)
        return Reading(row, features, self._update(row) if update else self._status(row), known)

    def decided(self, reading: Reading, margin: float) -> ReferenceDecision:
        """The last two stages: what a margin means, and what is decided on it."""
        assert self.ensemble is not None
        assert self.policy is not None
        row, features = reading.row, reading.features
        score = self._score(margin)
        vector = list(features.values())
        found = judge(self.policy, self.conditions, row, vector, score, margin, self._draw(row))
        found = settle(self.policy, found, reading.status, self.kill_switch)
        place = aligned(score) if self.calibration or self.ensemble.link.value == "sigmoid" else math.nan
        return ReferenceDecision(
            found.outcome,
            score,
            margin,
            reading.status,
            features,
            None if math.isnan(place) else int(place),
            found.rule,
            found.propensity,
        )

    def refused(self, error: EventError) -> ReferenceDecision:
        """What is decided about an event that cannot be read."""
        assert self.policy is not None
        found = settle(self.policy, Judgement(self.policy.fallback.invalid), "invalid", self.kill_switch)
        return ReferenceDecision(found.outcome, math.nan, math.nan, "invalid", {}, rule=found.rule, error=str(error))

    def _decision(self, event: object, update: bool) -> ReferenceDecision:
        if self.ensemble is None or self.policy is None:
            raise ModelError("ReferenceEngine: expected an ensemble and a policy to decide with, found only features")
        try:
            reading = self.read(event, update=update)
        except EventError as error:
            return self.refused(error)
        return self.decided(reading, margin_of(self.ensemble, tuple(reading.features.values())))

    def _score(self, margin: float) -> float:
        assert self.ensemble is not None
        if self.calibration is not None:
            return calibrated(self.calibration, margin)
        return linked(self.ensemble.link.value, self.ensemble.link_scale, margin)

    def _draw(self, row: Row) -> float:
        """The number from 0 to 1 that the event's id draws."""
        exploration = self.policy.exploration if self.policy is not None else None
        _, high = keyed_hash(self.hash_key, row[self.schema.event_id.name])
        return draw_of(high, exploration.seed if exploration is not None else 0)

    def is_duplicate(self, row: Row) -> bool:
        """Whether the event's id is remembered."""
        return any(row[self.schema.event_id.name] == accepted for accepted, _ in self.accepted)

    def _status(self, row: Row) -> str:
        if self.is_duplicate(row):
            return "duplicate"
        return "late" if any(keeper.behind_us(row) for keeper in self.keepers) else "ok"

    def _update(self, row: Row) -> str:
        status = self._status(row)
        if status == "duplicate":
            return status
        # The deque forgets its oldest id when it is full; a retry that is recognised does not make its id younger.
        self.let_in.append(row)
        self.accepted.append((row[self.schema.event_id.name], row))
        capped = [keeper.store(row) for keeper in self.keepers]
        for keeper in self.keepers:
            keeper.pass_time(row[self.schema.event_time.name])
        for signals in self.signals.values():
            signals.pass_time(row[self.schema.event_time.name])
        return "capped" if status == "ok" and any(capped) else status

    def _features(self, row: Row) -> dict[str, float]:
        """The feature vector of an event as things stand before it is stored."""
        return self._named(row, self._known(row))

    def _known(self, row: Row) -> dict[Expression, float]:
        """What windows, components and signals have for an event before it is stored."""
        # A stored event is found in its windows already; taking it as the current one too would count it twice.
        with_current = not self.is_duplicate(row)
        known: dict[Expression, float] = {}
        for keeper in self.keepers:
            known.update(keeper.read(row, with_current).items())
        for signals in self.signals.values():
            known.update(signals.read(row, with_current).items())
        return known

    def _named(self, row: Row, known: dict[Expression, float]) -> dict[str, float]:
        return {name: self._value(expression, row, known) for name, expression in self.expressions.items()}

    def _value(self, expression: Expression, row: Row, known: dict[Expression, float]) -> float:
        if isinstance(expression, Field):
            return number_of(expression, row[expression.name])
        if isinstance(expression, Constant):
            return expression.value
        if isinstance(expression, Reference):
            return self._value(self.expressions[expression.name], row, known)
        if isinstance(expression, Application):
            arguments = (
                argument_of(expression, place, row, lambda given, row: self._value(given, row, known))
                for place in range(len(expression.arguments))
            )
            return apply(expression.kernel, *arguments)
        assert isinstance(expression, (Kept, ComponentValue, SignalValue))
        return known[expression]
