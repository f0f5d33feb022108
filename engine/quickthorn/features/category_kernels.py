"""The code of category features: a value's text is hashed, then looked up in a constant table or put in a bucket."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from typing import Any

from quickthorn.errors import FeatureError
from quickthorn.features.ahead import ahead_of_time
from quickthorn.features.hashing import murmur3
from quickthorn.features.memory import load_float64, load_int64
from quickthorn.features.text_memory import (
    TEXT_BYTES,
    TEXT_LENGTH_OFFSET,
    constant_table,
    load_byte,
    load_uint32,
    text_bytes,
)

_MASK = 0xFFFFFFFF
_ENTRY_BYTES = 16
# Seeds that are tried for a table until no two of its values share 64 bits, which the first all but always achieves.
_SEED_PAIRS = tuple((0x51ED270B + attempt, 0xB492B66F + attempt) for attempt in range(4))


@ahead_of_time
def _mixed(block: int) -> int:
    block = (block * 0xCC9E2D51) & _MASK
    return (((block << 15) | (block >> 17)) & _MASK) * 0x1B873593 & _MASK


@ahead_of_time
def _stepped(state: int, mixed: int) -> int:
    state ^= mixed
    return (((state << 13) | (state >> 19)) & _MASK) * 5 + 0xE6546B64 & _MASK


@ahead_of_time
def _finished(state: int, length: int) -> int:
    state ^= length
    state = (state ^ (state >> 16)) * 0x85EBCA6B & _MASK
    state = (state ^ (state >> 13)) * 0xC2B2AE35 & _MASK
    return state ^ (state >> 16)


@ahead_of_time
def _murmur3_twice(place: Any, length: int, seed: int, other_seed: int) -> tuple[int, int]:
    """MurmurHash3 of the same bytes under two seeds: the blocks are mixed once for both."""
    state, other = seed, other_seed
    whole = length & ~3
    for offset in range(0, whole, 4):
        mixed = _mixed(load_uint32(place, offset))
        state, other = _stepped(state, mixed), _stepped(other, mixed)
    if whole < length:
        tail = 0
        for offset in range(whole, length):
            tail |= load_byte(place, offset) << (8 * (offset - whole))
        mixed = _mixed(tail)
        state, other = state ^ mixed, other ^ mixed
    return _finished(state, length), _finished(other, length)


def encoded(codes: Mapping[str, float], unknown: float, missing: float) -> Callable[..., float]:
    """The kernel that gives a text's code; ``unknown`` for a text without one, ``missing`` for none at all."""
    contents, seed, other_seed = _table(codes)
    table = constant_table(contents)
    place_mask = len(contents) // _ENTRY_BYTES - 1

    def encoded(text: Any) -> float:
        length = load_int64(text, TEXT_LENGTH_OFFSET)
        if length < 0:
            return missing
        if length > TEXT_BYTES:
            return unknown
        low, high = _murmur3_twice(text_bytes(text), length, seed, other_seed)
        wanted = low | (high << 32)
        if wanted == 0:
            wanted = 1
        entries = table()
        place = low & place_mask
        while True:
            found = load_int64(entries, place * _ENTRY_BYTES)
            if found == wanted:
                code: float = load_float64(entries, place * _ENTRY_BYTES + 8)
                return code
            if found == 0:
                return unknown
            place = (place + 1) & place_mask

    return encoded


def hash_bucket(buckets: int, seed: int) -> Callable[..., float]:
    """The kernel that gives a text's bucket, and what is declared for no text."""

    def hash_bucket(text: Any, missing: float) -> float:
        length = load_int64(text, TEXT_LENGTH_OFFSET)
        if length < 0:
            return missing
        if length > TEXT_BYTES:
            length = TEXT_BYTES
        hashed, _ = _murmur3_twice(text_bytes(text), length, seed, 0)
        return float(hashed % buckets)

    return hash_bucket


def _table(codes: Mapping[str, float]) -> tuple[bytes, int, int]:
    """Entries of a 64-bit hash and a float64, at the hash's place or the next free one; and the hash's two seeds."""
    for seed, other_seed in _SEED_PAIRS:
        hashes = {}
        for value, code in codes.items():
            data = value.encode()
            low = murmur3(data, seed)
            hashes[(low | murmur3(data, other_seed) << 32) or 1] = code
        if len(hashes) == len(codes):
            break
    else:
        raise FeatureError(f"encoding: expected values with different hashes, found {len(codes)} that are too alike")
    capacity = 4
    while capacity * 3 < len(hashes) * 4:
        capacity *= 2
    entries: list[tuple[int, float]] = [(0, math.nan)] * capacity
    for hashed, code in sorted(hashes.items()):
        place = hashed & 0xFFFFFFFF & (capacity - 1)
        while entries[place][0]:
            place = (place + 1) & (capacity - 1)
        entries[place] = (hashed, code)
    return b"".join(struct.pack("<Qd", *entry) for entry in entries), seed, other_seed
