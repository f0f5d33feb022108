"""Native source of a forest's contributions: a few lines of C++ over `forest_contributions.hpp`, and their tables."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from quickthorn.errors import ModelError
from quickthorn.forest.emission import ForestSource, append_table, cpp_boolean, emit_forest
from quickthorn.forest.ensemble import Ensemble
from quickthorn.forest.explanation import Explanation, explain, gauss_legendre
from quickthorn.forest.ranking import RankedSplits, Thresholds, entry_count
from quickthorn.forest.recoding import recode
from quickthorn.forest.recoding_emission import categories_source
from quickthorn.forest.sums import C_TYPES

_SYMBOL = "quickthorn_contribution_tables"

_LANES = 8
# Slots are 16 bits, one of which says whether to take one from the rank.
_MOST_ENTRIES = 2**15
_MOST_WALKED_TESTS = 2**22

_SPLIT = np.dtype(
    [
        ("share", "<f8"),
        ("seen", "<f8"),
        ("test", "<u4"),
        ("feature", "<u4"),
        ("child", "<i4", 2),
        ("above", "<i4"),
        ("unused", "<u4"),
    ]
)
_WALKED_TREE = np.dtype(
    [("root", "<u4"), ("output", "<u4"), ("point_count", "<u4"), ("unused", "<u4"), ("points", "<u8")]
)

_SOURCE = """\
#include "forest_contribution_tests.hpp"
#include "forest_contributions.hpp"
#include "forest_exports.hpp"
#include "forest_recoding.hpp"
#include "forest_walk.hpp"

#include <cstdint>

extern "C" [[gnu::visibility("hidden")]] const unsigned char quickthorn_contribution_tables[];

namespace {{

constexpr quickthorn::contributions::Shape contribution_shape{{
    .feature_count = {feature_count},
    .output_count = {output_count},
    .vector_leaves = {vector_leaves},
    .level_count = {level_count},
    .walked_count = {walked_count},
    .walked = {walked},
    .splits = {splits},
    .leaves = {leaves},
    .factors = {factors},
    .expected = {expected},
}};

{tests}
struct Evaluator {{
    static constexpr std::uint32_t feature_count = {width};
    static constexpr std::uint32_t output_count = {output_count};

    void contributions(const auto* row, double* out) const {{
        const Tests tests({arguments}row);
        quickthorn::contributions::explain<{leaf}, contribution_shape>(quickthorn_contribution_tables, tests, out);
    }}
}};

{categories}}}  // namespace

QUICKTHORN_EXPORT void quickthorn_forest_contributions(const double* row, double* out) {{
    {evaluator}().contributions(row, out);
}}
"""

_RECODED = """\
using Recoded = quickthorn::recoding::Recoded<Evaluator, Categories>;

"""

_RANKED = """\
using Tests = quickthorn::contributions::RankedTests<{value}, {strict}, {tile_count}>;
"""

# What of a walked forest's source is its types alone.
_TYPES = re.compile(r"namespace \{\n\n(.*)\}  // namespace\n", re.DOTALL)
_WALKED = """\
struct Tests : quickthorn::contributions::WalkedTests<{count}> {{
    explicit Tests(const auto* row) : WalkedTests(Forest().walk(), row) {{}}
}};
"""


def emit_contributions(ensemble: Ensemble) -> ForestSource:
    """The native source of `quickthorn_forest_contributions`; the same ensemble gives the same bytes.

    Raises ModelError where the forest has no such contributions, as :func:`quickthorn.forest.explanation.explain` does.
    """
    explanation = explain(ensemble)
    tests = _ranked_tests(ensemble) or _walked_tests(ensemble)
    tables = tests.tables
    trees, splits = _walked(ensemble, explanation, tests.numbers, tables)
    leaf = np.dtype(ensemble.sum_precision)
    cpp = _SOURCE.format(
        feature_count=ensemble.feature_count,
        output_count=ensemble.output_count,
        vector_leaves=cpp_boolean(ensemble.vector_leaves),
        level_count=int(explanation.depth.max(initial=0)) + 1,
        walked_count=len(trees),
        walked=append_table(tables, trees),
        splits=append_table(tables, splits),
        leaves=append_table(tables, ensemble.leaf_value.astype(leaf.newbyteorder("<"))),
        factors=append_table(tables, explanation.factor.astype("<f8")),
        expected=append_table(tables, explanation.expected.astype("<f8")),
        leaf=C_TYPES[leaf.name],
        tests=tests.cpp,
        arguments=tests.arguments,
        width=tests.width,
        categories=tests.categories,
        evaluator="Recoded" if tests.categories else "Evaluator",
    )
    return ForestSource(cpp=cpp, tables=bytes(tables), symbol=_SYMBOL)


@dataclass(frozen=True)
class _Tests:
    """How a row is asked for what every split makes of it: the C++ type `Tests` and its first arguments.

    `numbers`, uint32 [s], are the splits' tests as that type numbers them. The row it takes is `width` wide, which
    with `categories` is the forest's own row and their codes. What it needs is at the beginning of the `tables`.
    """

    cpp: str
    arguments: str
    tables: bytearray
    numbers: npt.NDArray[np.uint32]
    width: int
    categories: str = ""


def _ranked_tests(ensemble: Ensemble) -> _Tests | None:
    """The tests as comparisons of ranks, or None where there are too many thresholds or sets of categories for that."""
    recoded = recode(ensemble) if ensemble.categorical.any() else None
    if ensemble.categorical.any() and recoded is None:
        return None
    ranked_ensemble = ensemble if recoded is None else recoded.ensemble
    every = np.arange(len(ensemble.feature))
    if entry_count(ranked_ensemble, every) > _MOST_ENTRIES:
        return None
    ranked = RankedSplits(ranked_ensemble, every)
    thresholds = Thresholds(ranked_ensemble)
    tiles = ranked.tiles(thresholds)
    slot = ranked.entry + np.where(ranked.nan_right, 16 * len(tiles), 0)
    tables = bytearray()
    arguments = (
        _SYMBOL,
        str(append_table(tables, thresholds.table())),
        str(append_table(tables, tiles)),
        ranked_ensemble.zero_threshold.hex(),
    )
    categories = ""
    if recoded is not None:
        categories = categories_source(ensemble, recoded, tables, _SYMBOL) + _RECODED
    return _Tests(
        cpp=_RANKED.format(
            value=C_TYPES[ensemble.precision], strict=cpp_boolean(ensemble.operator == "<"), tile_count=len(tiles)
        ),
        arguments="".join(f"{argument}, " for argument in arguments),
        tables=tables,
        numbers=(slot | ranked.code.astype(np.int64) << 16).astype(np.uint32),
        width=ranked_ensemble.feature_count,
        categories=categories,
    )


def _walked_tests(ensemble: Ensemble) -> _Tests:
    """The tests as a forest of one split a tree, whose leaf 0 or 1 is the side that the row goes to."""
    count = len(ensemble.feature)
    if count > _MOST_WALKED_TESTS:
        raise ModelError(
            f"contributions: expected at most {_MOST_WALKED_TESTS} splits where categories or thresholds are too many "
            f"to be ranked, found {count}"
        )
    stumps = replace(
        ensemble,
        roots=np.arange(count, dtype=np.int32),
        left=np.full(count, -1, np.int32),
        right=np.full(count, -2, np.int32),
        output_count=1,
        tree_output=np.zeros(count, np.int32),
        leaf_value=np.zeros(2, ensemble.leaf_value.dtype),
        leaf_id=np.arange(2, dtype=np.int32),
        split_cover=None,
        leaf_cover=None,
        base_margin=ensemble.base_margin[:1],
    )
    source = emit_forest(stumps)
    types = _TYPES.search(source.cpp)
    assert types is not None, "emission.py changed what it emits"
    return _Tests(
        cpp=types[1].replace(source.symbol, _SYMBOL) + _WALKED.format(count=count),
        arguments="",
        tables=bytearray(source.tables),
        numbers=np.arange(count, dtype=np.uint32),
        width=ensemble.feature_count,
    )


def _walked(
    ensemble: Ensemble, explanation: Explanation, tests: npt.NDArray[np.uint32], tables: bytearray
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """The trees and splits that forest_contribution_walk.hpp walks; the points they need are put in the tables."""
    splits = np.zeros(len(ensemble.feature), _SPLIT)
    splits["share"], splits["seen"] = explanation.share, explanation.seen
    splits["test"], splits["feature"] = tests, ensemble.feature
    splits["child"][:, 0], splits["child"][:, 1] = ensemble.left, ensemble.right
    splits["above"] = np.where(explanation.above >= 0, explanation.depth[explanation.above], -1)
    grown = np.flatnonzero(ensemble.roots >= 0)
    trees = np.zeros(len(grown), _WALKED_TREE)
    trees["root"] = ensemble.roots[grown]
    trees["output"] = np.maximum(ensemble.tree_output[grown], 0)
    # Half as many points as features, in whole vectors.
    counts = -(-explanation.features_on_path[grown] // (2 * _LANES)) * _LANES
    trees["point_count"] = counts
    for count in np.unique(counts).tolist():
        trees["points"][counts == count] = append_table(tables, _points(count, _LANES))
    return trees, splits


def _points(count: int, lanes: int) -> npt.NDArray[np.float64]:
    """forest_contribution_points.hpp's Points, as many as there are vectors of so many lanes."""
    known, weight = gauss_legendre(count)
    rows = np.stack([known, 1.0 - known, weight]).reshape(3, -1, lanes)
    return np.ascontiguousarray(rows.transpose(1, 0, 2), "<f8")
