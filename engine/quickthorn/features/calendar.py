"""Calendar features of an event time in a named time zone: hour, weekday, night, month end, and their circle.

The zone's rules are looked up when a bundle is compiled, for a declared span of years, and are constants of its library
from then on: serving needs no time zone database, and a decision does not change when one is updated. Outside the span
the features are missing.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable

from quickthorn.errors import FeatureError
from quickthorn.features.built_in import (
    BuiltIn,
    ConstantTable,
    Takes,
    check_number,
    check_whole,
    code_in,
    loaded_built_in,
)
from quickthorn.features.declare import Application
from quickthorn.features.zones import YEARS, check_years, check_zone, zone_rules

NIGHT = (22, 6)
WEEKEND = (5, 6)
Years = tuple[int, int]


def hour(at: object, *, zone: str, years: Years = YEARS) -> Application:
    """The hour of the local day, 0 to 23.

    ``at``     an EventTime field, or a Number field or feature in microseconds UTC
    ``zone``   a name of the time zone database such as "Europe/Berlin"; FeatureError where there is none
    ``years``  the first and the last year, in UTC, whose rules are kept; at other times the feature is missing
    """
    return _HOUR(_local_time("hour", at, zone, years))


def time_of_day(at: object, *, zone: str, years: Years = YEARS) -> Application:
    """Hours since local midnight as the clock shows them, with their fraction: 13.5 at half past one."""
    return _TIME_OF_DAY(_local_time("time_of_day", at, zone, years))


def weekday(at: object, *, zone: str, years: Years = YEARS) -> Application:
    """The local day of the week, Monday 0 to Sunday 6."""
    return _WEEKDAY(_local_time("weekday", at, zone, years))


def day_of_month(at: object, *, zone: str, years: Years = YEARS) -> Application:
    """The local day of the month, from 1."""
    return _DAY_OF_MONTH(_local_time("day_of_month", at, zone, years))


def days_to_month_end(at: object, *, zone: str, years: Years = YEARS) -> Application:
    """Days left in the local month: 0 on its last day."""
    return _DAYS_TO_MONTH_END(_local_time("days_to_month_end", at, zone, years))


def is_month_end(at: object, *, zone: str, days: int = 1, years: Years = YEARS) -> Application:
    """1 on the last ``days`` days of the local month, else 0."""
    within = check_whole("is_month_end(days=)", days, 1, 28)
    return _IS_MONTH_END(_local_time("is_month_end", at, zone, years), within)


def is_weekend(at: object, *, zone: str, days: Iterable[int] = WEEKEND, years: Years = YEARS) -> Application:
    """1 on the local weekdays in ``days`` (Monday is 0; Saturday and Sunday by default), else 0."""
    chosen = 0
    for day in days:
        chosen |= 1 << check_whole("is_weekend(days=)", day, 0, 6)
    if not chosen:
        raise FeatureError(f"is_weekend(days=): expected at least one weekday, found {days!r}")
    return _IS_WEEKEND(_local_time("is_weekend", at, zone, years), chosen)


def is_night(
    at: object, *, zone: str, start: float = NIGHT[0], end: float = NIGHT[1], years: Years = YEARS
) -> Application:
    """1 from ``start`` until before ``end`` by the local clock, in hours of the day, else 0.

    A ``start`` after the ``end`` means a night over midnight, such as the default from 22 to 6.
    """
    first, last = check_number("is_night(start=)", start, 0, 24), check_number("is_night(end=)", end, 0, 24)
    if first == last:
        raise FeatureError(f"is_night: expected an end other than the start, found {start!r} for both")
    return _IS_NIGHT(_local_time("is_night", at, zone, years), first, last)


def cyclic(value: object, period: float) -> tuple[Application, Application]:
    """A value's place on a circle of that period, as sine and cosine: hour 23 lies beside hour 0.

    ``features["hour_sin"], features["hour_cos"] = qt.cyclic(qt.hour(Payment.at, zone="Europe/Berlin"), 24)``
    """
    around = check_number("cyclic(period=)", period, 5e-324, math.inf)
    if math.isinf(around):
        raise FeatureError(f"cyclic(period=): expected a finite period, found {period!r}")
    return _CIRCLE_SIN(value, around), _CIRCLE_COS(value, around)


def _local_time(where: str, at: object, zone: object, years: object) -> Application:
    kernel = _zone_kernel(check_zone(where, zone), *check_years(where, years))
    return kernel.applied(where, at)


@functools.cache
def _zone_kernel(zone: str, first_year: int, last_year: int) -> BuiltIn:
    def table() -> ConstantTable:
        rules = zone_rules(zone, first_year, last_year)
        name = f"{zone} {first_year}-{last_year}"
        return ConstantTable("zone", name, len(rules.starts_us), rules.sha256)

    span = (zone, first_year, last_year)
    return loaded_built_in("local_time", ("time",), code_in("calendar_kernels", "local_time", *span), span, table)


def _calendar(name: str, parameters: int = 0) -> BuiltIn:
    number: Takes = "number"
    return loaded_built_in(name, (number,) * (1 + parameters), code_in("calendar_kernels", name))


_HOUR = _calendar("hour")
_TIME_OF_DAY = _calendar("time_of_day")
_WEEKDAY = _calendar("weekday")
_DAY_OF_MONTH = _calendar("day_of_month")
_DAYS_TO_MONTH_END = _calendar("days_to_month_end")
_IS_MONTH_END = _calendar("is_month_end", 1)
_IS_WEEKEND = _calendar("is_weekend", 1)
_IS_NIGHT = _calendar("is_night", 2)
_CIRCLE_SIN = _calendar("circle_sin", 1)
_CIRCLE_COS = _calendar("circle_cos", 1)
