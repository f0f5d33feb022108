"""Geography: distances on the globe, the speed that two payments imply, and values that do not match."""

from __future__ import annotations

import math
from datetime import timedelta

from quickthorn.errors import FeatureError
from quickthorn.event import Category, Entity, Text
from quickthorn.features.built_in import built_in
from quickthorn.features.declare import Application
from quickthorn.features.durations import duration_us
from quickthorn.features.texts import TEXT_MISMATCH

# The mean radius of the Earth after the International Union of Geodesy and Geophysics.
EARTH_RADIUS_KM = 6371.0088
_HOUR_SECONDS = 3600.0
_SECOND_US = 1_000_000


def distance_km(latitude: object, longitude: object, other_latitude: object, other_longitude: object) -> Application:
    """The distance of two places in kilometres, by the haversine formula on a sphere: within 0.6 % of the true one.

    Coordinates are degrees, north and east positive. Missing where one is missing, or lies outside ±90 and ±180.
    """
    return _DISTANCE_KM(latitude, longitude, other_latitude, other_longitude)


def implied_speed_kmh(
    latitude: object,
    longitude: object,
    last_latitude: object,
    last_longitude: object,
    elapsed: object,
    *,
    least_elapsed: str | timedelta = "1s",
) -> Application:
    """How fast somebody must have travelled to be here now and to have been there ``elapsed`` seconds ago, in km/h.

    ``latitude`` … ``last_longitude``  degrees, as for ``distance_km``: the payment's own, and ``qt.last`` of each
    ``elapsed``                        seconds between the two, such as ``qt.since_last``
    ``least_elapsed``                  two events closer together than this count as this far apart: clocks are not that
                                       good, and nothing is divided by zero

    Missing where a part is missing, or time runs backwards.
    """
    least_us = duration_us(least_elapsed, "implied_speed_kmh(least_elapsed=)")
    if least_us == 0:
        raise FeatureError(f"implied_speed_kmh(least_elapsed=): expected more than 0, found {least_elapsed!r}")
    distance = _DISTANCE_KM.applied("implied_speed_kmh", latitude, longitude, last_latitude, last_longitude)
    return _SPEED_KMH.applied("implied_speed_kmh", distance, elapsed, least_us / _SECOND_US)


def mismatch(value: object, other: object) -> Application:
    """1 where two values differ, 0 where they are the same: the card's country and the terminal's, this and the last.

    Two fields (Category, Entity or Text) are compared by their text: its length and its first 256 bytes. A category
    with declared ``values`` can also be compared with a feature that holds its ordinal, and two such features with each
    other; then two unknown values may or may not be the same. Missing where that is so, or one is missing.
    """
    if isinstance(value, (Category, Entity, Text)) and isinstance(other, (Category, Entity, Text)):
        return TEXT_MISMATCH.applied("mismatch", value, other)
    return _MISMATCH(value, other)


def _distance_km(latitude: float, longitude: float, other_latitude: float, other_longitude: float) -> float:
    # Comparisons with what is missing are false.
    if not (math.fabs(latitude) <= 90.0 and math.fabs(other_latitude) <= 90.0):
        return math.nan
    if not (math.fabs(longitude) <= 180.0 and math.fabs(other_longitude) <= 180.0):
        return math.nan
    north, other_north = math.radians(latitude), math.radians(other_latitude)
    half_north = math.sin((other_north - north) / 2.0)
    half_east = math.sin(math.radians(other_longitude - longitude) / 2.0)
    haversine = half_north * half_north + math.cos(north) * math.cos(other_north) * half_east * half_east
    return 2.0 * EARTH_RADIUS_KM * math.asin(math.sqrt(min(haversine, 1.0)))


def _speed_kmh(distance: float, elapsed: float, least: float) -> float:
    if not elapsed >= 0.0:
        return math.nan
    return distance / (max(elapsed, least) / _HOUR_SECONDS)


def _mismatch(value: float, other: float) -> float:
    if value != value or other != other or (value == -1.0 and other == -1.0):
        return math.nan
    return 0.0 if value == other else 1.0


_DISTANCE_KM = built_in(_distance_km, ("number", "number", "number", "number"), name="distance_km")
_SPEED_KMH = built_in(_speed_kmh, ("number", "number", "number"), name="speed_kmh")
_MISMATCH = built_in(_mismatch, ("ordinal", "ordinal"), name="mismatch")
