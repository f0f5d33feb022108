"""The fifth stage: from a score to an outcome."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from quickthorn.reference.calibration import aligned
from quickthorn.reference.conditions import holds, value_of
from quickthorn.reference.event import Row

if TYPE_CHECKING:
    from quickthorn.decision.compiled import Conditions
    from quickthorn.decision.expression import Expression
    from quickthorn.decision.policy import Policy
    from quickthorn.decision.records import Thresholds


@dataclass
class Judgement:
    """An outcome, what decided (None: the thresholds of all events), and the chance the event had of it."""

    outcome: str
    rule: str | None = None
    propensity: float = 1.0
    by_rule: bool = False


def judge(
    policy: Policy,
    conditions: Conditions | None,
    row: Row,
    features: list[float],
    score: float,
    margin: float,
    draw: float,
) -> Judgement:
    """What the policy says of an event in order; ``draw`` is a number from 0 to 1 that belongs to its id."""
    scored = {"score": score, "aligned_score": aligned(score), "margin": margin, "expected_loss": math.nan}

    def hold(expressions: Sequence[Expression]) -> Iterator[int]:
        return (place for place, expression in enumerate(expressions) if holds(expression, row, features, scored))

    if conditions is not None:
        if conditions.amount is not None:
            amount = value_of(conditions.amount, row, features, scored)
            scored["expected_loss"] = (
                math.nan if amount is None else score * (amount * conditions.share + conditions.fee)
            )
        for place in hold(conditions.rules):
            rule, outcome = policy.rules[place]
            return Judgement(outcome, rule.name, by_rule=True)
    thresholds, name = policy.thresholds, None
    for place in hold(conditions.segments if conditions else ()):
        segment = policy.segment[place]
        thresholds, name = policy.thresholds_of(segment), segment.name
        break
    found = _by_thresholds(policy, thresholds, scored)
    found.rule = found.rule or name
    for place in hold(conditions.caps if conditions else ()):
        cap = policy.caps[place]
        if policy.outcomes.index(cap.outcome) > policy.outcomes.index(found.outcome):
            return Judgement(cap.outcome, cap.name)
        break
    may_explore = conditions is None or (
        conditions.explorable is not None and next(hold((conditions.explorable,)), None) is not None
    )
    return _explored(policy, found, draw) if may_explore else found


def settle(policy: Policy, found: Judgement, status: str, kill_switch: str | None) -> Judgement:
    """The judgement once the event's status is known: the kill switch goes before fallbacks, rules before both."""
    if kill_switch is not None:
        return Judgement(kill_switch, "kill_switch")
    fallback = {
        "ok": None,
        "invalid": policy.fallback.invalid,
        "late": policy.fallback.late,
        "capped": policy.fallback.capped,
        "duplicate": policy.fallback.duplicate,
    }[status]
    return found if fallback is None or found.by_rule else Judgement(fallback, "fallback")


def draw_of(high: int, seed: int) -> float:
    """A number from 0 to 1 from the high half of an id's keyed hash: splitmix64's finaliser."""
    mask = 2**64 - 1
    mixed = (high + seed * 0x9E3779B97F4A7C15) & mask
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 & mask
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & mask
    return ((mixed ^ mixed >> 31) >> 11) / 2**53


def _by_thresholds(policy: Policy, thresholds: Thresholds, scored: dict[str, float]) -> Judgement:
    value = scored[thresholds.on]
    if math.isnan(value):
        return Judgement(policy.fallback.unscored or policy.fallback.invalid, "fallback")
    reached = [outcome for outcome in policy.outcomes if value >= thresholds.least.get(outcome, math.inf)]
    named = [outcome for outcome in reached if outcome in thresholds.least]
    return Judgement(named[-1] if named else policy.outcomes[0])


def _explored(policy: Policy, found: Judgement, draw: float) -> Judgement:
    exploration = policy.exploration
    if exploration is None or found.outcome not in exploration.of or found.rule == "fallback":
        return found
    if draw < exploration.share:
        return Judgement(exploration.outcome, "exploration", exploration.share)
    return Judgement(found.outcome, found.rule, 1.0 - exploration.share)
