"""Native source for a forest whose categories are recoded: its source, and in front of it the row's codes."""

from __future__ import annotations

from quickthorn.forest.emission import ForestSource, append_table, cpp_boolean
from quickthorn.forest.ensemble import Ensemble
from quickthorn.forest.recoding import Recoded
from quickthorn.forest.sums import C_TYPES

_INCLUDE = '#include "forest_exports.hpp"\n'
_EXPORT = "QUICKTHORN_EXPORT_FOREST(Evaluator)\n"

_CATEGORIES = """\
constexpr quickthorn::recoding::Coding codings[] = {{
{codings}
}};

struct Categories {{
    using Value = {value};
    static constexpr std::uint32_t feature_count = {feature_count};
    static constexpr double zero_threshold = {zero_threshold};
    static constexpr bool negative_fractions_truncate = {negative_fractions_truncate};
    static constexpr bool whole_categories = {whole_categories};
    static constexpr const auto& codings = ::codings;
    static const unsigned char* tables() {{ return {tables}; }}
}};

"""

_SOURCE = """\
namespace {{

{categories}using Recoded = quickthorn::recoding::Recoded<Evaluator, Categories>;

}}  // namespace

QUICKTHORN_EXPORT_FOREST(Recoded)
"""


def emit_recoded(ensemble: Ensemble, recoded: Recoded, source: ForestSource) -> ForestSource:
    """The source of the recoded forest as one of the forest that it was made of."""
    tables = bytearray(source.tables)
    wrapper = _SOURCE.format(categories=categories_source(ensemble, recoded, tables, "quickthorn_forest_tables"))
    inner = source.cpp.replace(_INCLUDE, _INCLUDE + '#include "forest_recoding.hpp"\n', 1)
    return ForestSource(cpp=inner.removesuffix(_EXPORT) + wrapper, tables=bytes(tables))


def categories_source(ensemble: Ensemble, recoded: Recoded, tables: bytearray, symbol: str) -> str:
    """The C++ type `Categories` that forest_recoding.hpp takes; the codes are put behind the tables of that symbol."""
    codings = ",\n".join(
        f"    {{{coding.feature}, {coding.first}, {coding.codes.shape[1]}, {len(coding.codes) - 2}, "
        f"{append_table(tables, coding.codes)}}}"
        for coding in recoded.codings
    )
    return _CATEGORIES.format(
        codings=codings,
        value=C_TYPES[ensemble.precision],
        feature_count=ensemble.feature_count,
        zero_threshold=ensemble.zero_threshold.hex(),
        negative_fractions_truncate=cpp_boolean(ensemble.negative_fractions_truncate),
        whole_categories=cpp_boolean(ensemble.whole_categories),
        tables=symbol,
    )
