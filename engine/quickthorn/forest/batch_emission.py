"""Native source for many rows at once: what an emitted forest's `batch` calls, over `forest_batch.hpp`."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt

from quickthorn.forest.batch_tables import BatchGroup, Kind, batch_groups
from quickthorn.forest.emission import ForestSource, Vectors, append_table, cpp_boolean
from quickthorn.forest.ensemble import Ensemble, Missing
from quickthorn.forest.ranking import Thresholds, narrowed
from quickthorn.forest.sums import C_TYPES

_INCLUDE = '#include "forest_exports.hpp"\n'
_BEGIN = "namespace {\n\n"
_ROW_BY_ROW = re.compile(r"quickthorn::forest::each_row\(\*this, rows, row_stride, feature_stride, row_count, (\w+)\);")

_DECLARATIONS = """\
constexpr quickthorn::batch::Shape batch_shape{{
    .strict = {strict},
    .base_last = {base_last},
    .average = {average},
    .zero_threshold = {zero_threshold},
    .scale = {scale},
    .kinds = {kinds},
    .tile_rows = {tile_rows},
    .line_count = {line_count},
    .output_count = {output_count},
    .fewest_rows = {fewest_rows},
    .thresholds = {thresholds},
    .outputs = {outputs},
}};

constexpr quickthorn::batch::Group batch_groups[] = {{
{groups}
}};
"""

_CALL = """\
quickthorn::batch::Forest<{value}, {leaf}, batch_shape>(quickthorn_forest_tables).run(
    *this, batch_groups, rows, row_stride, feature_stride, row_count, margins);"""

# Rows of a tile, by vectors: so many that a tree is read for many rows, so few that their ranks stay in the caches.
_TILE_ROWS: dict[Vectors, int] = {"portable": 256, "avx2": 256, "avx512": 256}
# Evaluating a tile of fewer rows costs more than evaluating them one by one.
_FEWEST_ROWS: dict[Vectors, int] = {"portable": 16, "avx2": 24, "avx512": 48}
_LOW = 8
# A tree of up to eight levels costs one row as much as the tests of so many splits cost one of many rows (AVX-512).
_SPLITS_OF_A_LOW_TREE = 190
_STACK_BYTES = 192 * 1024
_SEARCH_ENTRY = np.dtype(
    [
        ("search", "<u4"),
        ("thresholds", "<u4"),
        ("threshold_count", "<u2"),
        ("levels", "u1"),
        ("lines", "u1"),
        ("unused", "<u4"),
    ]
)
_SEARCH_TILE = np.dtype(
    [
        ("feature", "<u4", 16),
        ("entries", _SEARCH_ENTRY, 16),
        ("nan_is_zero", "<u2"),
        ("zero_is_nan", "<u2"),
        ("entry_count", "<u2"),
        ("consecutive", "<u2"),
        ("unused", "u1", 56),
    ]
)


def with_batches(ensemble: Ensemble, vectors: Vectors, source: ForestSource) -> ForestSource:
    """The ensemble's source with a `batch` of its own, where that is quicker than row by row.

    What it needs is put behind the tables; all else stays as it is.
    """
    tile_rows = _TILE_ROWS[vectors]
    groups = batch_groups(ensemble, tile_rows)
    if groups is None:
        return source
    if _single_rows_win(ensemble, groups, vectors):
        return source
    line_count = max(max(group.line_count for group in groups), 1)
    leaf_size = ensemble.leaf_value.dtype.itemsize
    # Lines and sums of a tile, and what is on the way to becoming lines.
    if tile_rows * (line_count + leaf_size * ensemble.output_count + 80) > _STACK_BYTES:
        return source
    tables = bytearray(source.tables)
    rankings = _searches(ensemble, groups, tables) if vectors == "avx512" else _tiles(ensemble, groups, tables)
    thresholds, placed = rankings
    texts = []
    for group, (tile_count, tiles, entries) in zip(groups, placed, strict=True):
        trees = append_table(tables, group.trees)
        nodes = append_table(tables, group.nodes)
        leaves = append_table(tables, _byte_planes(group) if vectors == "avx512" else group.leaves)
        texts.append(f"    {{{len(group.trees)}, {tile_count}, {tiles}, {entries}, {trees}, {nodes}, {leaves}}}")
    per_output = np.bincount(ensemble.tree_output, minlength=ensemble.output_count)
    outputs = np.column_stack([ensemble.base_margin, per_output.astype(ensemble.sum_precision)])
    declarations = _DECLARATIONS.format(
        strict=cpp_boolean(ensemble.operator == "<"),
        base_last=cpp_boolean(ensemble.base_last),
        average=cpp_boolean(ensemble.average),
        zero_threshold=ensemble.zero_threshold.hex(),
        scale=ensemble.scale.hex(),
        kinds=_kinds(groups),
        tile_rows=tile_rows,
        line_count=line_count,
        output_count=ensemble.output_count,
        fewest_rows=_FEWEST_ROWS[vectors],
        thresholds=thresholds,
        outputs=append_table(tables, outputs),
        groups=",\n".join(texts),
    )
    call = _CALL.format(value=C_TYPES[ensemble.precision], leaf=C_TYPES[ensemble.sum_precision])
    cpp = source.cpp.replace(_INCLUDE, _INCLUDE + '#include "forest_batch.hpp"\n', 1)
    cpp = cpp.replace(_BEGIN, _BEGIN + declarations + "\n", 1)
    return ForestSource(cpp=_ROW_BY_ROW.sub(lambda loop: call.replace("margins", loop[1]), cpp), tables=bytes(tables))


def _single_rows_win(ensemble: Ensemble, groups: list[BatchGroup], vectors: Vectors) -> bool:
    """Whether rows are quicker one by one: a low tree takes the same time then, however many leaves it has."""
    low = [group.levels <= _LOW for group in groups]
    if vectors != "avx512":
        # Without byte permutes, ranking many rows and looking up their leaves take long.
        return any(low)
    if not all(low) or ensemble.output_count > 1:
        return False
    splits, trees = sum(len(group.nodes) for group in groups), sum(len(group.trees) for group in groups)
    return splits > _SPLITS_OF_A_LOW_TREE * trees


def _kinds(groups: list[BatchGroup]) -> int:
    """The C++ `Shape::kinds`."""
    kinds = 0
    for group in groups:
        trees = group.trees
        places = np.select(
            [trees["kind"] == Kind.ANY, trees["kind"] == Kind.PERFECT], [0, trees["size"].astype(np.int64)], 7
        )
        kinds |= int(np.bitwise_or.reduce(1 << places))
    return kinds


Placed = list[tuple[int, int, int]]


def _searches(ensemble: Ensemble, groups: list[BatchGroup], tables: bytearray) -> tuple[int, Placed]:
    """Tiles of entries with a search tree each; where thresholds begin, and per group tile count, tiles, searches."""
    exact = ensemble.precision == "float32"
    thresholds: list[npt.NDArray[np.float64]] = [np.empty(0)]
    placed, known = [], 0
    for group in groups:
        entries = group.ranked.entries
        tiles = np.zeros(-(-len(entries) // 16), _SEARCH_TILE)
        searches: list[npt.NDArray[np.float32]] = [np.empty(0, np.float32)]
        begin = 0
        for number, (feature, missing, ascending) in enumerate(entries):
            tile, place = tiles[number // 16], number % 16
            search = _search_tree(ascending)
            levels = len(search).bit_length() - 1
            lines = group.line_kinds[number]
            tile["feature"][place] = feature
            tile["entries"][place] = (begin, known, len(ascending), levels, lines, 0)
            tile["nan_is_zero"] |= (missing == Missing.NONE) << place
            tile["zero_is_nan"] |= (missing == Missing.ZERO) << place
            tile["entry_count"] = place + 1
            searches.append(search)
            begin += len(search)
            if not exact:
                thresholds.append(ascending)
                known += len(ascending)
        for tile in tiles:
            features = tile["feature"][: tile["entry_count"]].astype(np.int64)
            tile["consecutive"] = (np.diff(features) == 1).all()
        placed.append((len(tiles), append_table(tables, tiles), append_table(tables, np.concatenate(searches))))
    return append_table(tables, np.concatenate(thresholds).astype("<f8")), placed


def _search_tree(ascending: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Thresholds rounded down to float32, as a search tree: breadth first, from place 1, in 16 to 256 places."""
    # Rounded down whatever the comparison is: forest_batch_ranks.hpp looks at what is equal afterwards once more.
    rounded = narrowed(ascending, "<=")
    levels = max(len(ascending).bit_length(), 4)
    padded = np.full(2**levels, np.nan, np.float32)
    padded[: len(rounded)] = rounded
    tree = np.full(2**levels, np.nan, np.float32)
    for level in range(levels):
        step = 2 ** (levels - level)
        tree[2**level : 2 ** (level + 1)] = padded[step // 2 - 1 :: step]
    return tree


def _tiles(ensemble: Ensemble, groups: list[BatchGroup], tables: bytearray) -> tuple[int, Placed]:
    """Tiles as one row is quantised by them; where thresholds begin, and per group tile count, tiles and entries."""
    thresholds = Thresholds(ensemble)
    placed = []
    for group in groups:
        entries = group.ranked.entries
        tiles = group.ranked.tiles(thresholds)[: -(-len(entries) // 16)]
        table = np.zeros((len(tiles) * 16, 2), "<u4")
        table[: len(entries), 0] = [feature for feature, _, _ in entries]
        table[: len(entries), 1] = group.line_kinds[: len(entries)]
        tiles["feature"] = np.arange(16 * len(tiles)).reshape(-1, 16)
        placed.append((len(tiles), append_table(tables, tiles), append_table(tables, table)))
    return append_table(tables, thresholds.table()), placed


def _byte_planes(group: BatchGroup) -> npt.NDArray[np.uint8]:
    """Per tree, the lowest bytes of its leaves, then the next, and so on."""
    size = group.leaves.dtype.itemsize
    bytes_of = group.leaves.view(np.uint8).reshape(-1, size)
    ends = 64 * np.cumsum(group.trees["leaf_blocks"], dtype=np.int64)
    parts = np.split(bytes_of, ends[:-1])
    return np.concatenate([part.T.ravel() for part in parts])
