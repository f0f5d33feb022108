"""An entity's sequence of values, as kernels over its records: one set for each form in which values are compared.

``counts`` is 1 where the event at hand is part of the sequence. ``first`` is 1 where it has just come, and then it has
to be part of it for its change to mean anything; a retried event, for which it is 0, is in the records already.
"""

from __future__ import annotations

import math
from typing import Any

from quickthorn.event.fields import MISSING_MONEY
from quickthorn.features.ahead import ahead_of_time
from quickthorn.features.memory import Address, load_float64, load_int64, store_float64, store_int64
from quickthorn.features.recency_kernels import word_offset


@ahead_of_time
def hash_of(slots: Address, slot_at: int, hashes: Address, hash_at: int, category: int) -> int:
    """The low half of a field's hash; 0 where the field is missing, and 1 where the hash itself is 0."""
    missing = load_int64(slots, slot_at) == 0
    if category != 0:
        missing = math.isnan(load_float64(slots, slot_at))
    low: int = load_int64(hashes, hash_at)
    if missing:
        return 0
    return low if low != 0 else 1


@ahead_of_time
def money_is_missing(value: int) -> bool:
    return value == MISSING_MONEY


@ahead_of_time
def hash_is_missing(value: int) -> bool:
    return value == 0


@ahead_of_time
def float_is_missing(value: float) -> bool:
    return value != value


def _keep_kernel(is_missing: Any, store: Any) -> Any:
    def keep(record: Address, ring_at: int, depth: int, value: Any) -> None:
        if not is_missing(value):
            count = load_int64(record, ring_at)
            store(record, ring_at + 8 + 8 * (count % depth), value)
            store_int64(record, ring_at, count + 1)

    return ahead_of_time(keep)


def _last_kernel(load: Any) -> Any:
    def last(record: Address, ring_at: int, depth: int, k: int) -> float:
        if load_int64(record, ring_at) < k:
            return math.nan
        return float(load(record, word_offset(record, ring_at, depth, k)))

    return ahead_of_time(last)


def _difference_kernel(is_missing: Any, load: Any) -> Any:
    def difference(record: Address, ring_at: int, depth: int, order: int, first: int, counts: int, value: Any) -> float:
        count = load_int64(record, ring_at)
        if first != 0 and (counts == 0 or is_missing(value)):
            return math.nan
        if count + first <= order:
            return math.nan
        # Σ (−1)^k · (order over k) · the k-th value before the newest
        total = 0.0
        weight = 1.0
        for back in range(order + 1):
            if first != 0 and back == 0:
                total += float(value)
            else:
                total += weight * float(load(record, word_offset(record, ring_at, depth, back + 1 - first)))
            weight = -weight * float(order - back) / float(back + 1)
        return total

    return ahead_of_time(difference)


def _extend_kernel(is_missing: Any, load: Any, store: Any) -> Any:
    def extend(record: Address, run_at: int, value: Any) -> None:
        if is_missing(value):
            return
        length = load_int64(record, run_at)
        same = length > 0 and load(record, run_at + 8) == value
        store_int64(record, run_at, length + 1 if same else 1)
        store(record, run_at + 8, value)

    return ahead_of_time(extend)


def _run_kernel(is_missing: Any, load: Any) -> Any:
    def run(record: Address, run_at: int, counts: int, value: Any) -> float:
        length = load_int64(record, run_at)
        if counts == 0 or is_missing(value):
            return float(length)
        return float(length + 1) if length > 0 and load(record, run_at + 8) == value else 1.0

    return ahead_of_time(run)


def _changed_kernel(is_missing: Any, load: Any) -> Any:
    def changed(record: Address, ring_at: int, depth: int, first: int, counts: int, value: Any) -> float:
        count = load_int64(record, ring_at)
        if first != 0:
            if count == 0 or counts == 0 or is_missing(value):
                return math.nan
            return 0.0 if load(record, word_offset(record, ring_at, depth, 1)) == value else 1.0
        if count < 2:
            return math.nan
        newest = load(record, word_offset(record, ring_at, depth, 1))
        return 0.0 if load(record, word_offset(record, ring_at, depth, 2)) == newest else 1.0

    return ahead_of_time(changed)


keep_money = _keep_kernel(money_is_missing, store_int64)
keep_hash = _keep_kernel(hash_is_missing, store_int64)
keep_float = _keep_kernel(float_is_missing, store_float64)
last_money = _last_kernel(load_int64)
last_float = _last_kernel(load_float64)
difference_money = _difference_kernel(money_is_missing, load_int64)
difference_float = _difference_kernel(float_is_missing, load_float64)
extend_money = _extend_kernel(money_is_missing, load_int64, store_int64)
extend_hash = _extend_kernel(hash_is_missing, load_int64, store_int64)
extend_float = _extend_kernel(float_is_missing, load_float64, store_float64)
run_money = _run_kernel(money_is_missing, load_int64)
run_hash = _run_kernel(hash_is_missing, load_int64)
run_float = _run_kernel(float_is_missing, load_float64)
changed_money = _changed_kernel(money_is_missing, load_int64)
changed_hash = _changed_kernel(hash_is_missing, load_int64)
changed_float = _changed_kernel(float_is_missing, load_float64)
