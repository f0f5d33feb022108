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


def speed_kmh(distance: float, at: float, last_at: float, least_us: float) -> float:
    """Kilometres over hours; missing where time runs backwards."""
    if math.isnan(distance) or math.isnan(at) or math.isnan(last_at):
        return math.nan
    elapsed_us = float(at) - float(last_at)
    return distance / (max(elapsed_us, least_us) / 3_600_000_000) if elapsed_us >= 0 else math.nan


def mismatch(value: float, other: float) -> float:
    """Whether two ordinals differ; two unknown ones cannot be told."""
    if math.isnan(value) or math.isnan(other) or value == other == -1:
        return math.nan
    return float(value != other)
