"""Times of an entity's events, as kernels over its records."""

from __future__ import annotations

import math

from quickthorn.features.ahead import ahead_of_time
from quickthorn.features.memory import Address, load_int64, store_int64

SECOND_US = 1e6


@ahead_of_time
def keep_word(record: Address, ring_at: int, depth: int, word: int) -> None:
    """One more word in a ring of the last ``depth``, behind the count of all."""
    count = load_int64(record, ring_at)
    store_int64(record, ring_at + 8 + 8 * (count % depth), word)
    store_int64(record, ring_at, count + 1)


@ahead_of_time
def word_offset(record: Address, ring_at: int, depth: int, k: int) -> int:
    """Where the k-th last word of a ring is; k is at most the count and the depth."""
    place: int = ring_at + 8 + 8 * ((load_int64(record, ring_at) - k) % depth)
    return place


@ahead_of_time
def since_last(record: Address, ring_at: int, depth: int, k: int, now_us: int) -> float:
    if load_int64(record, ring_at) < k:
        return math.nan
    return float(now_us - load_int64(record, word_offset(record, ring_at, depth, k))) / SECOND_US


@ahead_of_time
def keep_first(record: Address, count_at: int, first_at: int, time_us: int) -> None:
    count = load_int64(record, count_at)
    if count == 0:
        store_int64(record, first_at, time_us)
    store_int64(record, count_at, count + 1)


@ahead_of_time
def since_first(record: Address, count_at: int, now_us: int) -> float:
    if load_int64(record, count_at) == 0:
        return math.nan
    return float(now_us - load_int64(record, count_at + 8)) / SECOND_US


@ahead_of_time
def never_seen(record: Address, count_at: int) -> float:
    return 1.0 if load_int64(record, count_at) == 0 else 0.0
