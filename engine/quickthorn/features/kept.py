"""What is kept per entity for a feature: the small interface that every family of features speaks.

A family is a module that declares expressions and says what each of them needs to be kept. There are two ways to keep:

* a :class:`Windowed` expression is over the rows of an interval of event time. What the window keeps is a tuple of
  :class:`WindowPart`: a few words that change as a row comes in or goes out.
* a :class:`Lifetime` expression is over everything that ever happened. What the entity keeps is a tuple of
  :class:`Record`: a few words that change once per event, in the order of (event time, arrival), and are never undone.

Both write source text: calls of kernels by name, with every offset a constant. The names in reach of that text are
``state`` (the entity's memory), ``rows``, ``mask``, ``slots``, ``hashes``, ``frauds``, ``now_us`` and, in their
places, what the methods below say. Equal parts, records and columns of one entity are kept once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from quickthorn.event import Field

if TYPE_CHECKING:
    from quickthorn.features.declare import Expression, Kernel
    from quickthorn.features.groups import At

WORD_BYTES = 8


@dataclass(frozen=True)
class Condition:
    """What a row must satisfy to count; judged from the event's own fields, once, when the event is stored.

    It holds where the expression is neither 0 nor missing.
    """

    expression: Expression


@dataclass(frozen=True)
class FieldColumn:
    """A field's slot, kept in each row."""

    field: Field


@dataclass(frozen=True)
class HashColumn:
    """The low 64 bits of a field's hash, kept in each row; 0 where the field is missing."""

    field: Field


Column: TypeAlias = FieldColumn | HashColumn


@dataclass(frozen=True)
class UserKernel:
    """A user's function of a record and of fields of the event.

    ``variables``  the record's variables by name, with what they start from: int64 or float64
    ``ticks``      per further argument whether it is an event time, an int64, rather than a float64
    ``reads``      it returns a number, rather than change the record
    """

    kernel: Kernel
    variables: tuple[tuple[str, int | float], ...]
    ticks: tuple[bool, ...]
    reads: bool


@dataclass(frozen=True)
class Kept:
    """An expression whose value comes from what an entity, or a pair of entities, has done.

    ``by`` is in the order of the event's fields, so that both orders of a pair are one key. Events that do not satisfy
    ``where`` do not count; ``include_current`` counts the event at hand.
    """

    by: tuple[Field, ...]
    where: Condition | None
    include_current: bool

    @property
    def reach_us(self) -> int:
        """How far back the value looks, where it is over a window."""
        return 0

    @property
    def fields(self) -> tuple[Field, ...]:
        """Fields of the event that the value is computed from, beside those of ``by`` and ``where``."""
        return ()

    @property
    def is_of_labels(self) -> bool:
        """Whether the value is computed from labels."""
        return False

    @property
    def looked_up(self) -> tuple[Field, ...]:
        """Fields whose entities are looked up for being known to be fraudulent."""
        return ()

    @property
    def user_kernels(self) -> tuple[UserKernel, ...]:
        """Functions of the user that the source calls, by the names of ``At.user``."""
        return ()

    def value(self, at: At) -> str:
        """Source of a float64 expression: the value, once windows and records have been brought to ``now_us``."""
        raise NotImplementedError


@dataclass(frozen=True)
class WindowPart:
    """A few words of a window's memory, all zero when the window is empty and new.

    Rows that do not satisfy ``where`` never reach the part.
    """

    where: Condition | None

    @property
    def words(self) -> int:
        """Its size."""
        return 1

    @property
    def columns(self) -> tuple[Column, ...]:
        """What must be kept in each row for it."""
        return ()

    @property
    def is_of_labels(self) -> bool:
        """Whether it looks at a row's label: rows then keep theirs, and ``shift`` also runs where one changes."""
        return False

    def shift(self, at: At) -> str:
        """Source of a statement: the row ``row_at`` bytes into ``rows``, at ``position``, comes in (``sign`` 1) or
        goes out (``sign`` −1)."""
        raise NotImplementedError

    def move(self, at: At) -> str | None:
        """Source of a statement: rows from ``position`` on have moved up by one. None where it does not matter."""
        return None

    def settle(self, at: At) -> str | None:
        """Source of a statement that runs after the window has been brought to ``now_us`` and before it is read."""
        return None


@dataclass(frozen=True)
class Windowed(Kept):
    """An expression over the rows of (t − delay − over, t − delay]."""

    over_us: int
    delay_us: int

    @property
    def reach_us(self) -> int:
        return self.delay_us + self.over_us

    @property
    def parts(self) -> tuple[WindowPart, ...]:
        """What the window must keep, beside which rows it holds."""
        raise NotImplementedError


@dataclass(frozen=True)
class Record:
    """A few words of an entity's memory, all zero when it was never seen.

    Events that do not satisfy ``where`` never reach the record.
    """

    where: Condition | None

    @property
    def words(self) -> int:
        """Its size."""
        raise NotImplementedError

    @property
    def columns(self) -> tuple[Column, ...]:
        """What must be kept in each row for it."""
        return ()

    @property
    def user_kernels(self) -> tuple[UserKernel, ...]:
        """Functions of the user that the source calls, by the names of ``At.user``."""
        return ()

    @property
    def key(self) -> object:
        """Records of one key are kept as one; see ``joined``."""
        return self

    def joined(self, other: Record) -> Record:
        """One record that serves for this one and another of the same key."""
        return self

    def update(self, at: At) -> str:
        """Source of a statement: the row ``row_at`` bytes into ``rows`` has happened; the record is in ``record``."""
        raise NotImplementedError


@dataclass(frozen=True)
class Lifetime(Kept):
    """An expression over everything an entity has ever done up to t; windows that end do not touch it."""

    @property
    def records(self) -> tuple[Record, ...]:
        """What the entity must keep."""
        raise NotImplementedError
