"""Spreads and extremes over tiles of event time, as kernels over an entity's records.

A tile of a spread is its number, the count of its values, their mean in a high and a low part, and the root of the sum
of squared distances from it. Values come in by Welford's method ("Note on a method for calculating corrected sums of
squares and products", 1962), tiles are put together by that of Chan, Golub and LeVeque ("Updating formulae and a
pairwise algorithm for computing sample variances", 1979). Kept as a root, the sum neither over- nor underflows where
the deviation does not.

A tile of an extreme is its number, the count of its values and the greatest of them.
"""

from __future__ import annotations

import math

from quickthorn.features.aggregates import two_sum
from quickthorn.features.ahead import ahead_of_time
from quickthorn.features.memory import Address, load_float64, load_int64, store_float64
from quickthorn.features.moments import doubled_sum
from quickthorn.features.tile_kernels import COUNT, open_tile

MEAN = 16
LOW = 24
ROOT = 32
SPREAD_TILE_BYTES = 40
GREATEST = 16
EXTREME_TILE_BYTES = 24


@ahead_of_time
def joined_spread(
    count: float,
    mean: float,
    low: float,
    root: float,
    other_count: float,
    other_mean: float,
    other_low: float,
    other_root: float,
) -> tuple[float, float, float]:
    """Mean, its low part and the root for two sets of values together, neither of which is empty."""
    apart, error = two_sum(other_mean, -mean)
    apart += error + (other_low - low)
    share = other_count / (count + other_count)
    moved, moved_low = doubled_sum(mean, low, apart * share)
    return moved, moved_low, math.hypot(math.hypot(root, other_root), apart * math.sqrt(count * share))


@ahead_of_time
def tile_spread(record: Address, ring_at: int, tiles: int, tile_us: int, time_us: int, value: float) -> None:
    if math.isnan(value):
        return
    tile_at = open_tile(record, ring_at, tiles, tile_us, SPREAD_TILE_BYTES, time_us)
    count = load_int64(record, tile_at + COUNT)
    if count == 1:
        store_float64(record, tile_at + MEAN, value)
        return
    mean, low, root = joined_spread(
        float(count - 1),
        load_float64(record, tile_at + MEAN),
        load_float64(record, tile_at + LOW),
        load_float64(record, tile_at + ROOT),
        1.0,
        value,
        0.0,
        0.0,
    )
    store_float64(record, tile_at + MEAN, mean)
    store_float64(record, tile_at + LOW, low)
    store_float64(record, tile_at + ROOT, root)


@ahead_of_time
def tiled_spread(
    record: Address,
    ring_at: int,
    tiles: int,
    tile_us: int,
    low_us: int,
    with_current: int,
    current: float,
    ddof: int,
    units: float,
    rooted: int,
) -> float:
    """The variance of the tiles that reach beyond ``low_us``, or where ``rooted`` its root; NaN of too few values."""
    oldest = (low_us + 1) // tile_us
    count, mean, low, root = 0.0, 0.0, 0.0, 0.0
    if with_current != 0 and not math.isnan(current):
        count, mean = 1.0, current
    for tile in range(tiles):
        tile_at = ring_at + SPREAD_TILE_BYTES * tile
        values = float(load_int64(record, tile_at + COUNT))
        if values == 0.0 or load_int64(record, tile_at) < oldest:
            continue
        tile_mean = load_float64(record, tile_at + MEAN)
        tile_low, tile_root = load_float64(record, tile_at + LOW), load_float64(record, tile_at + ROOT)
        if count == 0.0:
            mean, low, root = tile_mean, tile_low, tile_root
        else:
            mean, low, root = joined_spread(count, mean, low, root, values, tile_mean, tile_low, tile_root)
        count += values
    if count <= float(ddof):
        return math.nan
    deviation = root / math.sqrt(count - float(ddof)) / units
    return deviation if rooted != 0 else deviation * deviation


@ahead_of_time
def tile_extreme(record: Address, ring_at: int, tiles: int, tile_us: int, time_us: int, value: float) -> None:
    if math.isnan(value):
        return
    tile_at = open_tile(record, ring_at, tiles, tile_us, EXTREME_TILE_BYTES, time_us)
    if load_int64(record, tile_at + COUNT) == 1 or value > load_float64(record, tile_at + GREATEST):
        store_float64(record, tile_at + GREATEST, value)


@ahead_of_time
def tiled_extreme(
    record: Address, ring_at: int, tiles: int, tile_us: int, low_us: int, with_current: int, current: float
) -> float:
    """The greatest value of the tiles that reach beyond ``low_us``; NaN where there is none."""
    oldest = (low_us + 1) // tile_us
    greatest = current if with_current != 0 else math.nan
    for tile in range(tiles):
        tile_at = ring_at + EXTREME_TILE_BYTES * tile
        if load_int64(record, tile_at + COUNT) != 0 and load_int64(record, tile_at) >= oldest:
            value = load_float64(record, tile_at + GREATEST)
            if not value <= greatest:
                greatest = value
    return greatest
