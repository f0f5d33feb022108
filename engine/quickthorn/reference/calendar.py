"""Calendar features by Python's own datetime and zoneinfo.

Local time is microseconds of the zone's clock since 1970 by that clock, NaN where it is not known.
"""

from __future__ import annotations

import calendar
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

_WALL_EPOCH = datetime(1970, 1, 1)


def local_time(zone: str, first_year: int, last_year: int, at: float) -> float:
    """Microseconds of the zone's own clock since 1970 by that clock; NaN outside the span of years."""
    if math.isnan(at):
        return math.nan
    start, end = datetime(first_year, 1, 1, tzinfo=UTC), datetime(last_year, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    instant = math.floor(at) if math.isfinite(at) else 2**62
    if not _microseconds(start) <= instant <= _microseconds(end):
        return math.nan
    wall = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=instant)).astimezone(ZoneInfo(zone))
    return float((wall.replace(tzinfo=None) - _WALL_EPOCH) // timedelta(microseconds=1))


def _microseconds(instant: datetime) -> int:
    return (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _of_clock(meaning: Callable[..., float]) -> Callable[..., float]:
    """A function of what the clock shows, as one of local microseconds that may be missing."""

    def value(local: float, *parameters: float) -> float:
        if math.isnan(local):
            return math.nan
        return float(meaning(_WALL_EPOCH + timedelta(microseconds=int(local)), *parameters))

    return value


def _month_days(wall: datetime) -> int:
    return calendar.monthrange(wall.year, wall.month)[1]


def _hours(wall: datetime) -> float:
    midnight = wall.replace(hour=0, minute=0, second=0, microsecond=0)
    return ((wall - midnight) // timedelta(microseconds=1)) / 3_600_000_000


def _is_night(wall: datetime, start: float, end: float) -> bool:
    if start < end:
        return start <= _hours(wall) < end
    return not end <= _hours(wall) < start


hour = _of_clock(lambda wall: wall.hour)
time_of_day = _of_clock(_hours)
weekday = _of_clock(lambda wall: wall.weekday())
day_of_month = _of_clock(lambda wall: wall.day)
days_to_month_end = _of_clock(lambda wall: _month_days(wall) - wall.day)
is_month_end = _of_clock(lambda wall, days: _month_days(wall) - wall.day < days)
is_weekend = _of_clock(lambda wall, days: int(days) & 2 ** wall.weekday() != 0)
is_night = _of_clock(_is_night)


def circle_sin(value: float, period: float) -> float:
    """The sine of a value's place on a circle; missing where the value has no place on it."""
    turns = value / period
    return math.sin(math.tau * turns) if math.isfinite(math.tau * turns) else math.nan


def circle_cos(value: float, period: float) -> float:
    """The cosine, alike."""
    turns = value / period
    return math.cos(math.tau * turns) if math.isfinite(math.tau * turns) else math.nan
