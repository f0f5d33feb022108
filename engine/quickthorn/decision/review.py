"""Looks a policy over: rules that can never fire, that contradict each other, and what they leave out.

The reasoning is about boxes (:mod:`quickthorn.decision.regions`): what it says never fires never does; what it cannot
see into, arithmetic and comparisons of two fields, it names as undecided.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Literal, TypeAlias

from quickthorn.decision.compiled import Conditions
from quickthorn.decision.expression import Expression, Scored
from quickthorn.decision.outcome import OUTCOMES
from quickthorn.decision.policy import Policy
from quickthorn.decision.regions import Box, Interval, Values, boxes_of

Kind: TypeAlias = Literal["never fires", "overlap", "gap", "never given", "undecided"]

# What is known of every event; a score may be missing where the model's margin is no number.
_KNOWN = Box(
    (
        (Scored("score"), Values(missing=True)),
        (Scored("aligned_score"), Values(missing=True, interval=Interval(0.0, 999.0))),
    )
)


@dataclass(frozen=True)
class Finding:
    """Something about a policy that its author should know; ``where`` names the rule, segment, cap or table."""

    kind: Kind
    where: str
    message: str


@dataclass(frozen=True)
class _Asked:
    name: str
    outcome: str
    boxes: list[Box]

    @property
    def exact(self) -> bool:
        return all(box.exact for box in self.boxes)


def review(policy: Policy, conditions: Conditions | None) -> list[Finding]:
    """What there is to say about a policy; ``conditions`` None where it has none."""
    findings = _thresholds(policy)
    if conditions is None:
        return findings
    named = [(rule.name, outcome) for rule, outcome in policy.rules]
    rules = _asked("rule", named, conditions.rules)
    segments = _asked("segment", [(one.name, one.name) for one in policy.segment], conditions.segments)
    caps = _asked("cap", [(cap.name, cap.outcome) for cap in policy.caps], conditions.caps)
    for group in (rules, segments, caps):
        findings += _never(group)
        findings += [
            Finding(
                "undecided", one.name, "its condition has arithmetic or compares two values: only parts were judged"
            )
            for one in group
            if not one.exact
        ]
    findings += _overlaps(rules) + _gaps(rules) + _gaps(segments)
    return findings


def _asked(what: str, named: list[tuple[str, str]], expressions: tuple[Expression, ...]) -> list[_Asked]:
    return [
        _Asked(f"{what} {name!r}", outcome, boxes_of(expression, _KNOWN))
        for (name, outcome), expression in zip(named, expressions, strict=True)
    ]


def _never(group: list[_Asked]) -> list[Finding]:
    found = []
    for place, one in enumerate(group):
        if not one.boxes:
            found.append(Finding("never fires", one.name, "its condition contradicts itself"))
            continue
        before = [box for earlier in group[:place] for box in earlier.boxes]
        if one.name.startswith("cap"):
            continue  # an exceeded cap does not hide another: the severest counts
        if all(any(box.covers(mine) for box in before) for mine in one.boxes):
            hiding = next(
                earlier.name for earlier in group[:place] if any(b.covers(one.boxes[0]) for b in earlier.boxes)
            )
            found.append(Finding("never fires", one.name, f"{hiding} goes before it wherever it holds"))
    return found


def _overlaps(rules: list[_Asked]) -> list[Finding]:
    found = []
    for one, other in itertools.combinations(rules, 2):
        if one.outcome == other.outcome:
            continue
        shared = [a.within(b) for a in one.boxes for b in other.boxes]
        if any(box.exact and not box.empty for box in shared):
            message = f"holds together with {other.name}, which says {other.outcome!r}; {one.outcome!r} goes first"
            found.append(Finding("overlap", one.name, message))
    return found


def _gaps(group: list[_Asked]) -> list[Finding]:
    """Holes between the intervals of conditions that bound one and the same number, and nothing else."""
    intervals: dict[Expression, list[tuple[Interval, str]]] = {}
    known = {term for term, _ in _KNOWN.bounds}
    for one in group:
        for box in one.boxes:
            bounds = [
                (term, values) for term, values in box.bounds if term not in known or values not in _known_values()
            ]
            if box.exact and len(bounds) == 1 and bounds[0][1].present:
                intervals.setdefault(bounds[0][0], []).append((bounds[0][1].interval, one.name))
    found = []
    for term, listed in intervals.items():
        listed.sort(key=lambda entry: (entry[0].low, entry[0].low_open))
        reached, owner = listed[0]
        for interval, name in listed[1:]:
            hole = Interval(reached.high, interval.low, not reached.high_open, not interval.low_open)
            if not hole.empty:
                title = getattr(term, "name", "a value")
                found.append(Finding("gap", owner, f"between it and {name}, {title} in {hole} is in neither"))
            if (interval.high, not interval.high_open) > (reached.high, not reached.high_open):
                reached, owner = interval, name
    return found


def _known_values() -> list[Values]:
    return [values for _, values in _KNOWN.bounds]


def _thresholds(policy: Policy) -> list[Finding]:
    found = []
    for where, thresholds in policy.all_thresholds():
        named = [outcome for outcome in policy.outcomes if outcome in thresholds.least]
        for milder, severer in itertools.pairwise(named):
            if thresholds.least[milder] == thresholds.least[severer]:
                message = f"{milder!r} begins where {severer!r} does, and is never reached"
                found.append(Finding("never given", where, message))
    given = {outcome for _, thresholds in policy.all_thresholds() for outcome in thresholds.least}
    given |= {policy.outcomes[0], policy.unscored} | {outcome for _, outcome in policy.rules}
    given |= {cap.outcome for cap in policy.cap}
    given |= {
        outcome for status in ("late", "capped", "duplicate", "invalid") if (outcome := policy.fallback_of(status))
    }
    if policy.exploration is not None:
        given.add(policy.exploration.outcome)
    found += [
        Finding("never given", "outcomes", f"{outcome!r} is given by no threshold, rule, cap or fallback")
        for outcome in policy.outcomes
        # The default ones are there for whoever wants them; names of one's own are meant to be given.
        if outcome not in given and policy.outcomes != OUTCOMES
    ]
    return found
