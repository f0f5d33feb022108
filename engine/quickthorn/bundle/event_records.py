"""The records of a manifest that say what events and features there are, and what all of its records are made of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

Kind: TypeAlias = Literal["id", "event_time", "entity", "money", "number", "category", "text", "boolean"]
Text: TypeAlias = Annotated[str, Meta(min_length=1, max_length=4096)]
Count: TypeAlias = Annotated[int, Meta(ge=0, le=2**62)]
Natural: TypeAlias = Annotated[int, Meta(ge=0, le=2**62)]
Positive: TypeAlias = Annotated[int, Meta(ge=1, le=2**62)]
Digest: TypeAlias = Annotated[str, Meta(min_length=64, max_length=64, pattern="^[0-9a-f]*$")]


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Immutable, and strict about what it is decoded from."""


class SchemaField(Record, frozen=True, kw_only=True):
    """One field of the event, in declaration order.

    ``scale``, ``minor_units`` and ``signed`` belong to money alone, ``values`` and ``closed`` to categories alone;
    elsewhere they keep these defaults. ``scale`` is required for money: the decimal digits of its minor unit.
    ``as_text`` belongs to entities, categories and text: a feature is computed from the value's text.
    """

    name: Text
    kind: Kind
    required: bool
    scale: Annotated[int, Meta(ge=0, le=18)] | None = None
    minor_units: bool = False
    signed: bool = False
    values: tuple[Text, ...] = ()
    closed: bool = False
    as_text: bool = False

    def __post_init__(self) -> None:
        if self.kind == "money":
            if self.scale is None:
                raise ValueError(f"money field {self.name!r}: expected a scale, found none")
        elif self.scale is not None or self.minor_units or self.signed:
            raise ValueError(f"{self.kind} field {self.name!r}: expected no money options, found some")
        if self.kind != "category" and (self.values or self.closed):
            raise ValueError(f"{self.kind} field {self.name!r}: expected no category options, found some")
        if self.as_text and self.kind not in ("entity", "category", "text"):
            raise ValueError(f"{self.kind} field {self.name!r}: expected no text option, found one")
        if self.closed and not self.values:
            raise ValueError(f"category field {self.name!r}: expected values to be closed over, found none")
        refuse_twice(self.values, f"category field {self.name!r}: value")


class GroupSummary(Record, frozen=True, kw_only=True):
    """Everything kept by one entity field, or by several that are a key together.

    ``entities``    the entity fields
    ``columns``     the fields kept in each row of an entity's history, after its event time
    ``values``      how many values the group computes
    ``horizon_us``  the longest delay + window in microseconds: older rows have left every window; 0 without windows
    ``labelled``    rows keep their event's label
    ``layout``      a digest, in hex, of what is kept and how: groups of one digest can go on from each other's state
    """

    entities: Annotated[tuple[Text, ...], Meta(min_length=1)]
    columns: tuple[Text, ...]
    values: Positive
    horizon_us: Natural
    labelled: bool = False
    layout: Digest


class ComponentSummary(Record, frozen=True, kw_only=True):
    """What links the entities of several fields.

    ``entities``  the entity fields
    ``cap``       most entities of one component
    ``values``    how many values are computed of it
    ``labelled``  frauds are counted, by events' labels
    """

    entities: Annotated[tuple[Text, ...], Meta(min_length=2)]
    cap: Positive
    values: Positive
    labelled: bool = False


class SignalSummary(Record, frozen=True, kw_only=True):
    """A source of signals: the entity it speaks of, its values, and last the time of a signal."""

    name: Text
    fields: Annotated[tuple[SchemaField, ...], Meta(min_length=3)]

    def __post_init__(self) -> None:
        refuse_twice((field.name for field in self.fields), f"signals: source {self.name!r}: field")
        kinds = [field.kind for field in self.fields]
        values = {"number", "money", "boolean", "category"}
        if kinds[0] != "entity" or kinds[-1] != "event_time" or not values.issuperset(kinds[1:-1]):
            raise ValueError(f"signals: source {self.name!r}: expected an entity, values and a time, found {kinds}")


class TableSummary(Record, frozen=True, kw_only=True):
    """A table of constants in the libraries that features look things up in, such as the rules of a time zone.

    ``entries`` is how many there are and ``sha256`` a digest of their contents, in hex.
    """

    kind: Text
    name: Text
    entries: Count
    sha256: Digest


def refuse_twice(names: Iterable[str], what: str) -> None:
    """Raise ValueError, opened by ``what``, where a name occurs twice."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"{what} {name!r}: expected once, found twice")
        seen.add(name)
