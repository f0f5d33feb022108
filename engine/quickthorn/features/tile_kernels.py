"""Tiles of event time, as kernels over an entity's records.

A tile is its number, the count of its values and, of a field, their sum: an int64, or high and low part of a number's.
Rows come in order, so the tile that a new one takes the place of is older than every window.
"""

from __future__ import annotations

import math

from quickthorn.features.ahead import ahead_of_time
from quickthorn.features.memory import Address, load_float64, load_int64, store_float64, store_int64
from quickthorn.features.moments import doubled_sum

COUNT = 8
SUM = 16
LOW = 24
EVENT_TILE_BYTES = 16
VALUE_TILE_BYTES = 32


@ahead_of_time
def open_tile(record: Address, ring_at: int, tiles: int, tile_us: int, tile_bytes: int, time_us: int) -> int:
    """Where the tile of that time is, emptied if it was an older one's; one value more is counted in it."""
    number = time_us // tile_us
    tile_at = ring_at + tile_bytes * (number % tiles)
    if load_int64(record, tile_at) != number:
        for offset in range(8, tile_bytes, 8):
            store_int64(record, tile_at + offset, 0)
        store_int64(record, tile_at, number)
    store_int64(record, tile_at + COUNT, load_int64(record, tile_at + COUNT) + 1)
    return tile_at


@ahead_of_time
def tile_event(record: Address, ring_at: int, tiles: int, tile_us: int, time_us: int) -> None:
    open_tile(record, ring_at, tiles, tile_us, EVENT_TILE_BYTES, time_us)


@ahead_of_time
def tile_exact(record: Address, ring_at: int, tiles: int, tile_us: int, time_us: int, value: float) -> None:
    if not math.isnan(value):
        tile_at = open_tile(record, ring_at, tiles, tile_us, VALUE_TILE_BYTES, time_us)
        store_int64(record, tile_at + SUM, load_int64(record, tile_at + SUM) + int(value))


@ahead_of_time
def tile_number(record: Address, ring_at: int, tiles: int, tile_us: int, time_us: int, value: float) -> None:
    if not math.isnan(value):
        tile_at = open_tile(record, ring_at, tiles, tile_us, VALUE_TILE_BYTES, time_us)
        high, low = doubled_sum(load_float64(record, tile_at + SUM), load_float64(record, tile_at + LOW), value)
        store_float64(record, tile_at + SUM, high)
        store_float64(record, tile_at + LOW, low)


@ahead_of_time
def values_in_tiles(record: Address, ring_at: int, tiles: int, tile_us: int, tile_bytes: int, low_us: int) -> int:
    """How many values the tiles have that reach beyond ``low_us``."""
    oldest = (low_us + 1) // tile_us
    count = 0
    for tile in range(tiles):
        if load_int64(record, ring_at + tile_bytes * tile) >= oldest:
            count += load_int64(record, ring_at + tile_bytes * tile + COUNT)
    return count


@ahead_of_time
def tiled_count(record: Address, ring_at: int, tiles: int, tile_us: int, low_us: int, with_current: int) -> float:
    count = values_in_tiles(record, ring_at, tiles, tile_us, EVENT_TILE_BYTES, low_us)
    return float(count + with_current)


@ahead_of_time
def tiled_sum_exact(
    record: Address,
    ring_at: int,
    tiles: int,
    tile_us: int,
    low_us: int,
    with_current: int,
    current: float,
    units: float,
) -> float:
    oldest = (low_us + 1) // tile_us
    total = 0
    for tile in range(tiles):
        if load_int64(record, ring_at + VALUE_TILE_BYTES * tile) >= oldest:
            total += load_int64(record, ring_at + VALUE_TILE_BYTES * tile + SUM)
    if with_current != 0 and not math.isnan(current):
        total += int(current)
    return float(total) / units


@ahead_of_time
def tiled_sum_number(
    record: Address,
    ring_at: int,
    tiles: int,
    tile_us: int,
    low_us: int,
    with_current: int,
    current: float,
    units: float,
) -> float:
    oldest = (low_us + 1) // tile_us
    high, low = 0.0, 0.0
    for tile in range(tiles):
        tile_at = ring_at + VALUE_TILE_BYTES * tile
        if load_int64(record, tile_at) >= oldest:
            high, low = doubled_sum(high, low, load_float64(record, tile_at + SUM))
            high, low = doubled_sum(high, low, load_float64(record, tile_at + LOW))
    if with_current != 0 and not math.isnan(current):
        high, low = doubled_sum(high, low, current)
    total: float = high + low
    return total / units


@ahead_of_time
def tiled_values(
    record: Address, ring_at: int, tiles: int, tile_us: int, low_us: int, with_current: int, current: float
) -> float:
    count = values_in_tiles(record, ring_at, tiles, tile_us, VALUE_TILE_BYTES, low_us)
    return float(count + (0 if math.isnan(current) else with_current))


@ahead_of_time
def tiled_mean_exact(
    record: Address,
    ring_at: int,
    tiles: int,
    tile_us: int,
    low_us: int,
    with_current: int,
    current: float,
    units: float,
) -> float:
    count = tiled_values(record, ring_at, tiles, tile_us, low_us, with_current, current)
    if count == 0.0:
        return math.nan
    total: float = tiled_sum_exact(record, ring_at, tiles, tile_us, low_us, with_current, current, 1.0)
    mean: float = total / (count * units)
    return mean


@ahead_of_time
def tiled_mean_number(
    record: Address,
    ring_at: int,
    tiles: int,
    tile_us: int,
    low_us: int,
    with_current: int,
    current: float,
    units: float,
) -> float:
    count = tiled_values(record, ring_at, tiles, tile_us, low_us, with_current, current)
    if count == 0.0:
        return math.nan
    total: float = tiled_sum_number(record, ring_at, tiles, tile_us, low_us, with_current, current, 1.0)
    mean: float = total / (count * units)
    return mean
