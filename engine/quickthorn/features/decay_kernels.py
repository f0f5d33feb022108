"""Decaying weights, as kernels over an entity's records.

A value joins a mean as (W · mean + x) / (W + 1) and M2, the weighted sum of squared distances from it, as
M2 + (x − mean)² · W / (W + 1), after Chan, Golub and LeVeque ("Updating formulae and a pairwise algorithm for computing
sample variances", 1979). Errors are those of the weighted terms, and fade with them.
"""

from __future__ import annotations

import math

from quickthorn.features.ahead import ahead_of_time
from quickthorn.features.decay import LARGEST_DECAYED
from quickthorn.features.memory import Address, load_float64, load_int64, store_float64, store_int64

WEIGHT = 8
SUM = 16
MEAN = 24
DISTANCES = 32


@ahead_of_time
def fading(record: Address, fading_at: int, half_life_us: float, now_us: int) -> float:
    """What is left at ``now_us`` of a weight of 1 at the record's time."""
    power: float = 2.0 ** (-float(now_us - load_int64(record, fading_at)) / half_life_us)
    return power


@ahead_of_time
def within_range(value: float) -> float:
    return min(max(value, -LARGEST_DECAYED), LARGEST_DECAYED)


@ahead_of_time
def fade_count(record: Address, fading_at: int, half_life_us: float, time_us: int) -> None:
    weight = load_float64(record, fading_at + WEIGHT)
    if weight != 0.0:
        weight *= fading(record, fading_at, half_life_us, time_us)
    store_float64(record, fading_at + WEIGHT, weight + 1.0)
    store_int64(record, fading_at, time_us)


@ahead_of_time
def fade_value(record: Address, fading_at: int, half_life_us: float, time_us: int, value: float) -> None:
    if math.isnan(value):
        return
    value = within_range(value)
    left = 1.0
    if load_float64(record, fading_at + WEIGHT) != 0.0:
        left = fading(record, fading_at, half_life_us, time_us)
    before = load_float64(record, fading_at + WEIGHT) * left
    weight = before + 1.0
    mean = load_float64(record, fading_at + MEAN)
    distances = load_float64(record, fading_at + DISTANCES) * left + (value - mean) ** 2 * (before / weight)
    mean = mean * (before / weight) + value / weight
    store_float64(record, fading_at + WEIGHT, weight)
    store_float64(record, fading_at + SUM, load_float64(record, fading_at + SUM) * left + value)
    store_float64(record, fading_at + MEAN, mean)
    store_float64(record, fading_at + DISTANCES, distances)
    store_int64(record, fading_at, time_us)


@ahead_of_time
def faded_count(record: Address, fading_at: int, half_life_us: float, now_us: int, with_current: int) -> float:
    weight = load_float64(record, fading_at + WEIGHT)
    if weight != 0.0:
        weight *= fading(record, fading_at, half_life_us, now_us)
    counted: float = weight + float(with_current)
    return counted


@ahead_of_time
def faded_sum(
    record: Address, fading_at: int, half_life_us: float, now_us: int, with_current: int, current: float
) -> float:
    total = load_float64(record, fading_at + SUM)
    if total != 0.0:
        total *= fading(record, fading_at, half_life_us, now_us)
    if with_current != 0 and not math.isnan(current):
        total += within_range(current)
    summed: float = total
    return summed


@ahead_of_time
def faded_mean(
    record: Address, fading_at: int, half_life_us: float, now_us: int, with_current: int, current: float
) -> float:
    weight, mean = load_float64(record, fading_at + WEIGHT), load_float64(record, fading_at + MEAN)
    if with_current == 0 or math.isnan(current):
        kept: float = mean if weight != 0.0 else math.nan
        return kept
    before = 0.0
    if weight != 0.0:
        before = weight * fading(record, fading_at, half_life_us, now_us)
    joined: float = mean * (before / (before + 1.0)) + within_range(current) / (before + 1.0)
    return joined


@ahead_of_time
def faded_variance(
    record: Address, fading_at: int, half_life_us: float, now_us: int, with_current: int, current: float
) -> float:
    weight, distances = load_float64(record, fading_at + WEIGHT), load_float64(record, fading_at + DISTANCES)
    if with_current == 0 or math.isnan(current):
        kept: float = distances / weight if weight != 0.0 else math.nan
        return kept
    if weight == 0.0:
        return 0.0
    left = fading(record, fading_at, half_life_us, now_us)
    before = weight * left
    distance = within_range(current) - load_float64(record, fading_at + MEAN)
    variance: float = (distances * left + distance * distance * (before / (before + 1.0))) / (before + 1.0)
    return variance
