"""What each entity keeps, laid out: the columns of a row, the windows over rows and the records of a lifetime."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from quickthorn.event import Category, Field
from quickthorn.features.kept import (
    WORD_BYTES,
    Column,
    Condition,
    HashColumn,
    Kept,
    Lifetime,
    Record,
    UserKernel,
    Windowed,
    WindowPart,
)

# A window's state opens with the positions of its first row and of the row after its last.
CURSOR_BYTES = 2 * WORD_BYTES
# Before the records stand the position of the first row that has not gone into them and the time of the last that has.
SETTLED_BYTES = 2 * WORD_BYTES
FLAGS_PER_WORD = 63
# At the end of a row whose label is looked at: the event's number in order of arrival, then the last two changes of its
# label, the newest first. The engine writes them.
LABEL_WORDS = 3


@dataclass(frozen=True)
class Window:
    """The interval (t − delay − over, t − delay]; ``offset`` in bytes from the start of the entity's state.

    ``parts`` lie behind the window's cursor, in this order.
    """

    over_us: int
    delay_us: int
    offset: int
    parts: tuple[WindowPart, ...]

    def part_offset(self, part: WindowPart) -> int:
        """Where the part lies, in bytes from the start of the window's state."""
        before = self.parts[: self.parts.index(part)]
        return CURSOR_BYTES + WORD_BYTES * sum(other.words for other in before)


@dataclass(frozen=True)
class Group:
    """Everything kept by one entity, or one pair; its values are values[value_first : value_first + len(values)].

    A row is the event time, a word per column, a word per 63 conditions, each a bit, and what is kept of its label. The
    entity's state is the position up to which rows have gone into the records, the records, then the windows.
    """

    by: tuple[Field, ...]
    columns: tuple[Column, ...]
    conditions: tuple[Condition, ...]
    records: tuple[Record, ...]
    windows: tuple[Window, ...]
    values: tuple[Kept, ...]
    value_first: int
    state_bytes: int

    @property
    def row_bytes(self) -> int:
        """Bytes of one ring row."""
        words = 1 + len(self.columns) + -(-len(self.conditions) // FLAGS_PER_WORD)
        return WORD_BYTES * (words + (LABEL_WORDS if self.is_labelled else 0))

    @property
    def is_labelled(self) -> bool:
        """Whether rows keep their event's label."""
        return any(part.is_of_labels for window in self.windows for part in window.parts)

    @property
    def label_offset(self) -> int:
        """Where in a row stands what is kept of its label; 0 where nothing is."""
        return self.row_bytes - WORD_BYTES * LABEL_WORDS if self.is_labelled else 0

    @property
    def record_bytes(self) -> int:
        """Bytes of all records together."""
        return WORD_BYTES * sum(record.words for record in self.records)

    @property
    def horizon_us(self) -> int:
        """The longest delay + window: a row this old or older has left every window. 0 where there is none."""
        return max((window.delay_us + window.over_us for window in self.windows), default=0)

    @property
    def hashed_fields(self) -> tuple[Field, ...]:
        """The fields that are kept as their hashes."""
        return tuple(column.field for column in self.columns if isinstance(column, HashColumn))

    @property
    def user_kernels(self) -> tuple[UserKernel, ...]:
        """The users' functions that records and values call, each once."""
        keepers: list[Record | Kept] = [*self.records, *self.values]
        return tuple(dict.fromkeys(kernel for keeper in keepers for kernel in keeper.user_kernels))

    @property
    def name(self) -> str:
        """The entity, or the pair, by its fields' names."""
        return " × ".join(field.name for field in self.by)

    def window_of(self, value: Windowed) -> Window:
        """The window that an expression is over."""
        return next(
            window for window in self.windows if (window.over_us, window.delay_us) == (value.over_us, value.delay_us)
        )


@dataclass(frozen=True)
class At:
    """Where things lie, for the source that a family writes.

    ``base`` is what window parts are counted from: ``window_at`` in code that windows of one shape share, else the
    offset of the window itself.
    """

    group: Group
    window: Window | None = None
    base: str = "window_at"

    def column(self, column: Column) -> int:
        """The column's offset in a row."""
        return WORD_BYTES * (1 + self.group.columns.index(column))

    def flag(self, condition: Condition | None) -> tuple[int, int]:
        """Offset in a row, and mask, of a condition's bit; a mask of 0 where there is no condition."""
        if condition is None:
            return 0, 0
        word, bit = divmod(self.group.conditions.index(condition), FLAGS_PER_WORD)
        return WORD_BYTES * (1 + len(self.group.columns) + word), 1 << bit

    @property
    def label(self) -> int:
        """The offset in a row of the newest change of its label; the one before it follows."""
        return self.group.label_offset + WORD_BYTES

    def part(self, part: WindowPart) -> str:
        """A window part's offset in ``state``."""
        assert self.window is not None
        return f"{self.base} + {self.window.part_offset(part)}"

    @property
    def cursor(self) -> str:
        """The window's own offset in ``state``."""
        return self.base

    def record(self, record: Record) -> int:
        """A record's offset in ``record``."""
        keys = [other.key for other in self.group.records]
        return WORD_BYTES * sum(other.words for other in self.group.records[: keys.index(record.key)])

    def kept_record(self, record: Record) -> Record:
        """The record as it is kept, perhaps joined with others."""
        return next(other for other in self.group.records if other.key == record.key)

    def user(self, kernel: UserKernel) -> str:
        """The name of a user's function."""
        return f"user_{self.group.user_kernels.index(kernel)}"

    def slot(self, field: Field) -> str:
        """A field of the current event, as address and offset."""
        return f"slots, {WORD_BYTES * field.index}"

    def hash(self, field: Field) -> str:
        """The expression for the current event's hash of a field, as a row keeps it."""
        category = int(isinstance(field, Category))
        return f"hash_of({self.slot(field)}, hashes, {2 * WORD_BYTES * field.index}, {category})"

    def current(self, include: bool, condition: Condition | None) -> str:
        """1 where the current event counts, else 0."""
        if not include:
            return "0"
        return "with_current" if condition is None else f"holds_{self.group.conditions.index(condition)}"


def groups_of(kept: Iterable[Kept]) -> tuple[tuple[Group, ...], dict[object, int]]:
    """One group for each key that something is kept by, in the order of first use, and each expression's value."""
    by_key: dict[tuple[Field, ...], dict[Kept, None]] = {}
    for expression in kept:
        by_key.setdefault(expression.by, {})[expression] = None
    groups: list[Group] = []
    value_of: dict[object, int] = {}
    for by, values in by_key.items():
        groups.append(_group(by, tuple(values), value_first=len(value_of)))
        value_of.update({value: len(value_of) + index for index, value in enumerate(values)})
    return tuple(groups), value_of


def _group(by: tuple[Field, ...], values: tuple[Kept, ...], value_first: int) -> Group:
    records: dict[object, Record] = {}
    wanted: dict[tuple[int, int], dict[WindowPart, None]] = {}
    for value in values:
        if isinstance(value, Lifetime):
            for record in value.records:
                records[record.key] = records[record.key].joined(record) if record.key in records else record
        if isinstance(value, Windowed):
            parts = wanted.setdefault((value.over_us, value.delay_us), {})
            parts.update(dict.fromkeys(value.parts))
    # One order for all windows, so that those of one shape share their code.
    order = list(dict.fromkeys(part for parts in wanted.values() for part in parts))
    keepers: list[Record | WindowPart] = [*records.values(), *order]
    columns = dict.fromkeys(column for keeper in keepers for column in keeper.columns)
    offset = SETTLED_BYTES + WORD_BYTES * sum(record.words for record in records.values()) if records else 0
    windows: list[Window] = []
    for (over_us, delay_us), parts in wanted.items():
        ordered = tuple(sorted(parts, key=order.index))
        windows.append(Window(over_us, delay_us, offset, ordered))
        offset += CURSOR_BYTES + WORD_BYTES * sum(part.words for part in ordered)
    conditions = dict.fromkeys(value.where for value in values if value.where is not None)
    return Group(
        by, tuple(columns), tuple(conditions), tuple(records.values()), tuple(windows), values, value_first, offset
    )
