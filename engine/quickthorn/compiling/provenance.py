"""What a manifest says of where things came from: the model, and the tools that compiled it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from typing import TYPE_CHECKING

from quickthorn.bundle import ForestSummary, ToolVersions
from quickthorn.compiling.toolchain import COMPILE_FLAGS, CONTRIBUTION_FLAGS, LINK_FLAGS, Compiler, target_flags

if TYPE_CHECKING:
    from quickthorn.forest.ensemble import Ensemble


def forest_summary(ensemble: Ensemble) -> ForestSummary:
    """The trained model: the library it came from, its size, and how a margin becomes a score."""
    return ForestSummary(
        source=ensemble.source,
        source_version=ensemble.source_version,
        trees=ensemble.tree_count,
        leaves=len(ensemble.leaf_value),
        link=ensemble.link,
        link_scale=ensemble.link_scale,
    )


def tool_versions(
    compilers: Mapping[str, Compiler],
    *,
    with_features: bool,
    with_forest: bool,
    with_contributions: bool = False,
) -> ToolVersions:
    """The versions of what lowered features, imported a forest and linked the libraries of these targets."""
    return ToolVersions(
        numpy=metadata.version("numpy"),
        numba=metadata.version("numba") if with_features else None,
        llvmlite=metadata.version("llvmlite") if with_features else None,
        treelite=metadata.version("treelite") if with_forest else None,
        compiler="; ".join(dict.fromkeys(compiler.version for compiler in compilers.values())),
        flags=(
            *COMPILE_FLAGS,
            *(flag for target in compilers for flag in target_flags(target)),
            *(CONTRIBUTION_FLAGS if with_contributions else ()),
            *LINK_FLAGS,
        ),
    )
