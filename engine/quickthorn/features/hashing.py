"""MurmurHash3 for 32 bits (Austin Appleby, public domain) in plain Python: what constant tables are laid out by."""

from __future__ import annotations

_MASK = 0xFFFFFFFF
SEED_MOST = _MASK


def murmur3(data: bytes, seed: int) -> int:
    """The hash of these bytes, 0 to 2**32 − 1."""
    state = seed
    whole = len(data) - len(data) % 4
    for start in range(0, whole, 4):
        state ^= _mixed(int.from_bytes(data[start : start + 4], "little"))
        state = (((state << 13 | state >> 19) & _MASK) * 5 + 0xE6546B64) & _MASK
    if whole < len(data):
        state ^= _mixed(int.from_bytes(data[whole:], "little"))
    state ^= len(data)
    state = ((state ^ state >> 16) * 0x85EBCA6B) & _MASK
    state = ((state ^ state >> 13) * 0xC2B2AE35) & _MASK
    return state ^ state >> 16


def _mixed(block: int) -> int:
    block = (block * 0xCC9E2D51) & _MASK
    return (((block << 15 | block >> 17) & _MASK) * 0x1B873593) & _MASK
