"""Trees in blocks: the tables that `cpp/library/forest_contribution_blocks.hpp` computes contributions from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from quickthorn.forest.emission import Vectors, append_table
from quickthorn.forest.ensemble import Ensemble
from quickthorn.forest.explanation import Explanation
from quickthorn.forest.quadrature import centred_leaves, gauss_legendre

# A larger tree is walked: a block's scratch memory is on the stack.
MOST_SPLITS = 2048
# Sums by feature are on the stack too.
MOST_FEATURES = 2048
# Measured: with fewer, more of a block's vectors and eights are not full. At eight points they take 128 KiB.
_VALUES_IN_BLOCK = 4096
# How many points are worked on at a time.
_MOST_POINTS = 8
# How many float32 a processor's vectors hold.
LANES: dict[Vectors, int] = {"portable": 4, "avx2": 8, "avx512": 16}

BLOCK = np.dtype(
    [
        *((name, "<u2") for name in ("root_vectors", "vectors", "repeated", "last", "blank", "eights")),
        ("output", "<u4"),
        *((f"{name}_at", "<u8") for name in ("vectors", "shares", "leaves", "tests", "eights", "repeated", "seen")),
        ("blanks_at", "<u8"),
    ]
)
GROUP = np.dtype([("points", "<u4"), ("blocks", "<u4"), ("blocks_at", "<u8"), ("points_at", "<u8")])

Numbers = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]
Tests = Callable[[bytearray, Numbers], int]
"""Puts the tests of splits of these numbers behind tables, as the native Tests read them; returns where they begin"""


@dataclass(frozen=True)
class BlockTables:
    """Where the groups begin, and what the C++ `BlockSizes` states; what leaves in blocks are multiplied by."""

    groups: int
    group_count: int
    lanes: int
    splits: int
    queued: int
    last: int
    repeated: int
    points: int
    factor: Reals


def points_table(lanes: int, vectors: int) -> npt.NDArray[np.float64]:
    """forest_contribution_points.hpp's Points, one after the other."""
    known, weight = gauss_legendre(lanes * vectors)
    rows = np.stack([known, 1.0 - known, weight]).reshape(3, vectors, lanes)
    return np.ascontiguousarray(rows.transpose(1, 0, 2), "<f8")


def lay_out(
    ensemble: Ensemble,
    explanation: Explanation,
    trees: Numbers,
    features: Numbers,
    tests: Tests,
    vectors: Vectors,
    tables: bytearray,
) -> BlockTables:
    """Put these trees' blocks behind the tables; `features` are those that any of their splits is on, in order."""
    lanes = LANES[vectors]
    leaves, scale = _leaves(ensemble, explanation)
    builder = _Builder(ensemble, explanation, leaves, features, tests, tables, lanes)
    points = explanation.points[trees]
    outputs = np.maximum(ensemble.tree_output[trees], 0)
    # Trees with features that occur again at like depths are next to each other, so that most vectors have none.
    repeated = explanation.above >= 0
    first, last = np.full(ensemble.tree_count, explanation.depth.max(initial=0) + 1), np.zeros(ensemble.tree_count)
    np.minimum.at(first, explanation.tree[repeated], explanation.depth[repeated])
    np.maximum.at(last, explanation.tree[repeated], explanation.depth[repeated])
    order = np.lexsort((trees, last[trees], -first[trees], points, outputs))
    groups, most_points = [], 1
    keys = np.stack([outputs, points])[:, order]
    begins = np.flatnonzero(np.append(True, (np.diff(keys) != 0).any(axis=0)))
    for members in np.split(order, begins[1:]) if len(order) else []:
        count = int(points[members[0]])
        blocks = np.concatenate([builder.block(some) for some in builder.divide(trees[members])])
        known, weight = gauss_legendre(count)
        table = append_table(tables, np.concatenate([known, 1.0 - known, weight]).astype("<f4"))
        groups.append((count, len(blocks), append_table(tables, blocks), table))
        most_points = max(most_points, min(count, _MOST_POINTS))
    return BlockTables(
        groups=append_table(tables, np.array(groups, GROUP)),
        group_count=len(groups),
        lanes=lanes,
        splits=builder.most["splits"],
        queued=builder.most["queued"],
        last=builder.most["last"],
        repeated=builder.most["repeated"],
        points=most_points,
        factor=explanation.factor * scale,
    )


def _leaves(ensemble: Ensemble, explanation: Explanation) -> tuple[Reals, float]:
    """The leaves' values, float64 [leaves, outputs of a tree], as float32 can hold them, and what to multiply them by.

    A tree's contributions are the same whatever is added to all of its leaves: here their middle is 0.
    """
    centred = centred_leaves(ensemble, explanation.tree)
    scale = float(np.ldexp(1.0, np.frexp(np.abs(centred).max(initial=0.0))[1]))
    return centred / scale, scale


def _vector_type(lanes: int) -> np.dtype[Any]:
    """That of the C++ QueueVector."""
    below: list[Any] = [("mask", "<u2", 2), ("place", "<u2"), ("two", "<u2")]
    if lanes == LANES["avx512"]:
        below += [("packing", "u1", (2, lanes)), ("spreading", "u1", (2, lanes))]
    return np.dtype([("queued", below), ("last", below), ("repeated", "<u4")])


def _below(split: npt.NDArray[np.bool_], place: int) -> npt.NDArray[Any]:
    """The C++ Below of vectors, bool [n, 2, lanes]: in which lanes splits have others; these begin at `place`."""
    count, _, lanes = split.shape
    below = np.zeros(count, _vector_type(lanes)["last"])
    splits = split.sum(axis=(1, 2))
    below["mask"] = (split << np.arange(lanes)).sum(axis=2)
    below["place"] = place + splits.cumsum() - splits
    below["two"] = splits > lanes
    if "packing" in (below.dtype.names or ()):
        both = split.reshape(count, 2 * lanes)
        below["packing"] = np.argsort(~both, axis=1, kind="stable").reshape(split.shape)
        one, two = both.cumsum(axis=1).reshape(split.shape) - 1, split.cumsum(axis=2) - 1
        below["spreading"] = np.where(split, np.where((splits > lanes)[:, np.newaxis, np.newaxis], two, one), 0)
    return below


def _eights(places: Numbers, features: Numbers, none: int) -> tuple[Numbers, Numbers]:
    """The places of splits in eights on the same feature, [n, 8], and these features, [n].

    Where there are fewer than eight, `none` fills up. Those of a feature are far apart, that adding one up need not
    wait for the other.
    """
    order = np.argsort(features, kind="stable")
    counts = np.bincount(features)
    number, count = np.repeat(np.arange(len(counts)), -(-counts // 8)), -(-counts // 8)
    first = count.cumsum() - count
    eights = np.full((len(number), 8), none)
    behind = np.arange(len(order)) - (counts.cumsum() - counts)[features[order]]
    eights[first[features[order]] + behind // 8, behind % 8] = places[order]
    apart = np.argsort(np.arange(len(number)) - first[number], kind="stable")
    return eights[apart], number[apart]


class _Builder:
    def __init__(
        self,
        ensemble: Ensemble,
        explanation: Explanation,
        leaves: Reals,
        features: Numbers,
        tests: Tests,
        tables: bytearray,
        lanes: int,
    ) -> None:
        self.ensemble = ensemble
        self.explanation = explanation
        self.leaves = leaves
        self.tests = tests
        self.tables = tables
        self.lanes = lanes
        self.feature_number = np.zeros(ensemble.feature_count, np.int64)
        self.feature_number[features] = np.arange(len(features))
        # How many values a tree has at a point: one of each split, and two more of one on a feature that occurs again.
        repeated = np.bincount(explanation.tree[explanation.above >= 0], minlength=ensemble.tree_count)
        self.values = explanation.split_count + 2 * repeated
        # Of the splits of the block at hand.
        self.place = np.zeros(len(ensemble.feature), np.int64)
        # Those that are worked on after the queue: not on a feature that is split on above, and with leaves below.
        self.last = (ensemble.left < 0) & (ensemble.right < 0) & (explanation.above < 0)
        self.most = dict.fromkeys(("splits", "queued", "last", "repeated"), 0)

    def divide(self, trees: Numbers) -> Iterator[Numbers]:
        """Trees in runs whose values are few enough; one tree is a run whatever it has."""
        held, first = 0, 0
        for place, tree in enumerate(trees.tolist()):
            count = int(self.values[tree])
            if place > first and held + count > _VALUES_IN_BLOCK:
                yield trees[first:place]
                held, first = 0, place
            held += count
        yield trees[first:]

    def block(self, trees: Numbers) -> npt.NDArray[Any]:
        """One block's header [1]; all else is put behind the tables."""
        explanation, ensemble = self.explanation, self.ensemble
        queue, vectors, last = self.queue(ensemble.roots[trees].astype(np.int64))
        queued = len(queue)
        queue = np.concatenate([queue, last, np.full(-len(last) % self.lanes, -1)])
        there = queue >= 0
        splits = np.maximum(queue, 0)
        again = there & (explanation.above[splits] >= 0)
        vectors["repeated"] = (again[:queued].reshape(-1, self.lanes) << np.arange(self.lanes)).sum(axis=1)
        repeated = splits[again]
        self.place[queue[there]] = np.flatnonzero(there)
        above = 2 * self.place[explanation.above[repeated]] + explanation.above_left[repeated]
        header = np.zeros(1, BLOCK)
        roots = -(-len(trees) // self.lanes)
        blanks = np.flatnonzero(~there[:queued].reshape(-1, self.lanes).all(axis=1))
        blanks = blanks[blanks >= roots]
        header["root_vectors"], header["blank"] = roots, len(blanks)
        header["vectors"], header["repeated"] = len(vectors), len(repeated)
        header["last"] = (len(queue) - queued) // self.lanes
        header["output"] = max(int(ensemble.tree_output[trees[0]]), 0)
        self.put(header, "vectors", vectors)
        self.put(header, "shares", np.where(there, explanation.share[splits], 0.5).astype("<f4"))
        sides = np.stack([ensemble.left[splits], ensemble.right[splits]])
        is_leaf = there & (sides < 0)
        values = np.where(is_leaf[..., np.newaxis], self.leaves[np.where(is_leaf, ~sides, 0)], 0.0)
        values = values.reshape(2, -1, self.lanes, values.shape[-1])
        self.put(header, "leaves", values.transpose(3, 1, 0, 2).astype("<f4"))
        header["tests_at"] = self.tests(self.tables, splits)
        eights, features = _eights(
            np.flatnonzero(there), self.feature_number[ensemble.feature[queue[there]]], len(queue)
        )
        header["eights"] = len(eights)
        self.put(header, "eights", np.append(eights, features).astype("<u2"))
        self.put(header, "repeated", np.concatenate([self.place[repeated], above]).astype("<u2"))
        self.put(header, "seen", explanation.seen[repeated].astype("<f4"))
        self.put(header, "blanks", blanks.astype("<u2"))
        for name, size in (
            ("splits", len(queue)),
            ("queued", queued),
            ("last", len(queue) - queued),
            ("repeated", len(repeated)),
        ):
            self.most[name] = max(self.most[name], size)
        return header

    def queue(self, roots: Numbers) -> tuple[Numbers, npt.NDArray[Any], Numbers]:
        """The splits below the roots in the order that a block has them, the vectors of these, and the last splits.

        Behind the roots come the children of each vector of splits, its left ones first, and so do last splits. There
        is nothing, -1, in a place where children would otherwise lie in their parents' own vector.
        """
        lanes = self.lanes
        queue, done, records, last = roots, 0, [], np.empty(0, np.int64)
        while done < len(queue):
            count = max((len(queue) - done) // lanes, 1)
            queue = np.append(queue, np.full(max(done + lanes - len(queue), 0), -1))
            wave = queue[done : done + count * lanes].reshape(count, 1, lanes)
            sides = np.concatenate([self.ensemble.left[wave], self.ensemble.right[wave]], axis=1).astype(np.int64)
            split = (sides >= 0) & (wave >= 0)
            is_last = split & self.last[np.maximum(sides, 0)]
            record = np.zeros(count, _vector_type(lanes))
            record["queued"] = _below(split & ~is_last, len(queue))
            record["last"] = _below(is_last, len(last))
            records.append(record)
            queue = np.append(queue, sides[split & ~is_last])
            last = np.append(last, sides[is_last])
            done += count * lanes
        return queue, np.concatenate(records), last

    def put(self, header: npt.NDArray[Any], name: str, values: npt.NDArray[Any]) -> None:
        """Put a table behind the others, where vectors of it do not lie across cache lines."""
        header[f"{name}_at"] = append_table(self.tables, values)
