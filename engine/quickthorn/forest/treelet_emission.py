"""Native source of a forest, in the form that serves it best; for treelets, a few lines of C++ and their tables."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from quickthorn.forest.batch_emission import with_batches
from quickthorn.forest.crown_emission import emit_crowns
from quickthorn.forest.crowns import crowns_pay, cut_crowns
from quickthorn.forest.emission import ForestSource, Vectors, append_table, cpp_boolean, emit_forest
from quickthorn.forest.ensemble import Ensemble
from quickthorn.forest.grown import GrownGroup
from quickthorn.forest.oblivious import oblivious
from quickthorn.forest.oblivious_emission import emit_oblivious
from quickthorn.forest.ranking import narrowed, narrowed_tiles
from quickthorn.forest.recoding import recode
from quickthorn.forest.recoding_emission import emit_recoded
from quickthorn.forest.stacked import MOST_HEAD_LEVELS, StackedGroup, top_levels
from quickthorn.forest.sums import C_TYPES, finish_steps, leaf_constant
from quickthorn.forest.treelets import Treelets, cut

_SOURCE = """\
#include "forest_exports.hpp"
#include "{header}"

#include <cstdint>

extern "C" [[gnu::visibility("hidden")]] const unsigned char quickthorn_forest_tables[];

namespace {{

using Leaf = {leaf};
using Forest = quickthorn::treelets::{forest};

constexpr quickthorn::treelets::{group} groups[] = {{
{groups}
}};

struct Evaluator {{
    static constexpr std::uint32_t feature_count = {feature_count};
    static constexpr std::uint32_t output_count = 1;

    static Forest forest() {{ return Forest(quickthorn_forest_tables, {{{thresholds}}}, {zero_threshold}); }}
    double margin(const auto* row) const {{
        Leaf sum = {start};
        for (const auto& group : groups) sum = forest().add(group, row, sum);
{finish}        return static_cast<double>(sum);
    }}
    void margins(const auto* row, double* margins) const {{ margins[0] = margin(row); }}
    void leaves(const auto* row, std::int32_t* leaves) const {{
        for (const auto& group : groups) {{
            forest().leaves(group, row, leaves);
            leaves += group.tree_count;
        }}
    }}
    void batch(const auto* rows, std::ptrdiff_t row_stride, std::ptrdiff_t feature_stride, std::uint64_t row_count,
               double* margins) const {{
        quickthorn::forest::each_row(*this, rows, row_stride, feature_stride, row_count, margins);
    }}
}};

}}  // namespace

QUICKTHORN_EXPORT_FOREST(Evaluator)
"""

_HEADER_AND_TYPE: dict[type, tuple[str, str]] = {
    StackedGroup: ("forest_stacked.hpp", "StackedForest"),
    GrownGroup: ("forest_grown.hpp", "GrownForest"),
}


def emit_fastest(ensemble: Ensemble, vectors: Vectors) -> ForestSource:
    """The native source of a forest: of oblivious trees, as treelets, or as a walk from node to node.

    The same arguments always give the same bytes, and whatever the vectors the same leaves and margins, bit for bit.
    """
    recoded = recode(ensemble) if ensemble.categorical.any() else None
    ranked = ensemble if recoded is None else recoded.ensemble
    source = _emit_ranked(ranked, vectors)
    if source is None:
        return with_batches(ensemble, vectors, emit_forest(ensemble))
    source = with_batches(ranked, vectors, source)
    return source if recoded is None else emit_recoded(ensemble, recoded, source)


def _emit_ranked(ensemble: Ensemble, vectors: Vectors) -> ForestSource | None:
    """The native source of a forest that compares ranks, or None where walking serves it better."""
    levelled = oblivious(ensemble)
    if levelled is not None:
        return emit_oblivious(ensemble, levelled)
    treelets = cut(ensemble) if vectors == "avx512" else None
    if treelets is not None:
        return emit_treelets(ensemble, treelets)
    crowns = cut_crowns(ensemble) if crowns_pay(ensemble) else None
    return None if crowns is None else emit_crowns(ensemble, crowns)


def emit_treelets(ensemble: Ensemble, treelets: Treelets) -> ForestSource:
    """The native source of a forest that was cut into treelets."""
    # The thresholds come first: entries point at them by number.
    tables = bytearray()
    thresholds = [append_table(tables, treelets.thresholds), 0]
    narrow = ensemble.operator if ensemble.precision == "float64" else None
    if narrow is not None:
        thresholds[1] = append_table(tables, narrowed(treelets.thresholds, narrow))
    groups = ",\n".join(_group(tables, group, narrow) for group in treelets.groups)
    kind = type(treelets.groups[0])
    header, forest = _HEADER_AND_TYPE[kind]
    base_margin = leaf_constant(float(ensemble.base_margin[0]))
    cpp = _SOURCE.format(
        header=header,
        forest=f"{forest}<{', '.join(_parameters(ensemble, treelets))}>",
        group=kind.__name__,
        leaf=C_TYPES[ensemble.leaf_value.dtype.name],
        feature_count=ensemble.feature_count,
        groups=groups,
        zero_threshold=ensemble.zero_threshold.hex(),
        thresholds=", ".join(map(str, thresholds)),
        start=leaf_constant(0.0) if ensemble.base_last else base_margin,
        finish="".join(f"        {step};\n" for step in finish_steps(ensemble, base_margin)),
    )
    return ForestSource(cpp=cpp, tables=bytes(tables))


def _parameters(ensemble: Ensemble, treelets: Treelets) -> Iterator[str]:
    """The template arguments of the C++ type that evaluates the groups."""
    yield C_TYPES[ensemble.precision]
    yield "Leaf"
    yield cpp_boolean(ensemble.operator == "<")
    if isinstance(treelets.groups[0], StackedGroup):
        yield str(top_levels(treelets.depth))


def _group(tables: bytearray, group: StackedGroup | GrownGroup, narrow: str | None) -> str:
    """One group's tables, and the C++ initialiser that points at them."""
    wide = append_table(tables, group.tiles)
    rounded = 0 if narrow is None else append_table(tables, narrowed_tiles(group.tiles, narrow))
    tiles = f"{{{len(group.tiles)}, {wide}, {rounded}}}"
    if isinstance(group, GrownGroup):
        offsets = ", ".join(str(append_table(tables, part)) for part in (group.tops, group.units, group.ids))
        return f"    {{{group.tree_count}, {tiles}, {offsets}}}"
    tops = append_table(tables, group.tops)
    heads = [append_table(tables, level) for level in group.heads]
    lines = append_table(tables, group.lines)
    # float32 leaves lie in the lines themselves.
    values = append_table(tables, group.values) if group.values.dtype != np.float32 else 0
    ids = append_table(tables, group.ids.astype("<i4"))
    head_offsets = ", ".join(str(offset) for offset in heads + [0] * (MOST_HEAD_LEVELS - len(heads)))
    return f"    {{{group.tree_count}, {len(heads)}, {tiles}, {tops}, {{{head_offsets}}}, {lines}, {values}, {ids}}}"
