"""Distances against scikit-learn and published ones; implied speed; values that do not match."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics.pairwise import haversine_distances

import quickthorn as qt
from quickthorn.errors import FeatureError

MANY = settings(max_examples=300, deadline=None, derandomize=True, database=None)
HOUR = 3600
COUNTRIES = ("DE", "FR", "GB")


class Reading(qt.Event):
    event_id: qt.Id
    at: qt.EventTime
    latitude: qt.Number | None
    longitude: qt.Number | None
    last_latitude: qt.Number | None
    last_longitude: qt.Number | None
    elapsed: qt.Number | None
    card_country: qt.Category | None = qt.field(values=COUNTRIES)
    ip_country: qt.Category | None = qt.field(values=COUNTRIES)
    channel: qt.Category | None = qt.field(values=("web", "app"))
    city: qt.Category | None
    terminal: qt.Entity | None


PLACES = (Reading.latitude, Reading.longitude), (Reading.last_latitude, Reading.last_longitude)


@pytest.fixture(scope="module")
def read(both: Callable[[qt.FeatureSet], Any]) -> Any:
    (latitude, longitude), (last_latitude, last_longitude) = PLACES
    features = qt.FeatureSet(Reading)
    features["distance"] = qt.distance_km(latitude, longitude, last_latitude, last_longitude)
    travel = (latitude, longitude, last_latitude, last_longitude, Reading.elapsed)
    features["speed"] = qt.implied_speed_kmh(*travel)
    features["speed_1h"] = qt.implied_speed_kmh(*travel, least_elapsed="1h")
    features["mismatch"] = qt.mismatch(Reading.card_country, Reading.ip_country)
    features["no values"] = qt.mismatch(Reading.city, Reading.terminal)
    features["ordinal"] = Reading.ip_country
    features["to_feature"] = qt.mismatch(Reading.card_country, features["ordinal"])
    return both(features)


def place(latitude: Any, longitude: Any, last_latitude: Any, last_longitude: Any) -> dict[str, Any]:
    names = ("latitude", "longitude", "last_latitude", "last_longitude")
    return dict(zip(names, (latitude, longitude, last_latitude, last_longitude), strict=True))


degrees = st.one_of(st.none(), st.floats(-200, 200), st.sampled_from([0.0, -0.0, 90.0, -90.0, 180.0, -180.0, 90.0001]))


@MANY
@given(
    coordinates=st.tuples(degrees, degrees, degrees, degrees),
    elapsed=st.one_of(st.none(), st.floats(-1e6, 1e9), st.sampled_from([0.0, -0.0, 1.0, 5e-324])),
    countries=st.tuples(*[st.sampled_from([None, *COUNTRIES, "XX", ""])] * 2),
)
def test_any_places_give_what_the_specification_gives(
    read: Any, coordinates: tuple[Any, ...], elapsed: float | None, countries: tuple[Any, Any]
) -> None:
    read(**place(*coordinates), elapsed=elapsed, card_country=countries[0], ip_country=countries[1])


def test_distances_equal_those_of_scikit_learn(read: Any) -> None:
    random = np.random.default_rng(4)
    here, there = (np.column_stack([random.uniform(-90, 90, 300), random.uniform(-180, 180, 300)]) for _ in range(2))
    expected = np.diag(haversine_distances(np.radians(here), np.radians(there))) * 6371.0088
    found = [read(**place(*a.tolist(), *b.tolist()))["distance"] for a, b in zip(here, there, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("here", "there", "kilometres"),
    [
        ((52.5200, 13.4050), (48.8566, 2.3522), 877.5),  # Berlin and Paris
        ((40.6413, -73.7781), (51.4700, -0.4543), 5540.0),  # the airports JFK and LHR
        ((36.12, -86.67), (33.94, -118.40), 2886.4),  # BNA and LAX, the usual worked example
        ((90.0, 0.0), (-90.0, 77.0), math.pi * 6371.0088),  # from pole to pole
        ((0.0, 179.5), (0.0, -179.5), math.radians(1) * 6371.0088),  # over the date line
    ],
)
def test_known_distances(read: Any, here: tuple[float, float], there: tuple[float, float], kilometres: float) -> None:
    assert read(**place(*here, *there))["distance"] == pytest.approx(kilometres, rel=1e-3)
    assert read(**place(*here, *here))["distance"] == 0.0


def test_a_place_off_the_globe_is_missing(read: Any) -> None:
    for wrong in ((90.01, 0, 0, 0), (0, 180.01, 0, 0), (0, 0, None, 0), (0, 0, 0, -181)):
        assert math.isnan(read(**place(*wrong))["distance"])


def test_the_implied_speed_is_the_distance_over_the_time_between(read: Any) -> None:
    travelled = place(52.52, 13.405, 48.8566, 2.3522)
    found = read(**travelled, elapsed=2 * HOUR)
    assert found["speed"] == pytest.approx(found["distance"] / 2)
    soon = read(**travelled, elapsed=0)
    assert soon["speed"] == pytest.approx(soon["distance"] * 3600)
    assert soon["speed_1h"] == soon["distance"]
    assert math.isnan(read(**travelled, elapsed=-1)["speed"])
    assert math.isnan(read(**travelled, elapsed=None)["speed"])


@pytest.mark.parametrize(
    ("card", "ip", "expected"),
    [
        *(("DE", "DE", 0.0), ("DE", "FR", 1.0), ("DE", "XX", 1.0)),
        *(("XX", "XX", 0.0), ("XX", "YY", 1.0), (None, "DE", math.nan), ("XX", None, math.nan)),
    ],
)
def test_countries_match_or_do_not(read: Any, card: str | None, ip: str | None, expected: float) -> None:
    found = read(card_country=card, ip_country=ip, city=card, terminal=ip)
    np.testing.assert_equal([found["mismatch"], found["no values"]], [expected, expected])
    # By their ordinals alone, two values that are not declared may be one.
    unknown = card not in (None, *COUNTRIES) and ip not in (None, *COUNTRIES)
    np.testing.assert_equal(found["to_feature"], math.nan if unknown else expected)


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda: qt.mismatch(Reading.city, 1), r"mismatch: expected a category with declared values.*Reading\.city"),
        (lambda: qt.mismatch(Reading.event_id, 1), r"mismatch: expected a category.*found Reading\.event_id"),
        (lambda: qt.distance_km(Reading.channel, 1, 2, 3), r"distance_km: expected.*Reading\.channel"),
        (
            lambda: qt.implied_speed_kmh(1, 2, 3, 4, Reading.channel),
            r"implied_speed_kmh: expected a Money, Number or Boolean field.*Reading\.channel",
        ),
        (
            lambda: qt.implied_speed_kmh(1, 2, 3, 4, 5, least_elapsed="0s"),
            r"implied_speed_kmh\(least_elapsed=\): expected more than 0, found '0s'",
        ),
    ],
)
def test_what_is_no_place_is_refused(declare: Callable[[], object], message: str) -> None:
    with pytest.raises(FeatureError, match=message):
        declare()
