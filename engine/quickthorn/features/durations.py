"""Durations as people write them: "15m", "7d"."""

from __future__ import annotations

import re
from datetime import timedelta

from quickthorn.errors import FeatureError

_UNIT_US = {
    "us": 1,
    "ms": 1_000,
    "s": 1_000_000,
    "m": 60 * 1_000_000,
    "h": 3_600 * 1_000_000,
    "d": 86_400 * 1_000_000,
    "w": 7 * 86_400 * 1_000_000,
}
_WRITTEN = re.compile(r"([0-9]{1,9})(us|ms|s|m|h|d|w)")
# A century: beyond it a window is a mistake, and window arithmetic stays far from the ends of int64.
LONGEST_US = 100 * 366 * _UNIT_US["d"]


def duration_us(value: str | timedelta, where: str) -> int:
    """``"15m"`` or a timedelta as whole microseconds, from 0 to a century; FeatureError names ``where``."""
    if isinstance(value, timedelta):
        us = value // timedelta(microseconds=1)
    else:
        match = _WRITTEN.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            raise FeatureError(f'{where}: expected a duration such as "15m", found {value!r}')
        us = int(match[1]) * _UNIT_US[match[2]]
    if not 0 <= us <= LONGEST_US:
        raise FeatureError(f"{where}: expected a duration from 0 to 100 years, found {value!r}")
    return us
