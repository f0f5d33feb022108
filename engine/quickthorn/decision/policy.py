"""The policy: which score leads to which outcome, and what else decides."""

from __future__ import annotations

import math
import os
from itertools import pairwise
from typing import Final, Literal

from quickthorn.calibration.link import Link
from quickthorn.decision.outcome import MOST_OUTCOMES, OUTCOMES, STATUSES
from quickthorn.decision.records import (
    Cap,
    ExpectedLoss,
    Exploration,
    Fallback,
    KillSwitch,
    Record,
    Rule,
    Segment,
    Thresholds,
    check_outcome_name,
)
from quickthorn.errors import PolicyError

_ANY = (-math.inf, math.inf, "any number")
_PROBABILITY = (0.0, 1.0, "0 to 1, the range of this model's scores")
_NOT_NEGATIVE = (0.0, math.inf, "0 or more, the range of this model's scores")
_SCORE_RANGES: Final = {
    Link.SIGMOID: _PROBABILITY,
    Link.STEP: _PROBABILITY,
    Link.SOFTMAX: _PROBABILITY,
    Link.EXP: _NOT_NEGATIVE,
    Link.LOG1P_EXP: _NOT_NEGATIVE,
    Link.IDENTITY: _ANY,
    Link.SIGNED_SQUARE: _ANY,
}
FIXED_RULES: Final = ("kill_switch", "fallback", "exploration")
"""What ``Decision.rule`` says where no rule, cap or segment of the policy decided, in the order of their codes."""


MOST_RULES: Final = 1000


class Policy(Record, frozen=True, kw_only=True):
    """What is done with an event, from its score and everything else that is known of it.

    ``outcomes``     names of what can be decided, mildest first; 1 to 8 of them
    ``thresholds``   from which score on which outcome is given
    ``fallback``     the outcome by status
    ``expected_loss``  what an event is expected to cost, where thresholds or conditions ask for it
    ``block``, ``allow``  rules that decide whatever the score, in order
    ``precedence``   which of the two goes first
    ``cap``          limits that raise the outcome where they are exceeded
    ``segment``      events with thresholds of their own, in order
    ``exploration``  the share of events that chance decides, or None
    ``reasons``      the outcomes that are given reasons, where the bundle has a reason map: "always" for all; None for
                     all but the mildest
    ``kill_switch``  one outcome for all, or None

    Made in Python, records that contradict each other raise ValueError; ``from_toml`` raises PolicyError.
    """

    thresholds: Thresholds
    fallback: Fallback
    outcomes: tuple[str, ...] = OUTCOMES
    precedence: Literal["block", "allow"] = "block"
    expected_loss: ExpectedLoss | None = None
    block: tuple[Rule, ...] = ()
    allow: tuple[Rule, ...] = ()
    cap: tuple[Cap, ...] = ()
    segment: tuple[Segment, ...] = ()
    exploration: Exploration | None = None
    reasons: tuple[str, ...] | Literal["always"] | None = None
    kill_switch: KillSwitch | None = None

    def __post_init__(self) -> None:
        self._check_outcomes()
        for status in ("invalid", "late", "capped", "duplicate", "unscored"):
            self._check_outcome(getattr(self.fallback, status), f"fallback.{status}")
        if self.exploration is not None:
            self._check_outcome(self.exploration.outcome, "exploration.outcome")
            for outcome in self.exploration.of:
                self._check_outcome(outcome, "exploration.of")
            if self.exploration.outcome in self.exploration.of:
                raise ValueError(
                    f"exploration.of: expected other outcomes than {self.exploration.outcome!r}, which replaces them"
                )
        if self.kill_switch is not None:
            self._check_outcome(self.kill_switch.outcome, "kill_switch.outcome")
        for outcome in self.explained_outcomes:
            self._check_outcome(outcome, "reasons")
        self._check_named()

    @classmethod
    def from_toml(cls, source: str | os.PathLike[str], *, origin: str | None = None) -> Policy:
        """Read a policy from a file, or from its text.

        A string with a line break in it is the text itself (no policy fits on one line); any other string is a path.
        ``origin`` is what error messages call the source: by default the path, or ``policy`` for a text. What cannot
        be read, is not TOML or is not a policy raises PolicyError naming source, key, found and expected.
        """
        from quickthorn.decision.policy_file import read_policy

        return read_policy(source, origin).policy

    @classmethod
    def with_thresholds(cls, *, invalid: str, **least: float) -> Policy:
        """A policy of thresholds on the score alone: ``with_thresholds(review=0.3, decline=0.8, invalid="review")``.

        ``invalid`` is the outcome of an event that cannot be scored. Raises ValueError as the records do.
        """
        return cls(thresholds=Thresholds(least=least), fallback=Fallback(invalid=invalid))

    def as_toml(self) -> str:
        """The policy as the text of a policy file; what ``from_toml`` reads from it is equal to this policy."""
        from quickthorn.decision.policy_file import policy_text

        return policy_text(self)

    def check_scores(self, link: Link, *, calibrated: bool, origin: str = "policy") -> None:
        """Raise PolicyError where a threshold lies outside the range of what it is on.

        A probability is 0 to 1, an aligned score 0 to 999, and an exponential's score is not negative: a threshold
        outside would be reached by all events or by none. An identity's score is the margin itself, and any finite
        threshold can be meant. Aligned scores need scores that are probabilities.
        """
        is_probability = calibrated or link is Link.SIGMOID
        for where, thresholds in self.all_thresholds():
            if thresholds.on == "aligned_score" and not is_probability:
                raise PolicyError(
                    f'{origin}: {where}.on: expected "score", found "aligned_score", which needs probabilities: '
                    f"calibrate the model (its link is {link.value!r})"
                )
            if thresholds.on == "score":
                least, most, expected = _PROBABILITY if calibrated else _SCORE_RANGES[link]
            else:
                least, most, expected = (0.0, 999.0, "0 to 999") if thresholds.on == "aligned_score" else _ANY
            for outcome, threshold in thresholds.least.items():
                if not least <= threshold <= most:
                    raise PolicyError(f"{origin}: {where}.{outcome}: expected {expected}, found {threshold!r}")

    def all_thresholds(self) -> list[tuple[str, Thresholds]]:
        """The thresholds of every event, each with where they stand in the file."""
        segments = [(f"segment[{at}].thresholds", self.thresholds_of(one)) for at, one in enumerate(self.segment)]
        return [("thresholds", self.thresholds), *segments]

    def thresholds_of(self, segment: Segment) -> Thresholds:
        """A segment's thresholds, with those it takes over from all events where they are on the same scale."""
        own = segment.thresholds
        kept = self.thresholds.least if own.on == self.thresholds.on else {}
        return Thresholds(on=own.on, least={**kept, **own.least})

    @property
    def rules(self) -> tuple[tuple[Rule, str], ...]:
        """The block and allow rules with their outcomes, in the order in which they are asked."""
        block = tuple((rule, rule.outcome or self.outcomes[-1]) for rule in self.block)
        allow = tuple((rule, rule.outcome or self.outcomes[0]) for rule in self.allow)
        return block + allow if self.precedence == "block" else allow + block

    @property
    def caps(self) -> tuple[Cap, ...]:
        """The caps, those with the severest outcomes first."""
        return tuple(sorted(self.cap, key=lambda cap: -self.outcomes.index(cap.outcome)))

    @property
    def rule_names(self) -> tuple[str, ...]:
        """What ``Decision.rule`` can be, by a batch's rule code."""
        rules = [rule.name for rule, _ in self.rules]
        return (*FIXED_RULES, *rules, *(cap.name for cap in self.caps), *(one.name for one in self.segment))

    @property
    def explained_outcomes(self) -> tuple[str, ...]:
        """The outcomes that are given reasons."""
        if self.reasons is None:
            return self.outcomes[1:]
        return self.outcomes if self.reasons == "always" else tuple(self.reasons)

    @property
    def unscored(self) -> str:
        """The outcome of an event in order whose score is not a number."""
        return self.fallback.unscored if self.fallback.unscored is not None else self.fallback.invalid

    def fallback_of(self, status: str) -> str | None:
        """The outcome that a status has, where it has one."""
        outcome: str | None = getattr(self.fallback, status) if status in STATUSES[1:] else None
        return outcome

    def _check_outcomes(self) -> None:
        if not 1 <= len(self.outcomes) <= MOST_OUTCOMES:
            raise ValueError(f"outcomes: expected 1 to {MOST_OUTCOMES}, found {len(self.outcomes)}")
        for place, name in enumerate(self.outcomes):
            try:
                check_outcome_name(name)
            except ValueError as error:
                raise ValueError(f"outcomes: {error}") from None
            if name in self.outcomes[:place]:
                raise ValueError(f"outcomes: expected each once, found {name!r} twice")

    def _check_named(self) -> None:
        tables: dict[str, tuple[Rule | Cap | Segment, ...]] = {
            "block": self.block,
            "allow": self.allow,
            "cap": self.cap,
            "segment": self.segment,
        }
        taken = set(FIXED_RULES)
        for table, entries in tables.items():
            for place, entry in enumerate(entries):
                where = f"{table}[{place}]"
                if entry.name in taken:
                    raise ValueError(f"{where}.name: expected a name of its own, found {entry.name!r} again")
                taken.add(entry.name)
                if not isinstance(entry, Segment):
                    self._check_outcome(entry.outcome, f"{where}.outcome")
        if len(taken) > MOST_RULES:
            raise ValueError(f"expected at most {MOST_RULES} rules, caps and segments, found {len(taken)}")
        for where, thresholds in self.all_thresholds():
            self._check_thresholds(thresholds, where)
            if thresholds.on == "expected_loss" and self.expected_loss is None:
                raise ValueError(f"{where}.on: expected a table [expected_loss] with the amount, found none")

    def _check_outcome(self, outcome: str | None, where: str) -> None:
        if outcome is not None and outcome not in self.outcomes:
            raise ValueError(f"{where}: expected {listed(self.outcomes)}, found {outcome!r}")

    def _check_thresholds(self, thresholds: Thresholds, where: str) -> None:
        if not thresholds.least:
            raise ValueError(f"{where}: expected a threshold for at least one outcome, found none")
        for outcome in thresholds.least:
            if outcome not in self.outcomes:
                raise ValueError(f'{where}.{outcome}: expected {listed(self.outcomes[1:])} or "on", found {outcome!r}')
            if outcome == self.outcomes[0]:
                raise ValueError(
                    f"{where}.{outcome}: expected no threshold for the mildest outcome, which is given below all others"
                )
        named = [outcome for outcome in self.outcomes if outcome in thresholds.least]
        for milder, severer in pairwise(named):
            if thresholds.least[milder] > thresholds.least[severer]:
                raise ValueError(
                    f"{where}.{milder}: expected at most {where}.{severer} ({thresholds.least[severer]!r}), "
                    f"found {thresholds.least[milder]!r}"
                )


def listed(names: tuple[str, ...]) -> str:
    """Names as an error message offers them."""
    quoted = [f'"{name}"' for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"
