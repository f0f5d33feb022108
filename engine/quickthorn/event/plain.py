"""Brings the rarer Python values (Decimal, datetime, numpy scalars) to the plain ones the engine reads natively."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def plain_value(value: Any, is_time: bool) -> Any:
    """``value`` as a str, int, float, bool or None; NotImplemented where it is none of these in another dress.

    A Decimal becomes its decimal text, an aware datetime (only for an event time) int microseconds UTC, a numpy
    scalar the Python value of the same precision.
    """
    if isinstance(value, Decimal):
        exponent = value.as_tuple().exponent
        # Written out in full, 1E+999999999 would be a gigabyte of zeros; with its exponent it is no amount of money.
        return format(value, "f") if isinstance(exponent, int) and abs(exponent) < 100 else str(value)
    if isinstance(value, datetime):
        if not is_time or value.tzinfo is None or value.utcoffset() is None:
            return NotImplemented
        return (value - _EPOCH) // timedelta(microseconds=1)
    # numpy is recognised by name, so that reading an event never imports it.
    if type(value).__module__ == "numpy" and hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        # A datetime64 or timedelta64 has an int item too, in a unit that the event would not know.
        if value.dtype.kind not in "biuf":
            return NotImplemented
        item = value.item()
        return item if isinstance(item, (bool, int, float, str)) else NotImplemented
    return NotImplemented
