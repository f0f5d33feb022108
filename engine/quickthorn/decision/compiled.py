"""A policy whose conditions have been read and hold against the schema and the features of a bundle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from quickthorn.decision.checking import SCORED, Names, amount, condition
from quickthorn.decision.expression import Compare, EventField, Expression, Number, Scored, Truth, walk
from quickthorn.decision.policy_file import PolicySource
from quickthorn.errors import ConditionError, PolicyError
from quickthorn.event import Field


@dataclass(frozen=True)
class Conditions:
    """All that a policy asks about an event, in the order in which it is asked.

    ``rules``       block and allow rules, in their order of precedence
    ``caps``        whether each is exceeded, the severest outcome first
    ``segments``    in order
    ``explorable``  whether chance may decide; None where the policy does not explore
    ``amount``      what expected losses are of, with ``share`` and ``fee``; None where the policy has none
    ``uses_aligned_score``  whether a condition or threshold is on it
    """

    rules: tuple[Expression, ...]
    caps: tuple[Expression, ...]
    segments: tuple[Expression, ...]
    explorable: Expression | None
    amount: Expression | None
    share: float
    fee: float
    uses_aligned_score: bool

    @property
    def all(self) -> tuple[Expression, ...]:
        """Every expression."""
        single = tuple(one for one in (self.explorable, self.amount) if one is not None)
        return (*self.rules, *self.caps, *self.segments, *single)

    @property
    def text_fields(self) -> frozenset[str]:
        """Fields whose text is compared."""
        kinds = ("category", "text", "entity")
        parts = (part for expression in self.all for part in walk(expression))
        return frozenset(part.name for part in parts if isinstance(part, EventField) and part.kind in kinds)


def compile_conditions(source: PolicySource, fields: Sequence[Field], features: Sequence[str]) -> Conditions | None:
    """The policy's conditions over these fields and features; None where it has none.

    PolicyError says where in the file a condition breaks the grammar, names what is not there, has the wrong type or
    could divide by zero.
    """
    policy = source.policy
    loss = policy.expected_loss
    names = Names.of(fields, features, SCORED if loss else tuple(name for name in SCORED if name != "expected_loss"))
    event_names = Names.of(fields, features, ())

    def read(text: str, where: str, reader: Callable[[str, Names], Expression], over: Names) -> Expression:
        try:
            return reader(text, over)
        except ConditionError as error:
            raise PolicyError(f"{source.place(text, error.column)}: {where}: {error}") from None

    rules = tuple(read(rule.when, f"rule {rule.name!r}", condition, names) for rule, _ in policy.rules)
    caps = tuple(
        Compare(">", read(cap.of, f"cap {cap.name!r}", amount, names), Number(cap.most)) for cap in policy.caps
    )
    segments = tuple(read(one.when, f"segment {one.name!r}", condition, names) for one in policy.segment)
    exploration = policy.exploration
    explorable: Expression | None = None if exploration is None else Truth(True)
    if exploration is not None and exploration.when is not None:
        explorable = read(exploration.when, "exploration", condition, names)
    loss_of = read(loss.amount, "expected_loss.amount", amount, event_names) if loss else None
    only_chance = not (rules or caps or segments or loss) and (exploration is None or exploration.when is None)
    if only_chance:
        return None
    conditions = Conditions(
        rules, caps, segments, explorable, loss_of, loss.share if loss else 1.0, loss.fee if loss else 0.0, False
    )
    asked = any(part == Scored("aligned_score") for expression in conditions.all for part in walk(expression))
    judged = any(thresholds.on == "aligned_score" for _, thresholds in policy.all_thresholds())
    return Conditions(**{**vars(conditions), "uses_aligned_score": asked or judged})
