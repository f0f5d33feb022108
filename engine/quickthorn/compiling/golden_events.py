"""Golden events: a story of events, and what the slow reference and the source library make of it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from quickthorn.bundle.golden_events import GOLDEN_KEY, TOLERANCE, GoldenDecision, GoldenStep, encode_lines
from quickthorn.bundle.manifest import GOLDEN_DECISIONS, GOLDEN_EVENT_FEATURES, GOLDEN_EVENTS
from quickthorn.compiling.golden_story import golden_story
from quickthorn.errors import EventError, FeatureError, LabelError, QuickthornError
from quickthorn.event import Number
from quickthorn.features.decay import Decayed
from quickthorn.features.declare import Expression, Reference, parts_of
from quickthorn.features.distinct import Distinct
from quickthorn.features.kept import Kept
from quickthorn.reference import ReferenceEngine
from quickthorn.reference.reasons import reasons_of

if TYPE_CHECKING:
    from quickthorn.calibration.knots import Calibration
    from quickthorn.decision import Policy
    from quickthorn.decision.compiled import Conditions
    from quickthorn.decision.reasons import ReasonMap
    from quickthorn.features import FeatureSet
    from quickthorn.features.plan import Plan
    from quickthorn.forest.ensemble import Ensemble
    from quickthorn.reference.engine import Reading, ReferenceDecision

Margins: TypeAlias = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]
# Two reasons whose weights are nearer than this, relative to the larger, may trade places: contributions of the source
# library are rounded to float32.
_REASONS_APART = 1e-3


@dataclass(frozen=True)
class GoldenEvents:
    """``steps`` as they are told; of every event among them ``readings`` (or why it does not fit) and ``vectors``.

    ``vectors`` is float64 (events, features), all NaN for an event that does not fit; ``parts`` is all that a feature
    is computed from, by its name.
    """

    reference: ReferenceEngine
    parts: Mapping[str, frozenset[Expression]]
    steps: tuple[GoldenStep, ...]
    readings: tuple[Reading | EventError, ...]
    vectors: npt.NDArray[np.float64]

    def members(self, decisions: Sequence[GoldenDecision]) -> dict[str, bytes]:
        """The events with these decisions as members of an archive."""
        return {
            GOLDEN_EVENTS: encode_lines(self.steps),
            GOLDEN_EVENT_FEATURES: self.vectors.tobytes(),
            GOLDEN_DECISIONS: encode_lines(decisions),
        }

    def statuses(self) -> list[GoldenDecision]:
        """What is expected of a bundle that only computes features."""
        return [
            GoldenDecision(status=_status(reading), estimated=self._estimated(number))
            for number, reading in enumerate(self.readings)
        ]

    def decisions(
        self,
        margins: npt.NDArray[np.float64],
        contributions: npt.NDArray[np.float64] | None,
        reasons: ReasonMap | None,
    ) -> list[GoldenDecision]:
        """What the reference decides on these margins, float64 (events,), NaN for an event that does not fit.

        ``contributions``, float64 (explained, 1, features + 1), are those of the first events whose margins are finite.
        """
        decisions = []
        explained = int(np.cumprod(np.isfinite(margins)).sum()) if contributions is not None else 0
        for number, (reading, margin) in enumerate(zip(self.readings, margins.tolist(), strict=True)):
            if isinstance(reading, EventError):
                decided = self.reference.refused(reading)
            else:
                decided = self.reference.decided(reading, margin)
                if not math.isfinite(margin):  # infinities in linear leaves: there is no one right answer
                    decisions.append(GoldenDecision(status=decided.status, estimated=self._estimated(number)))
                    continue
            codes: tuple[str, ...] | None = ()
            wanted = _is_explained(self.reference.policy, decided.outcome) and decided.status != "invalid"
            if reasons is not None and contributions is not None and wanted:
                known = number < min(explained, len(contributions))
                codes = _codes(reasons, decided.features, contributions[number, 0]) if known else None
            decisions.append(
                GoldenDecision(
                    status=decided.status,
                    outcome=decided.outcome,
                    rule=decided.rule,
                    propensity=decided.propensity,
                    margin=_finite(decided.margin),
                    score=_finite(decided.score),
                    aligned_score=decided.aligned_score,
                    reasons=codes,
                    estimated=self._estimated(number),
                )
            )
        return decisions

    def settled(
        self,
        decisions: Sequence[GoldenDecision],
        told: Sequence[tuple[float, ...] | None],
        margins: Margins | None,
    ) -> list[GoldenDecision]:
        """The decisions without what hangs on how last bits are rounded, by the vectors that an engine ``told``.

        A feature over sums that nearly cancel out may differ by more than the tolerance, relative to what is left; it
        becomes an estimated one where it differs by no more relative to the largest value of the feature. Where the
        reference decides otherwise on the engine's vector than on its own, the decision is left out; so is it for a
        feature that is an estimate. Whatever else differs is not touched: the bundle will be refused for it.
        """
        largest = np.max(np.abs(self.vectors), axis=0, where=np.isfinite(self.vectors), initial=0.0)
        settled = list(decisions)
        for number, vector in enumerate(told):
            reading = self.readings[number]
            wanted = self.vectors[number]
            if vector is None or isinstance(reading, EventError) or np.array_equal(vector, wanted, equal_nan=True):
                continue
            names = list(reading.features)
            off = np.abs(np.array(vector) - wanted)
            rounded = (off > TOLERANCE * np.abs(wanted)) & (off <= TOLERANCE * largest)
            more = {
                names[place] for place in np.flatnonzero(rounded) if any(map(_sums_numbers, self.parts[names[place]]))
            }
            decision = settled[number]
            decision = msgspec.structs.replace(decision, estimated=tuple(sorted({*decision.estimated, *more})))
            if margins is not None and decision.outcome is not None:
                features = dict(zip(names, vector, strict=True))
                margin = float(margins(np.array([vector]))[0])
                other = self.reference.decided(dataclasses.replace(reading, features=features), margin)
                if not _is_same(decision, other):
                    decision = GoldenDecision(status=decision.status, estimated=decision.estimated)
            settled[number] = decision
        return settled

    def _estimated(self, number: int) -> tuple[str, ...]:
        """The features that the reference counts exactly and an engine, at this event, need not."""
        reading = self.readings[number]
        if isinstance(reading, EventError):
            return ()
        inexact = {part for part, value in reading.known.items() if isinstance(part, Distinct) and value > part.cap}
        return tuple(name for name, parts in self.parts.items() if inexact & parts)


def golden_events(
    features: FeatureSet,
    planned: Plan,
    ensemble: Ensemble | None = None,
    policy: Policy | None = None,
    calibration: Calibration | None = None,
    conditions: Conditions | None = None,
) -> GoldenEvents:
    """The story for these features and conditions, told to the reference.

    FeatureError where the reference cannot compute a feature: a kernel whose function does not run as plain Python.
    """
    reference = ReferenceEngine(features, ensemble, policy, calibration, hash_key=GOLDEN_KEY)
    steps: list[GoldenStep] = []
    readings: list[Reading | EventError] = []
    for step in golden_story(features, planned, conditions):
        if step.label is not None:
            try:
                reference.label(*step.label)
            except LabelError:  # of an event that is not remembered any more
                continue
        elif step.signal is not None:
            reference.signal(*step.signal)
        else:
            readings.append(_reading(reference, bytes(step.event)))
        steps.append(step)
    vectors = np.full((len(readings), len(features.names)), np.nan)
    for row, reading in zip(vectors, readings, strict=True):
        if not isinstance(reading, EventError):
            row[:] = list(reading.features.values())
    parts = {name: frozenset(_parts(features, name)) for name in features.names}
    return GoldenEvents(reference, parts, tuple(steps), tuple(readings), vectors)


def _reading(reference: ReferenceEngine, event: bytes) -> Reading | EventError:
    try:
        return reference.read(event, update=True)
    except EventError as error:
        return error
    except QuickthornError:
        raise
    except Exception as error:  # whatever a user's function raises
        raise FeatureError(
            f"features: expected kernels that run as plain Python too, to prove the compiled ones by, "
            f"found {type(error).__name__}: {error} (event {event.decode()})"
        ) from error


def _parts(features: FeatureSet, name: str) -> Iterator[Expression]:
    for part in parts_of(features.expression(name)):
        yield part
        if isinstance(part, Reference):
            yield from _parts(features, part.name)


def _sums_numbers(part: Expression) -> bool:
    """Whether the part is a sum of numbers, of which bits are lost."""
    return isinstance(part, Decayed) or (
        isinstance(part, Kept) and any(isinstance(field, Number) for field in part.fields)
    )


def _is_same(decision: GoldenDecision, other: ReferenceDecision) -> bool:
    exact = ("outcome", "rule", "propensity", "aligned_score")
    near = ((decision.margin, other.margin), (decision.score, other.score))
    return all(getattr(decision, name) == getattr(other, name) for name in exact) and all(
        one is not None and math.isclose(one, another, rel_tol=TOLERANCE) for one, another in near
    )


def _status(reading: Reading | EventError) -> str:
    return "invalid" if isinstance(reading, EventError) else reading.status


def _is_explained(policy: Policy | None, outcome: str) -> bool:
    return policy is not None and outcome in policy.explained_outcomes


def _codes(
    reasons: ReasonMap, features: dict[str, float], contributions: npt.NDArray[np.float64]
) -> tuple[str, ...] | None:
    """The codes by the reference; None where two weigh so nearly the same that rounding may order them."""
    by_name = dict(zip(features, contributions.tolist(), strict=False))  # last there is the expected margin
    every = reasons_of(msgspec.structs.replace(reasons, most=16), by_name)
    weights = [*(weight for _, weight in every), 0.0][: reasons.most + 1]
    largest = max((abs(value) for value in contributions.tolist()), default=0.0)
    close = any(above - below <= _REASONS_APART * largest for above, below in pairwise(weights))
    return None if close else tuple(code for code, _ in every[: reasons.most])


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
