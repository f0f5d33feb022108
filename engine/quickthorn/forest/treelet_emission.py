"""Native source for a forest that was cut into treelets: a few lines of C++ over `forest_treelets.hpp`, and tables."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from quickthorn.forest.emission import ForestSource, Vectors, append_table, emit_forest
from quickthorn.forest.ensemble import Ensemble
from quickthorn.forest.oblivious import oblivious
from quickthorn.forest.oblivious_emission import emit_oblivious
from quickthorn.forest.recoding import recode
from quickthorn.forest.recoding_emission import emit_recoded
from quickthorn.forest.treelets import MOST_LEVELS, Group, Treelets, cut

_SOURCE = """\
#include "forest_exports.hpp"
#include "forest_treelets.hpp"

#include <cstdint>

extern "C" [[gnu::visibility("hidden")]] const unsigned char quickthorn_forest_tables[];

namespace {{

using Leaf = {leaf};
using Forest = quickthorn::treelets::Forest<{value}, Leaf, {strict}>;

constexpr quickthorn::treelets::Group groups[] = {{
{groups}
}};

struct Evaluator {{
    static constexpr std::uint32_t feature_count = {feature_count};
    static constexpr std::uint32_t output_count = 1;

    static Forest forest() {{ return Forest(quickthorn_forest_tables, {zero_threshold}); }}
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

_C_TYPES = {"float32": "float", "float64": "double"}


def emit_fastest(ensemble: Ensemble, vectors: Vectors) -> ForestSource:
    """The native source of a forest: of oblivious trees, as treelets, or as a walk from node to node.

    The same arguments always give the same bytes, and whatever the vectors the same leaves and margins, bit for bit.
    """
    recoded = recode(ensemble) if ensemble.categorical.any() else None
    source = _emit_ranked(ensemble if recoded is None else recoded.ensemble)
    if source is None:
        return emit_forest(ensemble)
    return source if recoded is None else emit_recoded(ensemble, recoded, source)


def _emit_ranked(ensemble: Ensemble) -> ForestSource | None:
    """The native source of a forest that compares ranks, or None where walking serves it better."""
    levelled = oblivious(ensemble)
    if levelled is not None:
        return emit_oblivious(ensemble, levelled)
    treelets = cut(ensemble)
    return None if treelets is None else emit_treelets(ensemble, treelets)


def emit_treelets(ensemble: Ensemble, treelets: Treelets) -> ForestSource:
    """The native source of a forest that was cut into treelets."""
    # The thresholds come first: entries point at them by number.
    tables = bytearray()
    append_table(tables, treelets.thresholds)
    groups = ",\n".join(_group(tables, group) for group in treelets.groups)
    base_margin = float(ensemble.base_margin[0])
    cpp = _SOURCE.format(
        value=_C_TYPES[ensemble.precision],
        leaf=_C_TYPES[ensemble.leaf_value.dtype.name],
        strict="true" if ensemble.operator == "<" else "false",
        feature_count=ensemble.feature_count,
        groups=groups,
        zero_threshold=ensemble.zero_threshold.hex(),
        start=_constant(0.0 if ensemble.base_last else base_margin),
        finish="".join(f"        {step};\n" for step in _finish(ensemble, base_margin)),
    )
    return ForestSource(cpp=cpp, tables=bytes(tables))


def _finish(ensemble: Ensemble, base_margin: float) -> Iterator[str]:
    """What happens to the sum once every tree is in it, in the order that Ensemble states."""
    if ensemble.average:
        yield f"sum /= {_constant(float(ensemble.tree_count))}"
    if ensemble.scale != 1.0:
        yield f"sum *= {_constant(ensemble.scale)}"
    if ensemble.base_last:
        yield f"sum += {_constant(base_margin)}"


def _constant(value: float) -> str:
    # Hexadecimal floats are exact, and look the same everywhere.
    return f"static_cast<Leaf>({float(value).hex()})"


def _group(tables: bytearray, group: Group) -> str:
    """One group's tables, and the C++ initialiser that points at them."""
    tiles = append_table(tables, group.tiles)
    heads = [append_table(tables, level) for level in group.heads]
    lines = append_table(tables, group.lines)
    # float32 leaves lie in the lines themselves.
    values = append_table(tables, group.values) if group.values.dtype != np.float32 else 0
    ids = append_table(tables, group.ids.astype("<i4"))
    head_offsets = ", ".join(str(offset) for offset in heads + [0] * (MOST_LEVELS - len(heads)))
    return (
        f"    {{{group.tree_count}, {len(group.tiles)}, {tiles}, {group.levels}, {group.root_shift}, "
        f"{{{head_offsets}}}, {lines}, {values}, {ids}}}"
    )
