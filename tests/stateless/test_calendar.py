"""Calendar features: against zoneinfo, pandas and the calendar, above all around the changes of the clock."""

from __future__ import annotations

import calendar
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import quickthorn as qt
from quickthorn.compiling import compile_bundle
from quickthorn.errors import FeatureError
from quickthorn.features.zones import zone_rules

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
US = timedelta(microseconds=1)
HOUR_US, DAY_US = 3_600_000_000, 86_400_000_000
# Half hours, a date line crossed, summer time that ends for a month in spring, double summer time, nights of 23 hours.
ZONES = (
    *("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia"),
    *(
        "Africa/Casablanca",
        "Africa/Cairo",
        "America/Sao_Paulo",
        "Asia/Tehran",
        "Antarctica/Troll",
        "Pacific/Kiritimati",
    ),
)
MANY = settings(max_examples=200, deadline=None, derandomize=True, database=None)
SPAN = (1998, 2047)
START_US, END_US = ((datetime(year, 1, 1, tzinfo=UTC) - EPOCH) // US for year in (SPAN[0], SPAN[1] + 1))


class Reading(qt.Event):
    event_id: qt.Id
    at: qt.EventTime
    x: qt.Number | None


@pytest.fixture(scope="module")
def read(both: Callable[[qt.FeatureSet], Any]) -> Any:
    features = qt.FeatureSet(Reading)
    for zone in ZONES:
        features[f"time {zone}"] = qt.time_of_day(Reading.at, zone=zone, years=SPAN)
    berlin: dict[str, Any] = {"zone": "Europe/Berlin", "years": SPAN}
    features["hour"] = qt.hour(Reading.at, **berlin)
    features["weekday"] = qt.weekday(Reading.at, **berlin)
    features["day"] = qt.day_of_month(Reading.at, **berlin)
    features["left"] = qt.days_to_month_end(Reading.at, **berlin)
    features["month_end"] = qt.is_month_end(Reading.at, **berlin)
    features["month_end_3"] = qt.is_month_end(Reading.at, days=3, **berlin)
    features["weekend"] = qt.is_weekend(Reading.at, **berlin)
    features["friday"] = qt.is_weekend(Reading.at, days=[4], **berlin)
    features["night"] = qt.is_night(Reading.at, **berlin)
    features["lunch"] = qt.is_night(Reading.at, start=12, end=13.5, **berlin)
    features["hour_sin"], features["hour_cos"] = qt.cyclic(features["time Europe/Berlin"], 24)
    features["from_float"] = qt.hour(Reading.x, **berlin)
    features["x_sin"], features["x_cos"] = qt.cyclic(Reading.x, 7)
    return both(features)


@st.composite
def instants(draw: st.DrawFn) -> int:
    """Anywhere in the span, or within two hours of a change of the clock, a midnight, a year or the span's ends."""
    beside = draw(st.sampled_from([0, 0, -1, 1, HOUR_US, -HOUR_US, HOUR_US - 1, 2 * HOUR_US, -DAY_US]))
    kind = draw(st.sampled_from(["any", "change", "midnight", "year", "end"]))
    if kind == "any":
        return draw(st.integers(START_US, END_US - 1))
    if kind == "change":
        return draw(st.sampled_from(zone_rules(draw(st.sampled_from(ZONES)), *SPAN).starts_us)) + beside
    if kind == "midnight":
        return draw(st.integers(START_US // DAY_US, END_US // DAY_US)) * DAY_US + beside
    if kind == "year":
        return (datetime(draw(st.integers(*SPAN)), draw(st.sampled_from([1, 3])), 1, tzinfo=UTC) - EPOCH) // US + beside
    return draw(st.sampled_from([START_US, END_US])) + beside


@MANY
@given(at=instants())
def test_every_instant_shows_what_zoneinfo_shows(read: Any, at: int) -> None:
    found = read(at=at, x=float(at))
    for zone in ZONES:
        wall = (EPOCH + at * US).astimezone(ZoneInfo(zone))
        hours = wall.hour + (wall.minute * 60_000_000 + wall.second * 1_000_000 + wall.microsecond) / HOUR_US
        expected = hours if START_US <= at < END_US else math.nan
        np.testing.assert_allclose(found[f"time {zone}"], expected, rtol=0, atol=1e-12)
    if not START_US <= at < END_US:
        assert all(
            math.isnan(found[name]) for name in ("hour", "weekday", "month_end", "weekend", "night", "from_float")
        )
        return
    wall = (EPOCH + at * US).astimezone(ZoneInfo("Europe/Berlin"))
    left = calendar.monthrange(wall.year, wall.month)[1] - wall.day
    assert (found["hour"], found["weekday"], found["day"]) == (wall.hour, wall.weekday(), wall.day)
    assert (found["left"], found["month_end"], found["month_end_3"]) == (left, left == 0, left < 3)
    assert (found["weekend"], found["friday"]) == (wall.weekday() >= 5, wall.weekday() == 4)
    assert found["night"] == (wall.hour >= 22 or wall.hour < 6)
    assert found["lunch"] == (wall.hour == 12 or (wall.hour == 13 and wall.minute < 30))
    assert found["from_float"] == wall.hour


def test_every_day_of_the_calendar_has_its_place_in_its_month(read: Any) -> None:
    days = pd.date_range("2023-12-31 12:00", "2028-03-01 12:00", freq="D", tz="Europe/Berlin")
    for day in days:
        found = read(at=day.value // 1000)
        assert (found["day"], found["month_end"], found["weekday"]) == (day.day, day.is_month_end, day.day_of_week)
        assert found["left"] == day.days_in_month - day.day


def test_every_zone_has_the_offsets_of_zoneinfo_all_through_the_span() -> None:
    random = np.random.default_rng(2)
    for zone in sorted(available_timezones())[::25]:
        rules = zone_rules(zone, 2000, 2049)
        for at in random.integers(rules.starts_us[0], rules.end_us, 200):
            offset = (EPOCH + int(at) * US).astimezone(ZoneInfo(zone)).utcoffset()
            place = int(np.searchsorted(rules.starts_us, at, side="right")) - 1
            assert rules.offsets_us[place] * US == offset, (zone, at)


def test_the_circle_closes(read: Any) -> None:
    midnight = (datetime(2026, 5, 4, tzinfo=ZoneInfo("Europe/Berlin")) - EPOCH) // US
    around = [read(at=midnight + minute * 60_000_000) for minute in range(0, 1440, 7)]
    turns = np.arange(0, 1440, 7) / 1440
    np.testing.assert_allclose([found["hour_sin"] for found in around], np.sin(2 * np.pi * turns), atol=1e-12)
    np.testing.assert_allclose([found["hour_cos"] for found in around], np.cos(2 * np.pi * turns), atol=1e-12)
    assert read(x=1.75)["x_sin"] == pytest.approx(1.0)
    assert read(x=7)["x_cos"] == 1.0
    assert math.isnan(read(x=None)["x_sin"])


@MANY
@given(x=st.one_of(st.floats(-1e6, 1e6), st.floats(-(2.0**60), 2.0**60), st.floats(-0.5, 0.5)))
def test_fractions_of_a_microsecond_and_far_times_do_what_the_specification_does(read: Any, x: float) -> None:
    read(x=x)


def test_times_before_1970_are_on_the_calendar_too(both: Callable[[qt.FeatureSet], Any]) -> None:
    features = qt.FeatureSet(Reading)
    declared: dict[str, Any] = {"zone": "America/New_York", "years": (1902, 2099)}
    features["weekday"], features["day"] = qt.weekday(Reading.at, **declared), qt.day_of_month(Reading.x, **declared)
    features["hour"] = qt.hour(Reading.x, **declared)
    read = both(features)
    for year in (1902, 1904, 1969, 1970, 2000, 2099):
        for month in range(1, 13):
            wall = datetime(year, month, 1, 0, 0, 0, tzinfo=ZoneInfo("America/New_York"))
            at = (wall - EPOCH) // US
            found = read(at=at, x=float(at))
            assert (found["weekday"], found["day"], found["hour"]) == (wall.weekday(), 1, 0)
    # Half a microsecond before the year began it was still 23 o'clock.
    assert read(x=-0.5 + 5 * HOUR_US)["hour"] == 23


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (
            lambda: qt.hour(Reading.at, zone="Europe/Berln"),
            r"hour\(zone=\): expected a time zone that exists such as 'Europe/Berlin', found 'Europe/Berln'$",
        ),
        (lambda: qt.weekday(Reading.at, zone="Europe"), r"weekday\(zone=\): expected a time zone that exists"),
        (lambda: qt.hour(Reading.at, zone="../etc/passwd"), r"hour\(zone=\): expected a time zone that exists"),
        (lambda: qt.hour(Reading.at, zone=""), r"zone=\): expected the name of a time zone"),
        (lambda: qt.hour(Reading.at, zone=UTC), r"zone=\): expected the name of a time zone"),  # type: ignore[arg-type]
        (
            lambda: qt.hour(Reading.at, zone="UTC", years=(2030, 2020)),
            r"hour\(years=\): expected the first and the last",
        ),
        (lambda: qt.hour(Reading.at, zone="UTC", years=(1900, 2020)), r"from 1902 to 2099, found \(1900, 2020\)"),
        (lambda: qt.hour(Reading.event_id, zone="UTC"), r"hour: expected an EventTime field.*Reading\.event_id"),
        (lambda: qt.is_night(Reading.at, zone="UTC", start=6, end=6), "expected an end other than the start"),
        (lambda: qt.is_night(Reading.at, zone="UTC", start=25), r"start=\): expected a number from 0 to 24, found 25"),
        (lambda: qt.is_weekend(Reading.at, zone="UTC", days=()), r"days=\): expected at least one weekday"),
        (lambda: qt.is_weekend(Reading.at, zone="UTC", days=(7,)), r"days=\): expected a whole number from 0 to 6"),
        (lambda: qt.is_month_end(Reading.at, zone="UTC", days=0), r"days=\): expected a whole number from 1 to 28"),
        (lambda: qt.cyclic(Reading.x, 0), r"cyclic\(period=\): expected a number"),
        (lambda: qt.cyclic(Reading.x, math.inf), r"cyclic\(period=\): expected a finite period"),
    ],
)
def test_what_is_not_on_the_calendar_is_refused(declare: Callable[[], object], message: str) -> None:
    with pytest.raises(FeatureError, match=message):
        declare()


def test_the_manifest_lists_the_zones_that_were_baked_in(tmp_path: Path) -> None:
    features = qt.FeatureSet(Reading)
    features["night"] = qt.ratio(qt.is_night(Reading.at, zone="Europe/Berlin"), 2)
    features["hour"] = qt.hour(Reading.at, zone="Europe/Berlin")
    features["new york"] = qt.hour(Reading.at, zone="America/New_York", years=(2020, 2030))
    compile_bundle(features=features, output=tmp_path / "zones.qt", target="x86-64-v2")
    tables = qt.Engine.load(tmp_path / "zones.qt", allow_unsigned=True).manifest.tables
    assert [(table.kind, table.name) for table in tables] == [
        ("zone", "America/New_York 2020-2030"),
        ("zone", "Europe/Berlin 2000-2049"),
    ]
    assert tables[1].sha256 == zone_rules("Europe/Berlin", 2000, 2049).sha256
