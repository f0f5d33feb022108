"""Categories as numbers: encodings looked up and fitted, hash buckets.

What a row's code was at its own time is worked out for each row from nothing, as if it were the only one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from quickthorn.features.encodings import Encoding

TEXT_BYTES = 256
Labels = Sequence[float | None]


def encoded(encoding: Encoding, text: str | None) -> float:
    """The value's code, the code of an unknown value, or that of none."""
    if text is None:
        return encoding.missing
    return encoding.codes.get(text, encoding.unknown) if len(text.encode()) <= TEXT_BYTES else encoding.unknown


def hash_bucket(buckets: int, seed: int, text: str | None, missing: float) -> float:
    """MurmurHash3 of the first 256 bytes, modulo the buckets."""
    return missing if text is None else float(murmur3(text.encode()[:TEXT_BYTES], seed) % buckets)


def murmur3(data: bytes, seed: int) -> int:
    """Austin Appleby's MurmurHash3_x86_32: blocks of four bytes, the last one filled up with zeros."""
    state = seed
    for start in range(0, len(data), 4):
        block = int.from_bytes(data[start : start + 4].ljust(4, b"\0"), "little")
        block = _rotated(block * 0xCC9E2D51 % 2**32, 15) * 0x1B873593 % 2**32
        state ^= block
        if start + 4 <= len(data):
            state = (_rotated(state, 13) * 5 + 0xE6546B64) % 2**32
    state ^= len(data)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        state = (state ^ state >> shift) * factor % 2**32
    return state


def _rotated(word: int, bits: int) -> int:
    return (word << bits | word >> 32 - bits) % 2**32


def ordinals_as_of(values: Sequence[str | None], at: Sequence[int], least_rows: int) -> list[float]:
    """Each row's code by the values that had been seen often enough before it."""
    codes = []
    for row, value in enumerate(values):
        past = [values[other] for other in _before(at, row) if values[other] is not None]
        reached = [
            text for place, text in enumerate(past) if past[: place + 1].count(text) == least_rows
        ]  # in the order in which each became known
        known = float(reached.index(value)) if value in reached else -1.0
        codes.append(math.nan if value is None else known)
    return codes


def frequencies_as_of(values: Sequence[str | None], at: Sequence[int]) -> list[float]:
    """Each row's share of the rows before it."""
    shares = []
    for row, value in enumerate(values):
        past = [values[other] for other in _before(at, row)]
        shares.append(past.count(value) / len(past) if past else math.nan)
    return shares


def target_means_as_of(
    values: Sequence[str | None], fraud: Labels, at: Sequence[int], available: Sequence[int], smoothing: float
) -> list[float]:
    """Each row's smoothed share of fraud by the labels known at its time."""
    means = []
    for row, value in enumerate(values):
        known = _known_labels(fraud, at, available, row)
        own = [label for other, label in known if values[other] == value]
        if not known:
            means.append(math.nan)
            continue
        share = sum(label for _, label in known) / len(known)
        weight = len(own) + smoothing
        means.append((sum(own) + smoothing * share) / weight if weight else share)
    return means


def evidence_as_of(
    values: Sequence[str | None], fraud: Labels, at: Sequence[int], available: Sequence[int], smoothing: float
) -> list[float]:
    """Each row's weight of evidence: the log odds of its smoothed share less those of all rows."""
    weights = []
    for row, mean in enumerate(target_means_as_of(values, fraud, at, available, smoothing)):
        labels = [label for _, label in _known_labels(fraud, at, available, row)]
        share = sum(labels) / len(labels) if labels else 0.0
        weights.append(math.log(mean / (1 - mean)) - math.log(share / (1 - share)) if 0 < share < 1 else math.nan)
    return weights


def _before(at: Sequence[int], row: int) -> list[int]:
    """The rows before this one, in the total order of (time, arrival)."""
    return sorted(
        (other for other in range(len(at)) if (at[other], other) < (at[row], row)), key=lambda other: (at[other], other)
    )


def _known_labels(fraud: Labels, at: Sequence[int], available: Sequence[int], row: int) -> list[tuple[int, float]]:
    known = []
    for other in _before(at, row):
        label = fraud[other]
        if label is not None and not math.isnan(label) and available[other] <= at[row]:
            known.append((other, label))
    return known
