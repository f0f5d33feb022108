"""From crowns and branches to native source: a shape for `forest_crowns.hpp`, and its tables."""

from __future__ import annotations

from quickthorn.forest.crowns import Crowns
from quickthorn.forest.emission import ForestSource, append_table, cpp_boolean
from quickthorn.forest.ensemble import Ensemble
from quickthorn.forest.sums import C_TYPES, finish_steps, leaf_constant

_SOURCE = """\
#include "forest_crowns.hpp"
#include "forest_exports.hpp"

#include <cstdint>

extern "C" [[gnu::visibility("hidden")]] const unsigned char quickthorn_forest_tables[];

namespace {{

using Leaf = {leaf};

constexpr quickthorn::treelets::CrownShape shape{{
    .zero_threshold = {zero_threshold},
    .strict = {strict},
    .even = {even},
    .tree_count = {tree_count},
    .tile_count = {tile_count},
    .crown_levels = {crown_levels},
    .branch_levels = {branch_levels},
    .tiles = {tiles},
    .crowns = {crowns},
    .branches = {branches},
    .values = {values},
    .ids = {ids},
}};
using Forest = quickthorn::treelets::CrownForest<{value}, Leaf, shape>;

struct Evaluator {{
    static constexpr std::uint32_t feature_count = {feature_count};
    static constexpr std::uint32_t output_count = 1;

    static Forest forest() {{ return Forest(quickthorn_forest_tables); }}
    double margin(const auto* row) const {{
        Leaf sum = forest().add(row, {start});
{finish}        return static_cast<double>(sum);
    }}
    void margins(const auto* row, double* margins) const {{ margins[0] = margin(row); }}
    void leaves(const auto* row, std::int32_t* leaves) const {{ forest().leaves(row, leaves); }}
    void batch(const auto* rows, std::ptrdiff_t row_stride, std::ptrdiff_t feature_stride, std::uint64_t row_count,
               double* margins) const {{
        quickthorn::forest::each_row(*this, rows, row_stride, feature_stride, row_count, margins);
    }}
}};

}}  // namespace

QUICKTHORN_EXPORT_FOREST(Evaluator)
"""


def emit_crowns(ensemble: Ensemble, crowns: Crowns) -> ForestSource:
    """The native source of a forest that was cut into crowns and branches."""
    # The thresholds come first: entries point at them by number.
    tables = bytearray()
    append_table(tables, crowns.thresholds)
    base_margin = leaf_constant(float(ensemble.base_margin[0]))
    cpp = _SOURCE.format(
        value=C_TYPES[ensemble.precision],
        leaf=C_TYPES[ensemble.sum_precision],
        zero_threshold=ensemble.zero_threshold.hex(),
        strict=cpp_boolean(ensemble.operator == "<"),
        even=cpp_boolean(crowns.even),
        tree_count=crowns.tree_count,
        tile_count=len(crowns.tiles),
        crown_levels=crowns.crown_levels,
        branch_levels=crowns.branch_levels,
        tiles=append_table(tables, crowns.tiles),
        crowns=append_table(tables, crowns.crowns),
        branches=append_table(tables, crowns.branches),
        values=append_table(tables, crowns.values.astype(crowns.values.dtype.newbyteorder("<"))),
        ids=append_table(tables, crowns.ids.astype("<i4")),
        feature_count=ensemble.feature_count,
        start=leaf_constant(0.0) if ensemble.base_last else base_margin,
        finish="".join(f"        {step};\n" for step in finish_steps(ensemble, base_margin)),
    )
    return ForestSource(cpp=cpp, tables=bytes(tables))
