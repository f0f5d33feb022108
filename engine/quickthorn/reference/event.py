"""The first stage: what comes in is read into a row, or refused with one sentence."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np

from quickthorn.errors import EventError
from quickthorn.event import Category, Field, Money, Number, Schema
from quickthorn.event.fields import EVENT_TIME_LIMIT_US, MONEY_LIMIT, UNKNOWN_CATEGORY

# An event as it is understood: per field a str (identifiers, categories, text), an int (event time in µs, money in
# minor units), a float (numbers) or a bool; None where it is missing.
Row: TypeAlias = dict[str, Any]


def read_event(schema: Schema, event: object) -> Row:
    """The event as a row; EventError names the first field, in declared order, that does not fit."""
    if isinstance(event, (bytes, bytearray)):
        event = _parsed(bytes(event))
    row: Row = {}
    for field in schema.fields:
        found = event.get(field.name) if isinstance(event, Mapping) else getattr(event, field.name, None)
        if isinstance(found, np.generic) and found.dtype.kind in "biuf":  # a datetime64 counts in units of its own
            found = found.item()
        if isinstance(field, Number) and isinstance(found, float) and math.isnan(found):
            found = None
        if found is None and field.required:
            raise EventError(f"{field.name}: expected {_expected(field)}, found nothing")
        row[field.name] = None if found is None else _READERS[field.kind](field, found)
    return row


def number_of(field: Field, value: Any) -> float:
    """A row's value as kernels and models see it; NaN where it is missing."""
    if value is None:
        return math.nan
    if isinstance(field, Money):
        return float(value) / float(10**field.scale)
    if isinstance(field, Category):
        return float(field.values.index(value)) if value in field.values else UNKNOWN_CATEGORY
    return float(value)


def _parsed(document: bytes) -> Mapping[str, Any]:
    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    try:
        event = json.loads(document.decode("utf-8"), parse_constant=refuse)
    except ValueError as error:
        raise EventError(f"event: expected JSON, found something else: {error}") from error
    if not isinstance(event, dict):
        raise EventError(f"event: expected a JSON object, found {_found(event)}")
    return event


def _identifier(field: Field, found: object) -> str:
    if isinstance(found, int) and not isinstance(found, bool):
        return str(found)
    if _is_text(found) and found:
        return str(found)
    raise _unfit(field, found)


def _event_time(field: Field, found: object) -> int:
    if isinstance(found, str) and _RFC_3339.fullmatch(found):
        try:
            found = datetime.fromisoformat(found.upper())
        except ValueError:
            raise _unfit(field, found) from None
    if isinstance(found, datetime) and found.utcoffset() is not None:
        found = (found - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    if not isinstance(found, int) or isinstance(found, bool) or abs(found) > EVENT_TIME_LIMIT_US:
        raise _unfit(field, found)
    return found


def _money(field: Field, found: object) -> int:
    exact = _minor_units(field, found)
    if exact is None or exact.denominator != 1 or abs(exact) > MONEY_LIMIT or (exact < 0 and not field.signed):
        raise _unfit(field, found)
    return int(exact)


def _minor_units(field: Field, found: object) -> Fraction | None:
    """What an amount says, in minor units, before it is asked whether that is a whole number of them."""
    if isinstance(found, int) and not isinstance(found, bool):
        return Fraction(found if field.minor_units else found * 10**field.scale)
    if field.minor_units:
        return None
    if isinstance(found, float) and abs(found) <= MONEY_LIMIT:
        # A float is an amount when it is the float nearest to one: 59.9 is 59.90, 59.999 is not an amount of cents.
        minor = round(float(found) * 10**field.scale)
        return Fraction(minor) if float(minor) / float(10**field.scale) == found else None
    if isinstance(found, Decimal) or (isinstance(found, str) and _DECIMAL.fullmatch(found)):
        decimal = Decimal(found)
        exponent = decimal.as_tuple().exponent  # a letter for NaN and the infinities
        # 1E+999999999 is a short Decimal and a Fraction that fills the memory.
        if isinstance(exponent, int) and abs(exponent) < 1000:
            return Fraction(decimal) * Fraction(10**field.scale)
    return None


def _number(field: Field, found: object) -> float:
    if isinstance(found, (int, float)) and not isinstance(found, bool):
        try:
            value = float(found)
        except OverflowError:
            raise _unfit(field, found) from None
        if math.isfinite(value):
            return value
    raise _unfit(field, found)


def _boolean(field: Field, found: object) -> bool:
    if not isinstance(found, bool):
        raise _unfit(field, found)
    return found


def _string(field: Field, found: object) -> str:
    if not _is_text(found) or (field.closed and found not in field.values):
        raise _unfit(field, found)
    return str(found)


def _is_text(found: object) -> bool:
    # A lone surrogate, half a character, has no UTF-8 form.
    return isinstance(found, str) and not any("\ud800" <= character <= "\udfff" for character in found)


_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_DECIMAL = re.compile(r"-?(\d+|\d*\.\d+)", re.ASCII)
_READERS: dict[str, Callable[[Field, Any], Any]] = {
    "id": _identifier,
    "event_time": _event_time,
    "entity": _identifier,
    "money": _money,
    "number": _number,
    "category": _string,
    "text": _string,
    "boolean": _boolean,
}


def _expected(field: Field) -> str:
    if isinstance(field, Category) and field.closed:
        return "one of " + ", ".join(map(repr, field.values))
    if isinstance(field, Money):
        units = "whole minor units" if field.minor_units else f'major units of {field.scale} decimals such as "59.90"'
        return f"an amount of money in {units}" + ("" if field.signed else ", not negative")
    return field.expected


def _found(found: object) -> str:
    return f"{repr(found)[:60]} ({type(found).__name__})"


def _unfit(field: Field, found: object) -> EventError:
    return EventError(f"{field.name}: expected {_expected(field)}, found {_found(found)}")
