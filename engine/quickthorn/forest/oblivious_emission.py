"""Native source for a forest of oblivious trees: a few lines of C++ over `forest_oblivious.hpp`, and tables."""

from __future__ import annotations

from quickthorn.forest.emission import ForestSource, append_table, cpp_boolean
from quickthorn.forest.ensemble import Ensemble
from quickthorn.forest.oblivious import ObliviousForest, ObliviousGroup
from quickthorn.forest.sums import C_TYPES, finish_steps, leaf_constant

_SOURCE = """\
#include "forest_exports.hpp"
#include "forest_oblivious.hpp"

#include <cstdint>

extern "C" [[gnu::visibility("hidden")]] const unsigned char quickthorn_forest_tables[];

namespace {{

using Leaf = {leaf};
using Forest = quickthorn::oblivious::Forest<{value}, Leaf, {strict}>;

constexpr quickthorn::oblivious::Group groups[] = {{
{groups}
}};
constexpr Leaf base_margins[] = {{{base_margins}}};

struct Evaluator {{
    static constexpr std::uint32_t feature_count = {feature_count};
    static constexpr std::uint32_t output_count = {output_count};

    static Forest forest() {{ return Forest(quickthorn_forest_tables, {zero_threshold}); }}
    static Leaf start(std::uint32_t output) {{ return {start}; }}
    static double finished(Leaf sum, std::uint32_t output) {{
{finish}        static_cast<void>(output);
        return static_cast<double>(sum);
    }}
    double margin(const auto* row) const {{
        if constexpr (output_count == 1) {{
            Leaf sum = start(0);
            for (const auto& group : groups) sum = forest().add(group, row, sum);
            return finished(sum, 0);
        }} else {{
            double all[output_count];
            margins(row, all);
            return all[0];
        }}
    }}
    void margins(const auto* row, double* margins) const {{
        if constexpr (output_count == 1) {{
            margins[0] = margin(row);
        }} else {{
            Leaf sums[output_count];
            for (std::uint32_t output = 0; output < output_count; ++output) sums[output] = start(output);
            for (const auto& group : groups) forest().template add<output_count>(group, row, sums);
            for (std::uint32_t output = 0; output < output_count; ++output) {{
                margins[output] = finished(sums[output], output);
            }}
        }}
    }}
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


def emit_oblivious(ensemble: Ensemble, forest: ObliviousForest) -> ForestSource:
    """The native source of a forest of oblivious trees."""
    # The thresholds come first: entries point at them by number.
    tables = bytearray()
    append_table(tables, forest.thresholds)
    cpp = _SOURCE.format(
        value=C_TYPES[ensemble.precision],
        leaf=C_TYPES[ensemble.sum_precision],
        strict=cpp_boolean(ensemble.operator == "<"),
        groups=",\n".join(_group(tables, group) for group in forest.groups),
        base_margins=", ".join(leaf_constant(margin) for margin in ensemble.base_margin.tolist()),
        feature_count=ensemble.feature_count,
        output_count=ensemble.output_count,
        zero_threshold=ensemble.zero_threshold.hex(),
        start=f"output < output_count ? {leaf_constant(0.0)} : base_margins[0]"
        if ensemble.base_last
        else "base_margins[output]",
        finish="".join(f"        {step};\n" for step in finish_steps(ensemble, "base_margins[output]")),
    )
    return ForestSource(cpp=cpp, tables=bytes(tables))


def _group(tables: bytearray, group: ObliviousGroup) -> str:
    """One group's tables, and the C++ initialiser that points at them."""
    tiles = append_table(tables, group.tiles)
    levels = append_table(tables, group.levels)
    values = append_table(tables, group.values.astype(group.values.dtype.newbyteorder("<")))
    ids = append_table(tables, group.ids.astype("<i4"))
    less_one = cpp_boolean((group.levels["slot"] >= 128).any())
    return (
        f"    {{{group.tree_count}, {len(group.tiles)}, {tiles}, {group.levels.shape[1]}, {less_one}, "
        f"{levels}, {values}, {ids}}}"
    )
