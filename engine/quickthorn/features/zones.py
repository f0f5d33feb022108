"""The rules of a named time zone over a span of years, as a table of when which offset from UTC begins."""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from quickthorn.errors import FeatureError

# Between these years every fourth is a leap year, which is what the calendar kernels count on.
YEAR_LEAST, YEAR_MOST = 1902, 2099
YEARS = (2000, 2049)
US = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# No zone has changed its clocks twice within a day.
_STEP_SECONDS = 43_200


@dataclass(frozen=True)
class ZoneRules:
    """A zone from the start of ``first_year`` to the end of ``last_year``, both in UTC.

    ``starts_us[i]``   when the offset ``offsets_us[i]`` begins, microseconds UTC; the first is the span's start
    ``end_us``         the span's end: local time is not known from there on
    """

    zone: str
    first_year: int
    last_year: int
    starts_us: tuple[int, ...]
    offsets_us: tuple[int, ...]
    end_us: int

    @property
    def sha256(self) -> str:
        """A digest of the rules, in hex: it tells two versions of a zone apart."""
        text = json.dumps([self.starts_us, self.offsets_us, self.end_us])
        return hashlib.sha256(text.encode()).hexdigest()


def check_zone(where: str, zone: object) -> str:
    """The name of a zone that exists; FeatureError where it does not."""
    # Only where a calendar feature is declared: serving reads no zones, and neither import is free.
    import difflib
    from zoneinfo import ZoneInfo, available_timezones

    if isinstance(zone, str) and zone:
        try:
            ZoneInfo(zone)
        except (OSError, ValueError, KeyError):
            # A KeyError of a name unknown, a ValueError of one that is no path, an OSError of a directory of zones.
            near = difflib.get_close_matches(zone, sorted(available_timezones()), n=1)
            expected = f"a time zone that exists such as {near[0] if near else 'Europe/Berlin'!r}"
            raise FeatureError(f"{where}(zone=): expected {expected}, found {zone!r}") from None
        return zone
    raise FeatureError(f"{where}(zone=): expected the name of a time zone such as 'Europe/Berlin', found {zone!r}")


def check_years(where: str, years: object) -> tuple[int, int]:
    """The first and last year of a span; FeatureError where it is none."""
    if isinstance(years, tuple) and len(years) == 2 and all(type(year) is int for year in years):
        first, last = years
        if YEAR_LEAST <= first <= last <= YEAR_MOST:
            return first, last
    raise FeatureError(
        f"{where}(years=): expected the first and the last year, from {YEAR_LEAST} to {YEAR_MOST}, found {years!r}"
    )


@functools.cache
def zone_rules(zone: str, first_year: int, last_year: int) -> ZoneRules:
    """The zone's rules over the span, from the time zone database that Python's zoneinfo finds."""
    from zoneinfo import ZoneInfo

    clock = ZoneInfo(zone)
    seconds, end = _seconds(first_year), _seconds(last_year + 1)
    starts, offsets = [seconds], [_offset(clock, seconds)]
    while seconds < end:
        until = min(seconds + _STEP_SECONDS, end)
        if _offset(clock, until) == offsets[-1]:
            seconds = until
            continue
        while until - seconds > 1:
            middle = (seconds + until) // 2
            if _offset(clock, middle) == offsets[-1]:
                seconds = middle
            else:
                until = middle
        seconds = until
        if seconds < end:
            starts.append(seconds)
            offsets.append(_offset(clock, seconds))
    return ZoneRules(
        zone, first_year, last_year, tuple(s * US for s in starts), tuple(o * US for o in offsets), end * US
    )


def _seconds(year: int) -> int:
    return (datetime(year, 1, 1, tzinfo=UTC) - _EPOCH) // timedelta(seconds=1)


def _offset(clock: tzinfo, seconds: int) -> int:
    offset = (_EPOCH + timedelta(seconds=seconds)).astimezone(clock).utcoffset()
    return (offset or timedelta(0)) // timedelta(seconds=1)
