"""Recency and age: when an entity, or a pair, was last seen, when first, and whether it ever was."""

from __future__ import annotations

from dataclasses import dataclass

from quickthorn.errors import FeatureError
from quickthorn.features.declare import By, Where, condition_of, entities_of
from quickthorn.features.groups import At
from quickthorn.features.kept import WORD_BYTES, Lifetime, Record

K_MOST = 64


@dataclass(frozen=True)
class Since(Lifetime):
    """Seconds since the ``k``-th last event."""

    k: int

    @property
    def records(self) -> tuple[Record, ...]:
        return (Times(self.where, self.k),)

    def value(self, at: At) -> str:
        times = Times(self.where, self.k)
        kept = at.kept_record(times)
        assert isinstance(kept, Times)
        return f"since_last(record, {at.record(times)}, {kept.depth}, {self.k}, now_us)"


@dataclass(frozen=True)
class Age(Lifetime):
    """Seconds since the first event, or with ``flag`` whether there was none."""

    flag: bool

    @property
    def records(self) -> tuple[Record, ...]:
        return (First(self.where),)

    def value(self, at: At) -> str:
        first = at.record(First(self.where))
        return f"never_seen(record, {first})" if self.flag else f"since_first(record, {first}, now_us)"


@dataclass(frozen=True)
class Times(Record):
    """How many events there were, and the times of the last ``depth``."""

    depth: int

    @property
    def words(self) -> int:
        return 1 + self.depth

    @property
    def key(self) -> object:
        return (Times, self.where)

    def joined(self, other: Record) -> Record:
        assert isinstance(other, Times)
        return self if self.depth >= other.depth else other

    def update(self, at: At) -> str:
        return f"keep_word(record, {at.record(self)}, {self.depth}, load_int64(rows, row_at))"


@dataclass(frozen=True)
class First(Record):
    """How many events there were, and the time of the first."""

    @property
    def words(self) -> int:
        return 2

    def update(self, at: At) -> str:
        first = at.record(self)
        return f"keep_first(record, {first}, {first + WORD_BYTES}, load_int64(rows, row_at))"


def since_last(*, by: By, k: int = 1, where: Where = None) -> Since:
    """Seconds since the entity's last event, or its ``k``-th last (1 to 64); missing where there were fewer."""
    return Since(
        by=entities_of(by, "since_last"),
        where=condition_of(where, "since_last"),
        include_current=False,
        k=depth_of(k, "since_last(k=)"),
    )


def age(*, by: By, where: Where = None) -> Age:
    """Seconds since the entity, or the pair, was first seen; missing where it never was."""
    return Age(by=entities_of(by, "age"), where=condition_of(where, "age"), include_current=False, flag=False)


def is_new(*, by: By, where: Where = None) -> Age:
    """1 where the entity, or the pair, was never seen before this event, else 0."""
    return Age(by=entities_of(by, "is_new"), where=condition_of(where, "is_new"), include_current=False, flag=True)


def depth_of(k: object, what: str) -> int:
    """How many events back, if it is a number of them."""
    if not isinstance(k, int) or isinstance(k, bool) or not 1 <= k <= K_MOST:
        raise FeatureError(f"{what}: expected 1 to {K_MOST}, found {k!r}")
    return k
