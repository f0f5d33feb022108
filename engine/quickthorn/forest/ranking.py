"""Ranking a row's values: the entries and tiles that `cpp/library/forest_ranks.hpp` quantises a row by.

Per feature, the distinct thresholds of a group of trees are sorted, and a row's value becomes its rank among them: one
byte. A split is then two bytes, slot and code, and its test `rank > code` says whether the row goes right. An entry
has 254 thresholds at most, so a feature with more has several; a value below all of them has rank 1, and NaN rank 0.
Where NaN goes right, bit 7 of the slot says to take one from the rank, which makes 255 of NaN's.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from quickthorn.forest.ensemble import Ensemble, Missing

MOST_ENTRIES = 128
CODE_NEVER_RIGHT = 255
_NAN_RIGHT = 128
_THRESHOLDS_PER_ENTRY = 254
_TILE = 16
_BLOCK = 16


def tile_dtype(precision: str) -> np.dtype[Any]:
    """The C++ `Tile`, for thresholds of "float32" or "float64"."""
    return np.dtype(
        [
            ("feature", "<u4", _TILE),
            ("thresholds", "<u4", _TILE),
            ("nan_is_zero", "<u2"),
            ("zero_is_nan", "<u2"),
            ("entry_count", "<u2"),
            ("end_count", "u1"),
            ("consecutive", "u1"),
            ("unused", "u1", 56),
            ("block_ends", np.dtype(precision).newbyteorder("<"), (_BLOCK, _TILE)),
        ]
    )


def entry_count(ensemble: Ensemble, splits: npt.NDArray[np.int64]) -> int:
    """How many entries these splits need."""
    key = ensemble.feature[splits].astype(np.int64) * len(Missing) + ensemble.missing[splits]
    order = np.lexsort((ensemble.threshold[splits], key))
    key, threshold = key[order], ensemble.threshold[splits][order]
    new = np.append(True, (key[1:] != key[:-1]) | (threshold[1:] != threshold[:-1]))[: len(key)]
    _, distinct = np.unique(key[new], return_counts=True)
    return int((-(-distinct // _THRESHOLDS_PER_ENTRY)).sum())


def tree_ranges(ensemble: Ensemble, splits: Sequence[npt.NDArray[np.int64]]) -> Iterator[tuple[int, int]]:
    """Divide trees, in order, into ranges as long as their entries allow; one tree is a range whatever it needs.

    `splits` are the numbers of each tree's splits. Gives the first tree and the count of every range.
    """
    first = 0
    while first < len(splits):
        # How many of the lengths 1, 2, … come before the first that does not fit.
        fitting = bisect_left(
            range(1, len(splits) - first + 1),
            True,
            key=lambda n: entry_count(ensemble, np.concatenate(splits[first : first + n])) > MOST_ENTRIES,
        )
        count = max(fitting, 1)
        yield first, count
        first += count


@dataclass
class Thresholds:
    """The forest's thresholds in blocks of 16, NaN where there is none: no value lies above NaN."""

    ensemble: Ensemble
    parts: list[npt.NDArray[Any]] = field(default_factory=list)
    length: int = 0

    def add(self, ascending: npt.NDArray[Any]) -> tuple[int, npt.NDArray[Any]]:
        """Put in up to 254 thresholds; returns where they begin, and the last of every block but the last one."""
        padded = np.full(max(-(-len(ascending) // _BLOCK), 1) * _BLOCK, np.nan, dtype=ascending.dtype)
        padded[: len(ascending)] = ascending
        begin = self.length
        self.parts.append(padded)
        self.length += len(padded)
        return begin, padded[_BLOCK - 1 : -1 : _BLOCK]

    def table(self) -> npt.NDArray[Any]:
        """All of them in one array."""
        return np.concatenate([*self.parts, np.empty(0, self.ensemble.threshold.dtype)])


class RankedSplits:
    """The splits of a group of trees as slots and codes: `slot[n]` and `code[n]` are split n's."""

    def __init__(self, ensemble: Ensemble, splits: npt.NDArray[np.int64]) -> None:
        self.ensemble = ensemble
        self.slot = np.zeros(len(ensemble.feature), np.uint8)
        self.code = np.full(len(ensemble.feature), CODE_NEVER_RIGHT, np.uint8)
        # The entry of every split, beyond 128 too, and whether one is taken from the rank.
        self.entry = np.zeros(len(ensemble.feature), np.int64)
        self.nan_right = np.zeros(len(ensemble.feature), np.bool_)
        # (feature, missing, thresholds) of every entry
        self.entries: list[tuple[int, int, npt.NDArray[Any]]] = []
        keys = ensemble.feature[splits].astype(np.int64) * len(Missing) + ensemble.missing[splits]
        order = np.argsort(keys, kind="stable")
        _, starts = np.unique(keys[order], return_index=True)
        for of_feature in np.split(splits[order], starts[1:]) if len(splits) else []:
            self._rank_feature(of_feature)

    def _rank_feature(self, splits: npt.NDArray[np.int64]) -> None:
        ensemble = self.ensemble
        feature, missing = int(ensemble.feature[splits[0]]), int(ensemble.missing[splits[0]])
        distinct, place = np.unique(ensemble.threshold[splits], return_inverse=True)
        nan_right = ~ensemble.default_left[splits] & (missing != Missing.NONE)
        entries = len(self.entries) + place // _THRESHOLDS_PER_ENTRY
        self.entry[splits], self.nan_right[splits] = entries, nan_right
        self.slot[splits] = (entries % MOST_ENTRIES) + np.where(nan_right, _NAN_RIGHT, 0)
        # Above as many thresholds as come before this one, a value ranks one higher, unless one is taken from it.
        self.code[splits] = place % _THRESHOLDS_PER_ENTRY + np.where(nan_right, 0, 1)
        for begin in range(0, len(distinct), _THRESHOLDS_PER_ENTRY):
            self.entries.append((feature, missing, distinct[begin : begin + _THRESHOLDS_PER_ENTRY]))

    def tiles(self, thresholds: Thresholds) -> npt.NDArray[Any]:
        """What the row is quantised by, with the thresholds put in; entries that only fill a tile rank nothing."""
        tiles = np.zeros(max(-(-len(self.entries) // _TILE), 1), dtype=tile_dtype(self.ensemble.precision))
        tiles["block_ends"] = np.nan
        tiles["thresholds"], _ = thresholds.add(np.empty(0, dtype=self.ensemble.threshold.dtype))
        for number, (feature, missing, ascending) in enumerate(self.entries):
            tile, place = divmod(number, _TILE)
            begin, block_ends = thresholds.add(ascending)
            tiles["feature"][tile, place], tiles["thresholds"][tile, place] = feature, begin
            tiles["block_ends"][tile, : len(block_ends), place] = block_ends
            tiles["nan_is_zero"][tile] |= (missing == Missing.NONE) << place
            tiles["zero_is_nan"][tile] |= (missing == Missing.ZERO) << place
            tiles["entry_count"][tile] = place + 1
            tiles["end_count"][tile] = max(tiles["end_count"][tile], len(block_ends))
        for tile in tiles:
            features = tile["feature"][: tile["entry_count"]]
            tile["consecutive"] = len(features) and (np.diff(features.astype(np.int64)) == 1).all()
        return tiles


def narrowed(values: npt.NDArray[Any], operator: str) -> npt.NDArray[np.float32]:
    """Thresholds of float64 as float32 that float32 inputs compare alike with: rounded down for "<=", up for "<"."""
    with np.errstate(over="ignore"):
        nearest = values.astype(np.float32)
        wrong, towards = (nearest > values, -np.inf) if operator == "<=" else (nearest < values, np.inf)
        return np.where(wrong, np.nextafter(nearest, np.float32(towards)), nearest)


def narrowed_tiles(tiles: npt.NDArray[Any], operator: str) -> npt.NDArray[Any]:
    """The tiles of a float64 forest for float32 inputs."""
    narrow = np.zeros(tiles.shape, tile_dtype("float32"))
    for name in narrow.dtype.names or ():
        narrow[name] = narrowed(tiles[name], operator) if name == "block_ends" else tiles[name]
    return narrow
