"""Geography: distance, implied speed and mismatch."""

from __future__ import annotations

import math

_EARTH_RADIUS_KM = 6371.0088


def distance_km(latitude: float, longitude: float, other_latitude: float, other_longitude: float) -> float:
    """The haversine formula; missing where a coordinate is missing or off the globe."""
    for degrees, most in ((latitude, 90), (other_latitude, 90), (longitude, 180), (other_longitude, 180)):
        if math.isnan(degrees) or abs(degrees) > most:
            return math.nan
    north, other_north = math.radians(latitude), math.radians(other_latitude)
    between_north = math.sin((other_north - north) / 2) ** 2
    between_east = math.sin(math.radians(other_longitude - longitude) / 2) ** 2
    haversine = between_north + math.cos(north) * math.cos(other_north) * between_east
    return 2 * _EARTH_RADIUS_KM * math.asin(math.sqrt(min(1.0, haversine)))


def speed_kmh(distance: float, elapsed: float, least: float) -> float:
    """Kilometres over hours; missing where time runs backwards."""
    if math.isnan(distance) or math.isnan(elapsed) or elapsed < 0:
        return math.nan
    return distance / (max(elapsed, least) / 3600)


def mismatch(value: float, other: float) -> float:
    """Whether two ordinals differ; two unknown ones cannot be told."""
    if math.isnan(value) or math.isnan(other) or value == other == -1:
        return math.nan
    return float(value != other)
