"""Field types of an event: what a payment event is made of, and how each value is held inside the engine.

An event row inside the engine is one 64-bit slot per declared field, in declaration order:

=============  ===========================  ==========================================
field type     slot                         missing
=============  ===========================  ==========================================
Id             1                            never (an event id is required)
EventTime      int64 microseconds, UTC      never (an event time is required)
Entity, Text   1                            0
Money          int64 minor units            the smallest int64
Number         float64                      NaN
Boolean        float64, 1.0 or 0.0          NaN
Category       float64 ordinal, −1 unknown  NaN
=============  ===========================  ==========================================

Identifiers never enter the row: an entity or event id is kept only as a 128-bit keyed hash beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

MISSING_MONEY = -(2**63)
# 2**43 minor units (88 billion in a currency of two decimals) times 2**20 rows per key stays inside an int64, so
# window sums of money are exact without a check on each addition.
MONEY_LIMIT = 2**43
# Far enough from the ends of int64 that event time − delay − window cannot overflow.
EVENT_TIME_LIMIT_US = 2**61
UNKNOWN_CATEGORY = -1.0


@dataclass(frozen=True, eq=False)
class Field:
    """One declared field of an event class.

    Reading ``Payment.amount`` on an event class gives the field itself, for use in feature declarations.

    ``name``        the field's name in dicts, attributes, JSON and Arrow columns
    ``index``       its slot in the event row
    ``required``    False where the declaration says ``| None``
    ``scale``       Money: decimal digits of the minor unit (2 for cents)
    ``minor_units`` Money: numbers that come in are whole minor units
    ``signed``      Money: negative amounts are allowed
    ``values``      Category: the known values, in ordinal order
    ``closed``      Category: a value outside ``values`` is an error, not an unknown
    """

    name: str = ""
    index: int = -1
    required: bool = True
    scale: int = 2
    minor_units: bool = False
    signed: bool = False
    values: tuple[str, ...] = ()
    closed: bool = False
    event: str = ""

    kind: ClassVar[str] = ""
    expected: ClassVar[str] = ""

    def __repr__(self) -> str:
        return f"{self.event}.{self.name}"


class Id(Field):
    """The event's own identifier, str or int: an id seen before is not counted twice."""

    kind = "id"
    expected = "a non-empty str or an int"


class EventTime(Field):
    """When the event happened: int microseconds since 1970 UTC, an aware datetime, or an RFC 3339 string."""

    kind = "event_time"
    expected = "int microseconds UTC, an aware datetime or an RFC 3339 string"


class Entity(Field):
    """A key that windows are kept by (customer, card, terminal), str or int; 7 and "7" are the same key."""

    kind = "entity"
    expected = "a non-empty str or an int"


class Money(Field):
    """An amount held as int64 minor units: a decimal string, Decimal, int or float in major units, or whole minor
    units where the field says ``minor_units=True``. Kernels and models see major units as float64."""

    kind = "money"
    expected = "an amount of money"


class Number(Field):
    """A finite float64; NaN counts as missing."""

    kind = "number"
    expected = "a finite number"


class Category(Field):
    """One of a set of strings; with declared ``values`` it can be a feature, as its ordinal in their order."""

    kind = "category"
    expected = "a str"


class Text(Field):
    """Free text: checked and carried, but not a feature by itself."""

    kind = "text"
    expected = "a str"


class Boolean(Field):
    """True or False."""

    kind = "boolean"
    expected = "True or False"


@dataclass(frozen=True)
class FieldOptions:
    """What ``field(...)`` was given, until the event class turns it into a Field."""

    given: dict[str, Any]


def field(
    *,
    scale: int | None = None,
    minor_units: bool | None = None,
    signed: bool | None = None,
    values: tuple[str, ...] | list[str] | None = None,
    closed: bool | None = None,
) -> Any:
    """Options of one field, as the class attribute's value: ``amount: Money = field(minor_units=True)``.

    ``scale``, ``minor_units`` and ``signed`` belong to Money; ``values`` and ``closed`` to Category. What does not
    fit the field's type is refused when the class is made.
    """
    options = {"scale": scale, "minor_units": minor_units, "signed": signed, "values": values, "closed": closed}
    return FieldOptions({name: value for name, value in options.items() if value is not None})
