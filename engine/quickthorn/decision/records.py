"""What policies are made of: strict records, each refusing what contradicts itself.

A policy is these records in Python, tables of a TOML file, and part of a bundle's manifest; all three are decoded by
msgspec, which names the path of what does not fit.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

Scale: TypeAlias = Literal["score", "aligned_score", "expected_loss"]
Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=120)]
Condition: TypeAlias = Annotated[str, Meta(min_length=1, max_length=20_000)]

_OUTCOME_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}")


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Immutable, and strict about what it is decoded from."""


class Thresholds(Record, frozen=True, kw_only=True):
    """From which value on which outcome is given; below them all, the mildest.

    ``on``     what the values are of: "score", the calibrated probability (or what the link gives); "aligned_score",
               0 to 999 on the curve that all model versions share; "expected_loss", see ``ExpectedLoss``
    ``least``  outcome to the least value that leads to it; outcomes that are not named are never reached this way
    """

    least: dict[str, float]
    on: Scale = "score"

    def __post_init__(self) -> None:
        for outcome, value in self.least.items():
            if not math.isfinite(value):
                raise ValueError(f"{outcome}: expected a finite number, found {value!r}")


class Fallback(Record, frozen=True, kw_only=True):
    """The outcome by status; None where the rest of the policy decides as if the event were in order.

    ``invalid``    an event that does not fit the schema, and so has no score
    ``late``       an event older than the newest of one of its entities
    ``capped``     an event whose history is not all kept
    ``duplicate``  an event whose id was seen before
    ``unscored``   an event in order whose score, or what thresholds are on instead, is not a number; by default as
                   ``invalid``
    """

    invalid: str
    late: str | None = None
    capped: str | None = None
    duplicate: str | None = None
    unscored: str | None = None


class Exploration(Record, frozen=True, kw_only=True):
    """A share of events is given ``outcome`` by chance, so that what would have happened to them becomes known.

    ``share``    how many of them, above 0 and at most 0.5
    ``outcome``  what they are given
    ``of``       the outcomes of the thresholds that may be replaced; rules, caps and fallbacks never are
    ``when``     which events may be drawn; all where None
    ``seed``     another number draws other events; the draw is made by the event id's keyed hash, and a retried event
                 draws the same again
    """

    share: Annotated[float, Meta(gt=0.0, le=0.5)]
    outcome: str
    of: Annotated[tuple[str, ...], Meta(min_length=1)]
    when: Condition | None = None
    seed: Annotated[int, Meta(ge=0, le=2**62)] = 0


class ExpectedLoss(Record, frozen=True, kw_only=True):
    """What an event is expected to cost: score × (amount × share + fee).

    ``amount``  an expression over the event and its features, in whatever unit thresholds are meant
    ``share``   how much of the amount a fraud loses
    ``fee``     what each fraud costs on top, such as a chargeback's fee
    """

    amount: Condition
    share: Annotated[float, Meta(ge=0.0, le=1.0)] = 1.0
    fee: Annotated[float, Meta(ge=0.0, le=1e15)] = 0.0


class Rule(Record, frozen=True, kw_only=True):
    """An allow or block rule: where ``when`` holds it decides, whatever the score.

    ``outcome``  by default the severest for a block rule, the mildest for an allow rule
    """

    name: Name
    when: Condition
    outcome: str | None = None


class Cap(Record, frozen=True, kw_only=True):
    """A velocity cap: where ``of`` is more than ``most``, the outcome is at least as severe as this one.

    ``of``  a number, such as a feature that counts or sums over a window; missing never exceeds
    """

    name: Name
    of: Condition
    most: float
    outcome: str

    def __post_init__(self) -> None:
        if not math.isfinite(self.most):
            raise ValueError(f"most: expected a finite number, found {self.most!r}")


class Segment(Record, frozen=True, kw_only=True):
    """Events that have thresholds of their own, which replace those of the same name; the first that holds counts."""

    name: Name
    when: Condition
    thresholds: Thresholds


class KillSwitch(Record, frozen=True, kw_only=True):
    """While it is ``active``, every decision has this outcome; ``Engine`` can engage and release it too."""

    outcome: str
    active: bool = True


def check_outcome_name(name: str) -> None:
    """ValueError unless the name can stand in a policy file as a key."""
    if not _OUTCOME_NAME.fullmatch(name) or name == "on":
        raise ValueError(f"expected names of letters, digits and _, at most 40 and not {'on'!r}, found {name!r}")
