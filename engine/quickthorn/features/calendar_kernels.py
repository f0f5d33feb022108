"""The code of the calendar features: local time by a constant table, then plain arithmetic on days.

Local time passes between kernels as float64 microseconds, which is exact for every year a span may name.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable

import numpy as np

from quickthorn.features.ahead import ahead_of_time
from quickthorn.features.zones import zone_rules

_HOUR_US = 3_600_000_000
_DAY_US = 24 * _HOUR_US
# Buckets of 2**43 µs, 102 days: at most a few changes of the clock lie in one, so that finding the right one is a look
# into a table and a step or two.
_BUCKET_BITS = 43
# 1970 began on a Thursday; 1901 was 25,202 days before it and begins a cycle of four years with the leap year last.
_THURSDAY = 3
_DAYS_SINCE_1901 = 25_202
_CYCLE_DAYS, _YEAR_DAYS = 1461, 365
_MONTH_DAYS = ((31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31), (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31))
# The day of the year on which each month begins and the last one ends, of a common and a leap year.
_MONTH_STARTS = np.array([[sum(days[:month]) for month in range(13)] for days in _MONTH_DAYS], np.int64)


def local_time(zone: str, first_year: int, last_year: int) -> Callable[..., float]:
    """The kernel that turns microseconds UTC into microseconds of the zone's own clock, missing outside the span."""
    rules = zone_rules(zone, first_year, last_year)
    first_us, end_us = rules.starts_us[0], rules.end_us
    bucket_count = ((end_us - first_us - 1) >> _BUCKET_BITS) + 1
    buckets = np.array(
        [
            bisect.bisect_right(rules.starts_us, first_us + (bucket << _BUCKET_BITS)) - 1
            for bucket in range(bucket_count)
        ],
        np.int64,
    )
    until_us = np.array([*rules.starts_us[1:], end_us], np.int64)
    offset_us = np.array(rules.offsets_us, np.int64)

    def local_time(at: float) -> float:
        if not (first_us <= at < end_us):
            return math.nan
        instant = int(at)
        if instant > at:  # a fraction before 1970
            instant -= 1
        place = buckets[(instant - first_us) >> _BUCKET_BITS]
        while instant >= until_us[place]:
            place += 1
        return float(instant + offset_us[place])

    return local_time


def hour(local: float) -> float:
    if local != local:
        return math.nan
    return float(int(local) % _DAY_US // _HOUR_US)


def time_of_day(local: float) -> float:
    if local != local:
        return math.nan
    return float(int(local) % _DAY_US) / float(_HOUR_US)


def weekday(local: float) -> float:
    if local != local:
        return math.nan
    return float((int(local) // _DAY_US + _THURSDAY) % 7)


def is_weekend(local: float, days: float) -> float:
    if local != local:
        return math.nan
    return float(int(days) >> ((int(local) // _DAY_US + _THURSDAY) % 7) & 1)


def is_night(local: float, start: float, end: float) -> float:
    if local != local:
        return math.nan
    now = float(int(local) % _DAY_US) / float(_HOUR_US)
    after, before = now >= start, now < end
    inside = after and before if start < end else after or before
    return 1.0 if inside else 0.0


@ahead_of_time
def _month(local: float) -> tuple[int, int]:
    """The days since the month began, and the days of the month."""
    day = int(local) // _DAY_US + _DAYS_SINCE_1901
    day_of_cycle = day % _CYCLE_DAYS
    year = min(day_of_cycle // _YEAR_DAYS, 3)
    day_of_year = day_of_cycle - year * _YEAR_DAYS
    leap = year // 3
    # Months are shorter than 32 days, and none by so much that a day's month were more than one further.
    month = day_of_year >> 5
    if day_of_year >= _MONTH_STARTS[leap, month + 1]:
        month += 1
    starts = _MONTH_STARTS[leap, month]
    return day_of_year - starts, _MONTH_STARTS[leap, month + 1] - starts


def day_of_month(local: float) -> float:
    if local != local:
        return math.nan
    return float(_month(local)[0] + 1)


def days_to_month_end(local: float) -> float:
    if local != local:
        return math.nan
    gone, days = _month(local)
    return float(days - 1 - gone)


def is_month_end(local: float, days: float) -> float:
    if local != local:
        return math.nan
    gone, month_days = _month(local)
    return 1.0 if float(month_days - 1 - gone) < days else 0.0


def circle_sin(value: float, period: float) -> float:
    return math.sin(math.tau * (value / period))


def circle_cos(value: float, period: float) -> float:
    return math.cos(math.tau * (value / period))
