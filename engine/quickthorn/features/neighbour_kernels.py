"""Neighbours that are known to be fraudulent, as a kernel over an entity's table of them and the engine's of frauds."""

from __future__ import annotations

import math

from quickthorn.features.ahead import ahead_of_time
from quickthorn.features.distinct_kernels import HASHES
from quickthorn.features.memory import Address, load_address, load_int64

# A quickthorn_known_fraud: the entity's hash, and from when until when it is known.
FRAUD_BYTES = 24
FROM_US = 8
UNTIL_US = 16
HOME_SHIFT = 32


@ahead_of_time
def _is_known_fraud(known: Address, mask: int, entity: int, now_us: int) -> bool:
    place = (entity >> HOME_SHIFT) & mask
    while load_int64(known, place * FRAUD_BYTES) != 0:
        entry = place * FRAUD_BYTES
        if load_int64(known, entry) == entity:
            from_us, until_us = load_int64(known, entry + FROM_US), load_int64(known, entry + UNTIL_US)
            if from_us <= now_us and now_us < until_us:
                return True
        place = (place + 1) & mask
    return False


@ahead_of_time
def neighbour_fraud_rate(
    record: Address,
    table_at: int,
    cap: int,
    low_us: int,
    now_us: int,
    with_current: int,
    current: int,
    frauds: Address,
    field_at: int,
) -> float:
    known, mask = load_address(frauds, field_at), load_int64(frauds, field_at + 8)
    hashes, times = table_at + HASHES, table_at + HASHES + 8 * cap
    neighbours, fraudulent = 0, 0
    current_is_new = with_current != 0 and current != 0
    for entry in range(cap):
        neighbour = load_int64(record, hashes + 8 * entry)
        if neighbour == 0:
            break
        if load_int64(record, times + 8 * entry) > low_us:
            neighbours += 1
            fraudulent += 1 if _is_known_fraud(known, mask, neighbour, now_us) else 0
            if neighbour == current:
                current_is_new = False
    if current_is_new:
        neighbours += 1
        fraudulent += 1 if _is_known_fraud(known, mask, current, now_us) else 0
    return float(fraudulent) / float(neighbours) if neighbours != 0 else math.nan
