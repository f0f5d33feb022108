"""Leaf-wise trees for AVX-512: the tables that `cpp/library/forest_grown.hpp` evaluates.

A tree's top holds up to 15 splits and has up to 16 exits, a record below it up to 5 splits and 6 exits
(:mod:`quickthorn.forest.growth` chooses them). Everything that a row reads of a tree after its top lies in *units* of
eight bytes: first the leaves that exits of the top lead to, then a record for each of its other exits, then the records
further down. So a row that leaves a top finds its leaf or its record by counting exits, and reads one cache line.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from quickthorn.forest.ensemble import Ensemble
from quickthorn.forest.growth import RECORD_SPLITS, TOP_SPLITS, Cut, Growth
from quickthorn.forest.ranking import CODE_NEVER_RIGHT, RankedSplits

_TREES_AT_ONCE = 64
# Tests in the first eight places kill none of the last eight exits.
_LOW_TESTS = 8
_UNIT_BYTES = 8
_RECORD_UNITS = 8
_HEAD_UNITS = 2

LOW_TEST = np.dtype([("slot", "u1", 64), ("code", "u1", 64), ("kills", "u1", (1, 64))])
HIGH_TEST = np.dtype([("slot", "u1", 64), ("code", "u1", 64), ("kills", "u1", (2, 64))])
TOPS = np.dtype(
    [
        ("low", LOW_TEST, _LOW_TESTS),
        ("high", HIGH_TEST, TOP_SPLITS - _LOW_TESTS),
        ("leaves", "u1", (2, 64)),
        ("leaf_units", "u1", 64),
        ("first", "<u4", 64),
    ]
)


@dataclass(frozen=True)
class GrownGroup:
    """Consecutive trees that share 128 entries; the fields of the C++ `GrownGroup`, as arrays rather than offsets.

    `units` is uint8 [n, 8], and `ids` the leaf ids of those units that are leaves.
    """

    tree_count: int
    tiles: npt.NDArray[Any]
    tops: npt.NDArray[Any]
    units: npt.NDArray[np.uint8]
    ids: npt.NDArray[np.int32]


def grown_group(
    ensemble: Ensemble, ranked: RankedSplits, roots: list[int], growth: Growth, tiles: npt.NDArray[Any]
) -> GrownGroup:
    """The tables of consecutive trees."""
    tops = np.zeros(-(-len(roots) // _TREES_AT_ONCE), TOPS)
    for tests in ("low", "high"):
        tops[tests]["code"] = CODE_NEVER_RIGHT
    # Lanes without a tree end at once.
    tops["leaves"][:, 0, :] = 1
    units = _Units(ensemble, ranked, growth)
    for tree, root in enumerate(roots):
        top = growth.top(root)
        chunk, lane = tops[tree // _TREES_AT_ONCE], tree % _TREES_AT_ONCE
        for place, (split, kills) in enumerate(top.tests):
            test = chunk["low"][place] if place < _LOW_TESTS else chunk["high"][place - _LOW_TESTS]
            test["slot"][lane], test["code"][lane] = ranked.slot[split], ranked.code[split]
            test["kills"][:, lane] = [kills & 255, kills >> 8][: len(test["kills"])]
        leaves = _leaf_bits(top)
        chunk["leaves"][:, lane] = leaves & 255, leaves >> 8
        chunk["first"][lane], chunk["leaf_units"][lane] = units.put_tree(top)
    return GrownGroup(len(roots), tiles, tops, *units.tables())


def _leaf_bits(cut: Cut) -> int:
    """A bit for each exit that is a leaf."""
    return sum((node < 0) << number for number, node in enumerate(cut.exits))


@dataclass
class _Units:
    """What lies below the tops. `_leaf` has the number of the leaf in each unit, or -1."""

    ensemble: Ensemble
    ranked: RankedSplits
    growth: Growth
    _bytes: bytearray = field(default_factory=bytearray)
    _leaf: list[int] = field(default_factory=list)

    def put_tree(self, top: Cut) -> tuple[int, int]:
        """Where the tree's units begin, and how many of them the top's leaves take."""
        first = len(self._leaf)
        leaves = [~node for node in top.exits if node < 0]
        self._leaf += leaves + [-1] * (-len(leaves) % _RECORD_UNITS)
        leaf_units = len(self._leaf) - first
        self._bytes += bytes(_UNIT_BYTES * leaf_units)
        # Breadth first: what is looked at together lies together.
        waiting = [node for node in top.exits if node >= 0]
        end = len(self._leaf) + _RECORD_UNITS * len(waiting)
        for split in waiting:
            record = self.growth.record(split)
            below = [node for node in record.exits if node >= 0]
            self._put(record, end)
            waiting += below
            end += _RECORD_UNITS * len(below)
        return first, leaf_units

    def _put(self, record: Cut, next_record: int) -> None:
        """A record whose exits lead to leaves in it, or to records from unit `next_record` on."""
        unused = RECORD_SPLITS - len(record.tests)
        splits = [split for split, _ in record.tests]
        slots = [int(self.ranked.slot[split]) for split in splits] + [0] * unused
        codes = [int(self.ranked.code[split]) for split in splits] + [CODE_NEVER_RIGHT] * unused
        kills = [kills for _, kills in record.tests] + [0] * unused
        self._bytes += bytes([*slots, *codes, *kills, _leaf_bits(record)])
        self._leaf += [-1] * _HEAD_UNITS
        for node in record.exits:
            if node < 0:
                self._bytes += bytes(_UNIT_BYTES)
                self._leaf.append(~node)
            else:
                self._bytes += next_record.to_bytes(_UNIT_BYTES, "little")
                self._leaf.append(-1)
                next_record += _RECORD_UNITS
        self._bytes += bytes(_UNIT_BYTES * unused)
        self._leaf += [-1] * unused

    def tables(self) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32]]:
        """The units with their leaves in place, and leaf ids."""
        units = np.frombuffer(self._bytes, np.uint8).reshape(-1, _UNIT_BYTES).copy()
        leaf = np.array(self._leaf, np.int64)
        (places,) = np.nonzero(leaf >= 0)
        values = self.ensemble.leaf_value[leaf[places]]
        size = values.dtype.itemsize
        units[places, :size] = values.astype(values.dtype.newbyteorder("<")).view(np.uint8).reshape(-1, size)
        return units, np.where(leaf >= 0, self.ensemble.leaf_id[np.maximum(leaf, 0)], 0).astype("<i4")
