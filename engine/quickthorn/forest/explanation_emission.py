"""Native source of a forest's contributions: a few lines of C++ over `forest_contributions.hpp`, and their tables."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from quickthorn.errors import ModelError
from quickthorn.forest.emission import ForestSource, Vectors, append_table, cpp_boolean, emit_forest
from quickthorn.forest.ensemble import Ensemble
from quickthorn.forest.explanation import Explanation, explain
from quickthorn.forest.explanation_blocks import MOST_FEATURES, MOST_SPLITS, lay_out, points_table
from quickthorn.forest.ranking import MOST_ENTRIES, RankedSplits, Thresholds, entry_count
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
    .factors = {factors},
    .block_factors = {block_factors},
    .expected = {expected},
    .group_count = {group_count},
    .sizes = {{{sizes}}},
    .groups = {groups},
    .features = {features},
    .level_count = {level_count},
    .walked_count = {walked_count},
    .walked = {walked},
    .splits = {splits},
    .leaves = {leaves},
}};

{tests}
struct Evaluator {{
    static constexpr std::uint32_t feature_count = {width};
    static constexpr std::uint32_t output_count = {output_count};

    void contributions(const auto* row, double* out) const {{
        const Tests tests({arguments}row);
        quickthorn::contributions::Explainer<{leaf}, contribution_shape, Tests>(quickthorn_contribution_tables, tests)
            .explain(out);
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


def emit_contributions(ensemble: Ensemble, vectors: Vectors) -> ForestSource:
    """The native source of `quickthorn_forest_contributions`; the same arguments give the same bytes.

    Raises ModelError where the forest has no such contributions, as :func:`quickthorn.forest.explanation.explain` does.
    """
    explanation = explain(ensemble)
    tests = _ranked_tests(ensemble) or _walked_tests(ensemble)
    tables = tests.tables
    grown = np.flatnonzero(ensemble.roots >= 0)
    small = explanation.split_count[grown] <= MOST_SPLITS
    in_blocks = np.isin(explanation.tree, grown[small])
    features = np.unique(ensemble.feature[in_blocks]).astype(np.int64)
    if len(features) > MOST_FEATURES:
        small, features = np.zeros_like(small), features[:0]
    blocks = lay_out(ensemble, explanation, grown[small], features, tests.side_by_side, vectors, tables)
    walked = _walked(ensemble, explanation, grown[~small], tests.numbers, tables)
    leaf = np.dtype(ensemble.sum_precision)
    sizes = (blocks.lanes, blocks.splits, blocks.queued, blocks.last, blocks.repeated, blocks.points, len(features))
    cpp = _SOURCE.format(
        feature_count=ensemble.feature_count,
        output_count=ensemble.output_count,
        vector_leaves=cpp_boolean(ensemble.vector_leaves),
        factors=append_table(tables, explanation.factor.astype("<f8")),
        block_factors=append_table(tables, blocks.factor.astype("<f8")),
        expected=append_table(tables, explanation.expected.astype("<f8")),
        group_count=blocks.group_count,
        sizes=", ".join(map(str, sizes)),
        groups=blocks.groups,
        features=append_table(tables, features.astype("<u4")),
        leaf=C_TYPES[leaf.name],
        tests=tests.cpp,
        arguments=tests.arguments,
        width=tests.width,
        categories=tests.categories,
        evaluator="Recoded" if tests.categories else "Evaluator",
        **walked,
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
    narrow: tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]] | None = None
    """Slots and codes, uint8 [s] each, where tests side by side are laid out like that"""

    def side_by_side(self, tables: bytearray, splits: npt.NDArray[np.int64]) -> int:
        """Put the tests of some splits behind the tables, as the C++ type reads many at once; where they begin."""
        if self.narrow is None:
            return append_table(tables, self.numbers[splits].astype("<u4"))
        padded = np.zeros((2, -(-len(splits) // 64) * 64), np.uint8)
        padded[0, : len(splits)], padded[1, : len(splits)] = (part[splits] for part in self.narrow)
        return append_table(tables, padded)


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
    slot = ranked.entry + np.where(ranked.nan_right, max(16 * len(tiles), MOST_ENTRIES), 0)
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
        narrow=(ranked.slot, ranked.code) if len(tiles) <= MOST_ENTRIES // 16 else None,
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
    ensemble: Ensemble,
    explanation: Explanation,
    walked: npt.NDArray[np.int64],
    tests: npt.NDArray[np.uint32],
    tables: bytearray,
) -> dict[str, int]:
    """The fields of the C++ `Shape` that are about trees to walk, whose tables are put behind the others."""
    own = np.flatnonzero(np.isin(explanation.tree, walked))
    sides = np.stack([ensemble.left[own], ensemble.right[own]], axis=1)
    leaf_numbers = ~sides[sides < 0]
    splits = np.zeros(len(own), _SPLIT)
    splits["share"], splits["seen"] = explanation.share[own], explanation.seen[own]
    splits["test"], splits["feature"] = tests[own], ensemble.feature[own]
    splits["child"][sides >= 0] = np.searchsorted(own, sides[sides >= 0])
    splits["child"][sides < 0] = ~np.arange(len(leaf_numbers))
    above = explanation.above[own]
    splits["above"] = np.where(above >= 0, explanation.depth[above], -1)
    trees = np.zeros(len(walked), _WALKED_TREE)
    trees["root"] = np.searchsorted(own, ensemble.roots[walked])
    trees["output"] = np.maximum(ensemble.tree_output[walked], 0)
    vectors = -(-explanation.features_on_path[walked] // (2 * _LANES))
    trees["point_count"] = vectors * _LANES
    for count in np.unique(vectors).tolist():
        trees["points"][vectors == count] = append_table(tables, points_table(_LANES, count))
    leaves = ensemble.leaf_value[leaf_numbers].astype(ensemble.leaf_value.dtype.newbyteorder("<"))
    return {
        "level_count": int(explanation.depth[own].max(initial=0)) + 1,
        "walked_count": len(trees),
        "walked": append_table(tables, trees),
        "splits": append_table(tables, splits),
        "leaves": append_table(tables, leaves),
    }
