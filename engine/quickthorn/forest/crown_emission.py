"""From crowns and branches to native source: a shape for `forest_crowns.hpp`, and its tables."""

from __future__ import annotations

from itertools import accumulate

from quickthorn.forest.crowns import CrownGroup, Crowns
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

{shapes}

template <quickthorn::treelets::CrownShape shape>
using Forest = quickthorn::treelets::CrownForest<{value}, Leaf, shape>;

struct Evaluator {{
    static constexpr std::uint32_t feature_count = {feature_count};
    static constexpr std::uint32_t output_count = 1;

    double margin(const auto* row) const {{
        Leaf sum = {start};
{add}{finish}        return static_cast<double>(sum);
    }}
    void margins(const auto* row, double* margins) const {{ margins[0] = margin(row); }}
    void leaves(const auto* row, std::int32_t* leaves) const {{
{leaves}    }}
    void batch(const auto* rows, std::ptrdiff_t row_stride, std::ptrdiff_t feature_stride, std::uint64_t row_count,
               double* margins) const {{
        quickthorn::forest::each_row(*this, rows, row_stride, feature_stride, row_count, margins);
    }}
}};

}}  // namespace

QUICKTHORN_EXPORT_FOREST(Evaluator)
"""

_SHAPE = """\
constexpr quickthorn::treelets::CrownShape shape_{number}{{
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
}};"""


def emit_crowns(ensemble: Ensemble, crowns: Crowns) -> ForestSource:
    """The native source of a forest that was cut into crowns and branches."""
    # The thresholds come first: entries point at them by number.
    tables = bytearray()
    append_table(tables, crowns.thresholds)
    shapes = [_shape(tables, ensemble, group, number) for number, group in enumerate(crowns.groups)]
    forests = [f"Forest<shape_{number}>(quickthorn_forest_tables)" for number in range(len(shapes))]
    leaves = [
        f"{forest}.leaves(row, leaves + {first});" for forest, first in zip(forests, _firsts(crowns), strict=True)
    ]
    base_margin = leaf_constant(float(ensemble.base_margin[0]))
    cpp = _SOURCE.format(
        shapes="\n\n".join(shapes),
        value=C_TYPES[ensemble.precision],
        leaf=C_TYPES[ensemble.sum_precision],
        feature_count=ensemble.feature_count,
        start=leaf_constant(0.0) if ensemble.base_last else base_margin,
        add="".join(f"        sum = {forest}.add(row, sum);\n" for forest in forests),
        finish="".join(f"        {step};\n" for step in finish_steps(ensemble, base_margin)),
        leaves="".join(f"        {call}\n" for call in leaves),
    )
    return ForestSource(cpp=cpp, tables=bytes(tables))


def _firsts(crowns: Crowns) -> list[int]:
    """The number of each group's first tree."""
    return [0, *accumulate(group.tree_count for group in crowns.groups)][:-1]


def _shape(tables: bytearray, ensemble: Ensemble, group: CrownGroup, number: int) -> str:
    """One group's tables, and the C++ constant that points at them."""
    return _SHAPE.format(
        number=number,
        zero_threshold=ensemble.zero_threshold.hex(),
        strict=cpp_boolean(ensemble.operator == "<"),
        even=cpp_boolean(group.even),
        tree_count=group.tree_count,
        tile_count=len(group.tiles),
        crown_levels=group.crown_levels,
        branch_levels=group.branch_levels,
        tiles=append_table(tables, group.tiles),
        crowns=append_table(tables, group.crowns),
        branches=append_table(tables, group.branches),
        values=append_table(tables, group.values.astype(group.values.dtype.newbyteorder("<"))),
        ids=append_table(tables, group.ids.astype("<i4")),
    )
