"""Trees in blocks: the tables that `cpp/library/forest_contribution_blocks.hpp` computes contributions from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from quickthorn.forest.emission import Vectors, append_table
from quickthorn.forest.ensemble import Ensemble
from quickthorn.forest.explanation import Explanation, gauss_legendre

# A larger tree is walked: a block's scratch memory is on the stack.
MOST_INNER = 1024
# Sums by feature are on the stack too.
MOST_FEATURES = 2048
# Measured: with fewer values at the points of a block's inner splits, more time goes to where loops end.
_INNER_VALUES = 2048
# How many float64 a processor's vectors hold.
_LANES: dict[Vectors, int] = {"portable": 2, "avx2": 4, "avx512": 8}

BLOCK = np.dtype(
    [
        *((name, "<u2") for name in ("roots", "inner", "twins", "last", "lone", "repeated", "repeated_last", "runs")),
        ("output", "<u4"),
        ("stems", "<u2"),
        ("left_stems", "<u2"),
        *((f"{name}_at", "<u8") for name in ("shares", "seen", "leaves", "tests", "places", "features")),
        ("repeated_at", "<u8"),
        ("runs_at", "<u8"),
    ]
)
GROUP = np.dtype(
    [
        ("lanes", "<u4"),
        ("vectors", "<u4"),
        ("blocks", "<u4"),
        ("unused", "<u4"),
        ("blocks_at", "<u8"),
        ("points_at", "<u8"),
    ]
)

Numbers = npt.NDArray[np.int64]
Tests = Callable[[bytearray, Numbers], int]
"""Puts the tests of splits of these numbers behind tables, as the native Tests read them; returns where they begin"""


@dataclass(frozen=True)
class BlockTables:
    """Where the groups begin, and what the C++ `BlockSizes` states: the most that any block has."""

    groups: int
    group_count: int
    splits: int
    last: int
    repeated: int
    place_values: int
    inner_values: int


def lanes_and_vectors(features_on_path: Numbers, vectors: Vectors) -> tuple[Numbers, Numbers]:
    """How many points side by side, and how many such vectors, integrate paths of so many features exactly."""
    points = -(-features_on_path // 2)
    lanes = np.minimum(np.select([points <= 2, points <= 4], [2, 4], 8), _LANES[vectors])
    return lanes, -(-points // lanes)


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
    builder = _Builder(ensemble, explanation, features, tests, tables)
    lanes, counts = lanes_and_vectors(explanation.features_on_path[trees], vectors)
    outputs = np.maximum(ensemble.tree_output[trees], 0)
    order = np.lexsort((trees, counts, lanes, outputs))
    groups = []
    keys = np.stack([outputs, lanes, counts])[:, order]
    begins = np.flatnonzero(np.append(True, (np.diff(keys) != 0).any(axis=0)))
    for members in np.split(order, begins[1:]) if len(order) else []:
        width, count = int(lanes[members[0]]), int(counts[members[0]])
        blocks = np.concatenate([builder.block(some, width) for some in builder.divide(trees[members], width)])
        groups.append(
            (
                width,
                count,
                len(blocks),
                0,
                append_table(tables, blocks),
                append_table(tables, points_table(width, count)),
            )
        )
    return BlockTables(
        groups=append_table(tables, np.array(groups, GROUP)),
        group_count=len(groups),
        splits=builder.most["splits"],
        last=builder.most["last"],
        repeated=builder.most["repeated"],
        place_values=builder.most["place_values"],
        inner_values=builder.most["inner_values"],
    )


class _Builder:
    def __init__(
        self, ensemble: Ensemble, explanation: Explanation, features: Numbers, tests: Tests, tables: bytearray
    ) -> None:
        self.ensemble = ensemble
        self.explanation = explanation
        self.tests = tests
        self.tables = tables
        self.feature_number = np.zeros(ensemble.feature_count, np.int64)
        self.feature_number[features] = np.arange(len(features))
        # Of the splits of the block at hand.
        self.number = np.zeros(len(ensemble.feature), np.int64)
        # Splits in order of trees, and where each tree's begin.
        self.by_tree = np.argsort(explanation.tree, kind="stable")
        self.first = np.searchsorted(explanation.tree[self.by_tree], np.arange(ensemble.tree_count + 1))
        self.most = dict.fromkeys(("splits", "last", "repeated", "place_values", "inner_values"), 0)

    def divide(self, trees: Numbers, lanes: int) -> Iterator[Numbers]:
        """Trees in runs whose inner splits are few enough; one tree is a run whatever it has."""
        limit, held, first = _INNER_VALUES // lanes, 0, 0
        for place, tree in enumerate(trees.tolist()):
            inner = int(self.explanation.inner_count[tree]) + 1
            if place > first and held + inner > limit:
                yield trees[first:place]
                held, first = 0, place
            held += inner
        yield trees[first:]

    def block(self, trees: Numbers, lanes: int) -> npt.NDArray[Any]:
        """One block's header [1]; all else is put behind the tables."""
        explanation, ensemble = self.explanation, self.ensemble
        splits = np.concatenate([self.by_tree[self.first[tree] : self.first[tree + 1]] for tree in trees.tolist()])
        inner, twins, stems, last = self.ordered(splits)
        splits = np.concatenate([inner, twins, stems, last])
        number = self.number
        number[splits] = np.arange(len(splits))
        place = self.places(splits, trees, len(inner))
        again = splits[explanation.above[splits] >= 0]
        above = 2 * number[explanation.above[again]] + explanation.above_left[again]
        lone_places, lone_leaves = self.lone(inner, len(trees))
        runs = np.bincount(explanation.turn[inner], minlength=1)
        header = np.zeros(1, BLOCK)
        header["roots"], header["inner"], header["twins"], header["last"] = (
            len(trees),
            len(inner),
            len(twins),
            len(last),
        )
        header["stems"], header["left_stems"] = len(stems), (ensemble.left[stems] >= 0).sum()
        header["lone"], header["repeated"], header["runs"] = len(lone_places), len(again), len(runs)
        header["repeated_last"] = (explanation.above[last] >= 0).sum()
        header["output"] = max(int(ensemble.tree_output[trees[0]]), 0)
        self.put(header, "shares", explanation.share[splits], "<f8")
        self.put(header, "seen", explanation.seen[again], "<f8")
        lone_leaves = np.append(lone_leaves, ~np.minimum(ensemble.left[stems], ensemble.right[stems]))
        self.put(header, "leaves", self.leaves(last, lone_leaves), f"<f{ensemble.leaf_value.dtype.itemsize}")
        header["tests_at"] = self.tests(self.tables, splits)
        self.put(header, "places", np.concatenate([place, lone_places]) * lanes, "<u2")
        self.put(header, "features", self.feature_number[ensemble.feature[splits]] * lanes, "<u2")
        self.put(header, "repeated", np.concatenate([number[again], above]), "<u2")
        self.put(header, "runs", runs, "<u2")
        for name, size in (
            ("splits", len(splits)),
            ("last", len(last)),
            ("repeated", len(again)),
            ("place_values", (len(trees) + 2 * len(inner)) * lanes),
            ("inner_values", len(inner) * lanes),
        ):
            self.most[name] = max(self.most[name], size)
        return header

    def ordered(self, splits: Numbers) -> tuple[Numbers, Numbers, Numbers, Numbers]:
        """The splits in the order that a block has them: parents before children."""
        explanation, ensemble = self.explanation, self.ensemble
        repeated = explanation.above >= 0
        is_last = explanation.last[splits]
        last, others = splits[is_last], splits[~is_last]
        sides = np.stack([ensemble.left[others], ensemble.right[others]], axis=1)
        ending = (sides >= 0) & (explanation.last & ~repeated)[np.maximum(sides, 0)]
        is_twin = ending.all(axis=1) & ~repeated[others]
        is_stem = ending.any(axis=1) & (sides < 0).any(axis=1) & ~repeated[others]
        twins, inner = others[is_twin], others[~is_twin & ~is_stem]
        # Stems whose last split is on their left come first.
        stems = others[is_stem]
        stems = stems[np.argsort(ensemble.left[stems] < 0, kind="stable")]
        of_stems = np.maximum(ensemble.left[stems], ensemble.right[stems]).astype(np.int64)
        # Inner splits turn by turn, that no branch is needed to tell those on new features from those on repeated ones.
        inner = inner[np.lexsort((inner, explanation.depth[inner], explanation.turn[inner]))]
        of_twins = sides[is_twin].reshape(-1).astype(np.int64)
        alone = last[~np.isin(last, np.append(of_twins, of_stems))]
        alone = alone[np.argsort(repeated[alone], kind="stable")]
        return inner, twins, stems, np.concatenate([of_twins, of_stems, alone])

    def places(self, splits: Numbers, trees: Numbers, inner: int) -> Numbers:
        """Each split's place: the roots', in order, then two for each inner split."""
        number = self.number
        parent = self.explanation.parent[splits]
        below = len(trees) + 2 * number[parent] + ~self.explanation.from_left[splits]
        roots = np.searchsorted(trees, self.explanation.tree[splits])
        # The sides of twins and stems have none.
        places: Numbers = np.where(parent >= 0, np.where(number[parent] < inner, below, 0), roots)
        return places

    def lone(self, inner: Numbers, roots: int) -> tuple[Numbers, Numbers]:
        """The places and numbers of the leaves that are a side of an inner split."""
        sides = np.stack([self.ensemble.left[inner], self.ensemble.right[inner]], axis=1).astype(np.int64).reshape(-1)
        leaf = np.flatnonzero(sides < 0)
        return roots + leaf, ~sides[leaf]

    def leaves(self, last: Numbers, lone: Numbers) -> npt.NDArray[Any]:
        """The leaves' values, for each output those left of last splits, right of them, and alone."""
        numbers = np.concatenate([~self.ensemble.left[last], ~self.ensemble.right[last], lone])
        return np.atleast_2d(self.ensemble.leaf_value[numbers].T)

    def put(self, header: npt.NDArray[Any], name: str, values: npt.NDArray[Any], dtype: str) -> None:
        """Put a table behind the others, aligned to its values."""
        table = np.ascontiguousarray(values, dtype)
        self.tables.extend(bytes(-len(self.tables) % table.itemsize))
        header[f"{name}_at"] = len(self.tables)
        self.tables.extend(table.tobytes())
