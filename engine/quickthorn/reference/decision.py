"""The fifth stage: from a score to an outcome."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from quickthorn.reference.calibration import aligned

if TYPE_CHECKING:
    from quickthorn.decision.policy import Policy
    from quickthorn.decision.records import Thresholds


@dataclass
class Judgement:
    """An outcome, what decided (None: the thresholds of all events), and the chance the event had of it."""

    outcome: str
    rule: str | None = None
    propensity: float = 1.0


def judge(policy: Policy, score: float, draw: float) -> Judgement:
    """What the policy says of an event in order; ``draw`` is a number from 0 to 1 that belongs to its id."""
    found = _by_thresholds(policy, policy.thresholds, score, math.nan)
    return _explored(policy, found, draw)


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
    return found if fallback is None else Judgement(fallback, "fallback")


def draw_of(high: int, seed: int) -> float:
    """A number from 0 to 1 from the high half of an id's keyed hash: splitmix64's finaliser."""
    mask = 2**64 - 1
    mixed = (high + seed * 0x9E3779B97F4A7C15) & mask
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 & mask
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & mask
    return ((mixed ^ mixed >> 31) >> 11) / 2**53


def _by_thresholds(policy: Policy, thresholds: Thresholds, score: float, expected_loss: float) -> Judgement:
    value = {"score": score, "aligned_score": aligned(score), "expected_loss": expected_loss}[thresholds.on]
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
