"""From an Ensemble to native source: a few lines of C++ over `forest_walk.hpp`, and tables the assembler takes in.

The tables are data and never C++ text, so that compiling takes no longer for a large forest than for a small one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from quickthorn.errors import ModelError
from quickthorn.forest.ensemble import Ensemble, LinearLeaves, Missing

Vectors: TypeAlias = Literal["portable", "avx2", "avx512"]
"""What a forest's tables are laid out for: plain C++, or a processor's vectors ("avx512" with VBMI, VBMI2, BITALG)."""

# Every table starts on a cache line.
_ALIGNMENT = 64

_DEFAULT_LEFT, _ZERO_MISSING, _CATEGORICAL = 1 << 31, 1 << 30, 1 << 29

_SOURCE = """\
#include "forest_exports.hpp"
#include "forest_walk.hpp"

#include <cstdint>

extern "C" [[gnu::visibility("hidden")]] const unsigned char quickthorn_forest_tables[];

namespace {{

constexpr quickthorn::forest::Shape shape{{
    .precision = quickthorn::forest::Precision::{precision},
    .sum_precision = quickthorn::forest::Precision::{sum_precision},
    .compare = quickthorn::forest::Operator::{operator},
    .zero_threshold = {zero_threshold},
    .negative_fractions_truncate = {negative_fractions_truncate},
    .whole_categories = {whole_categories},
    .any_zero_missing = {any_zero_missing},
    .any_categorical = {any_categorical},
    .base_margin = {base_margin},
    .scale = {scale},
    .base_last = {base_last},
    .average = {average},
    .vector_leaves = {vector_leaves},
    .linear_leaves = {linear_leaves},
    .feature_count = {feature_count},
    .tree_count = {tree_count},
    .output_count = {output_count},
    .roots = {roots},
    .leaf_values = {leaf_values},
    .leaf_ids = {leaf_ids},
    .tree_outputs = {tree_outputs},
    .outputs = {outputs},
    .category_sets = {category_sets},
    .category_words = {category_words},
    .linear_models = {linear_models},
    .linear_terms = {linear_terms},
}};

struct Forest {{
  static constexpr std::uint32_t feature_count = shape.feature_count;
  static constexpr std::uint32_t output_count = shape.output_count;

  quickthorn::forest::Walk<shape> walk() const {{ return quickthorn::forest::Walk<shape>{{quickthorn_forest_tables}}; }}
  double margin(const auto* row) const {{ return walk().margin(row); }}
  void margins(const auto* row, double* out) const {{ walk().margins(row, out); }}
  void leaves(const auto* row, std::int32_t* out) const {{ walk().leaves(row, out); }}
  void batch(const auto* rows, std::ptrdiff_t row_stride, std::ptrdiff_t feature_stride, std::uint64_t row_count,
             double* out) const {{
    quickthorn::forest::each_row(*this, rows, row_stride, feature_stride, row_count, out);
  }}
}};

}}  // namespace

QUICKTHORN_EXPORT_FOREST(Forest)
"""

_ASSEMBLY = """\
    .section .rodata
    .balign {alignment}
    .globl {symbol}
    .hidden {symbol}
    .type {symbol}, %object
{symbol}:
    .incbin "{name}"
    .size {symbol}, . - {symbol}
    .section .note.GNU-stack, "", %progbits
"""


@dataclass(frozen=True)
class ForestSource:
    """The native source of one forest.

    `cpp` exports what forest_exports.hpp lists: margins and leaves of one row, and margins of many; `tables` are the
    bytes it evaluates, little-endian, which it knows by `symbol`.
    """

    cpp: str
    tables: bytes
    symbol: str = "quickthorn_forest_tables"

    def assembly(self, tables_name: str) -> str:
        """The assembler text that takes in the tables from the file of that name, as the assembler finds it."""
        if not tables_name.isprintable():
            raise ModelError(f"tables: expected a printable file name, got {tables_name!r}")
        name = tables_name.replace("\\", "\\\\").replace('"', '\\"')
        return _ASSEMBLY.format(alignment=_ALIGNMENT, name=name, symbol=self.symbol)


def emit_forest(ensemble: Ensemble, vectors: Vectors = "portable") -> ForestSource:
    """The native source of a forest, which is the same whatever the vectors; the same ensemble gives the same bytes."""
    sets, words = _category_tables(ensemble)
    models, terms = _linear_tables(ensemble.linear)
    tables = bytearray(_nodes(ensemble).tobytes())
    value = np.dtype(ensemble.sum_precision).newbyteorder("<")
    offsets = {
        "roots": append_table(tables, ensemble.roots.astype("<i4")),
        "leaf_values": append_table(tables, ensemble.leaf_value.astype(value)),
        "leaf_ids": append_table(tables, ensemble.leaf_id.astype("<i4")),
        "tree_outputs": append_table(tables, ensemble.tree_output.astype("<i4")),
        "outputs": append_table(tables, _outputs(ensemble).astype(value)),
        "category_sets": append_table(tables, sets),
        "category_words": append_table(tables, words),
        "linear_models": append_table(tables, models),
        "linear_terms": append_table(tables, terms),
    }
    numeric = ~ensemble.categorical
    cpp = _SOURCE.format(
        precision=ensemble.precision,
        sum_precision=ensemble.sum_precision,
        operator="less" if ensemble.operator == "<" else "less_or_equal",
        # Hexadecimal floats are exact, and look the same everywhere.
        zero_threshold=ensemble.zero_threshold.hex(),
        negative_fractions_truncate=cpp_boolean(ensemble.negative_fractions_truncate),
        whole_categories=cpp_boolean(ensemble.whole_categories),
        any_zero_missing=cpp_boolean((ensemble.missing[numeric] == Missing.ZERO).any()),
        any_categorical=cpp_boolean(ensemble.categorical.any()),
        base_margin=float(ensemble.base_margin[0]).hex(),
        scale=ensemble.scale.hex(),
        base_last=cpp_boolean(ensemble.base_last),
        average=cpp_boolean(ensemble.average),
        vector_leaves=cpp_boolean(ensemble.vector_leaves),
        linear_leaves=cpp_boolean(ensemble.linear is not None),
        feature_count=ensemble.feature_count,
        tree_count=ensemble.tree_count,
        output_count=ensemble.output_count,
        **offsets,
    )
    return ForestSource(cpp=cpp, tables=bytes(tables))


def _nodes(ensemble: Ensemble) -> npt.NDArray[Any]:
    """The splits as forest_walk.hpp's Node."""
    value = np.dtype(ensemble.precision).newbyteorder("<")
    layout = np.dtype(
        {
            "names": ["threshold", "feature_and_flags", "left", "right"],
            "formats": [value, "<u4", "<i4", "<i4"],
            "offsets": [0, value.itemsize, value.itemsize + 4, value.itemsize + 8],
            "itemsize": 16 if ensemble.precision == "float32" else 24,
        }
    )
    categorical = ensemble.categorical
    # "NaN becomes 0.0 and is compared" is a default direction too, once the threshold is known.
    none = (ensemble.missing == Missing.NONE) & ~categorical
    default_left = np.where(none, _holds(ensemble, 0.0), ensemble.default_left)
    flags = (
        np.where(default_left, _DEFAULT_LEFT, 0)
        | np.where((ensemble.missing == Missing.ZERO) & ~categorical, _ZERO_MISSING, 0)
        | np.where(categorical, _CATEGORICAL, 0)
    )
    set_number = np.cumsum(categorical) - 1
    if ensemble.precision == "float32" and categorical.sum() > 2**24:
        raise ModelError(f"the model has {categorical.sum()} category sets; expected at most {2**24}")
    count = len(ensemble.feature)
    # The walk steps from node 0 even in trees that are one leaf, so there is one, and its children lead nowhere wrong.
    nodes = np.zeros(max(count, 1), layout)
    nodes["threshold"][:count] = np.where(categorical, set_number, ensemble.threshold)
    nodes["feature_and_flags"][:count] = ensemble.feature | flags
    nodes["left"][:count] = ensemble.left
    nodes["right"][:count] = ensemble.right
    return nodes


def _holds(ensemble: Ensemble, value: float) -> npt.NDArray[np.bool_]:
    """Whether each split's comparison holds for a value."""
    holds: npt.NDArray[np.bool_] = (
        ensemble.threshold > value if ensemble.operator == "<" else ensemble.threshold >= value
    )
    return holds


def _category_tables(ensemble: Ensemble) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """forest_walk.hpp's CategorySet per categorical split, in split order, and the words they point into."""
    sets, words = [], []
    first_word = 0
    for split in np.flatnonzero(ensemble.categorical):
        begin, end = ensemble.category_offsets[split : split + 2]
        members = ensemble.categories[begin:end]
        bits = np.zeros((int(members.max()) // 32 + 1 if len(members) else 0) * 32, np.uint8)
        bits[members] = 1
        packed = np.packbits(bits, bitorder="little").view("<u4")
        sets.append((first_word, len(packed)))
        words.append(packed)
        first_word += len(packed)
    return np.array(sets, "<u4").reshape(-1, 2), np.concatenate([np.empty(0, "<u4"), *words]).astype("<u4")


def _linear_tables(linear: LinearLeaves | None) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """forest_walk.hpp's LinearModel per leaf, and the LinearTerms they point into."""
    leaves, count = (len(linear.constant), len(linear.feature)) if linear else (0, 0)
    models = np.zeros(leaves, [("constant", "<f8"), ("first_term", "<u4"), ("term_count", "<u4")])
    terms = np.zeros(count, [("coefficient", "<f8"), ("feature", "<u4"), ("unused", "<u4")])
    if linear is not None:
        if count >= 2**32:
            raise ModelError(f"the model has {count} coefficients in its leaves; expected less than {2**32}")
        models["constant"] = linear.constant
        models["first_term"] = linear.offsets[:-1]
        models["term_count"] = np.diff(linear.offsets)
        terms["coefficient"], terms["feature"] = linear.coefficient, linear.feature
    return models, terms


def _outputs(ensemble: Ensemble) -> npt.NDArray[Any]:
    """forest_walk.hpp's Output per output: its base margin, and how many trees add to it."""
    if ensemble.vector_leaves:
        trees = np.full(ensemble.output_count, ensemble.tree_count)
    else:
        trees = np.bincount(ensemble.tree_output, minlength=ensemble.output_count)
    return np.column_stack([ensemble.base_margin, trees.astype(ensemble.sum_precision)])


def append_table(tables: bytearray, table: npt.NDArray[Any]) -> int:
    """Put a table on the next cache line; returns its offset."""
    tables.extend(bytes(-len(tables) % _ALIGNMENT))
    offset = len(tables)
    tables.extend(table.tobytes())
    return offset


def cpp_boolean(value: Any) -> str:
    """The value as C++ spells it."""
    return "true" if value else "false"
