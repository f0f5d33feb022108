"""Neighbour fraud rate: the share of the entities of another type, seen with this one, that are known to be fraudulent.

Neighbours are kept by the entity as :mod:`quickthorn.features.degree` keeps them: the last ``cap`` different ones, and
when each was last seen. Which of them are fraudulent is looked up when the value is read, so that a label told long
after they were seen together counts from the time on that it is available from.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from quickthorn.event import Entity, Field
from quickthorn.features.declare import By, Where
from quickthorn.features.degree import degree_options
from quickthorn.features.distinct import BEFORE_ALL_US, Recent
from quickthorn.features.groups import At
from quickthorn.features.kept import WORD_BYTES, Lifetime, Record


@dataclass(frozen=True)
class NeighbourFraud(Lifetime):
    """The share of known fraud among the neighbours of (t − over, t]; ever, where ``over_us`` is None."""

    field: Field
    over_us: int | None
    cap: int

    @property
    def reach_us(self) -> int:
        return self.over_us or 0

    @property
    def fields(self) -> tuple[Field, ...]:
        return (self.field,)

    @property
    def is_of_labels(self) -> bool:
        return True

    @property
    def looked_up(self) -> tuple[Field, ...]:
        return (self.field,)

    @property
    def records(self) -> tuple[Record, ...]:
        return (Recent(self.where, self.field, self.cap, 0),)

    def value(self, at: At) -> str:
        table = f"record, {at.record(self.records[0])}, {self.cap}"
        times = f"{BEFORE_ALL_US if self.over_us is None else f'now_us - {self.over_us}'}, now_us"
        current = f"{at.current(self.include_current, self.where)}, {at.hash(self.field)}"
        return f"neighbour_fraud_rate({table}, {times}, {current}, frauds, {2 * WORD_BYTES * self.field.index})"


def neighbour_fraud_rate(
    by: By,
    *,
    to: Entity | None,
    over: str | timedelta | None = None,
    cap: int = 32,
    include_current: bool = False,
    where: Where = None,
) -> NeighbourFraud:
    """Of the entities of ``to`` seen with the entity ``by`` in (t − over, t], the share known to be fraudulent.

    An entity is known to be fraudulent at t where any event of it, in whatever company, is known to be fraud by a label
    that is available at t. Where there were more than ``cap`` (1 to 1024) neighbours it is the share of those that were
    last seen. Missing where there are none. Without ``over`` every neighbour there ever was counts.
    """
    options = degree_options("neighbour_fraud_rate", by, to, over, cap, cap, include_current, where)
    del options["levels"]
    return NeighbourFraud(**options)
