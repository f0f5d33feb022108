"""``compile_bundle``: the five stages in, one proven file out."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from quickthorn.bundle import (
    ForestSummary,
    GoldenShapes,
    GroupSummary,
    Manifest,
    PolicySummary,
    SchemaField,
    ToolVersions,
    write_bundle,
)
from quickthorn.bundle.manifest import (
    GOLDEN_FEATURES,
    GOLDEN_LEAVES,
    GOLDEN_MARGINS,
    GOLDEN_SCORES,
    POLICY,
    library_member,
)
from quickthorn.compiling.library import link_libraries
from quickthorn.compiling.toolchain import (
    COMPILE_FLAGS,
    LINK_FLAGS,
    Compiler,
    check_targets,
    find_compiler,
    target_flags,
)
from quickthorn.decision import Policy
from quickthorn.errors import FeatureError, ModelError, PolicyError
from quickthorn.event import Field, Money
from quickthorn.features import FeatureSet
from quickthorn.features.plan import Plan, plan
from quickthorn.native import _native
from quickthorn.serving import Engine

if TYPE_CHECKING:
    from quickthorn.compiling.golden import GoldenVectors
    from quickthorn.forest.importing import LoadedModel


@dataclass(frozen=True)
class BundleSummary:
    """What ``compile_bundle`` made: where it is, what it is called and how large its parts are."""

    path: Path
    bundle_id: str
    size_bytes: int
    features: int
    trees: int
    golden_rows: int
    targets: tuple[str, ...]


@dataclass(frozen=True)
class _Forest:
    model: LoadedModel
    policy: Policy
    policy_text: bytes
    golden: GoldenVectors


def compile_bundle(
    *,
    features: FeatureSet,
    model: object = None,
    policy: str | os.PathLike[str] | Policy | None = None,
    output: str | os.PathLike[str],
    target: str | None = None,
) -> BundleSummary:
    """Compile a feature set, a trained model and a policy into one bundle file, proven before it is written.

    ``model``   what ``quickthorn.forest.importing.load_model`` reads: a file, Booster or fitted estimator of XGBoost,
                LightGBM, CatBoost or scikit-learn; None for a bundle of features only
    ``policy``  a TOML file or a Policy; given exactly when there is a model
    ``output``  the file to write; it appears whole, or what was there before stays
    ``target``  the one CPU level to compile for, "x86-64-v2", "-v3" or "-v4"; by default all, chosen from at load

    Raises FeatureError, ModelError, PolicyError or ToolchainError for what cannot be compiled, and BundleError when
    the compiled forest disagrees with its source library in a single leaf or bit of a margin.
    """
    if not isinstance(features, FeatureSet):
        raise FeatureError(f"features: expected a FeatureSet, found {features!r}")
    if (model is None) != (policy is None):
        given, wanted = ("a policy", "a model") if model is None else ("a model", "a policy")
        raise PolicyError(f"compile: expected {wanted} along with {given}, found none")
    targets = check_targets(target)
    compiler = find_compiler()
    planned = plan(features)
    forest = _forest(features, model, policy) if model is not None and policy is not None else None
    manifest, members = _assemble(features, planned, forest, compiler, targets)
    with tempfile.TemporaryDirectory(prefix="quickthorn-") as scratch:
        # Proven as the engine will see it: read, verified, mapped, and held to the source library's golden vectors.
        unproven = Path(scratch) / "bundle.qt"
        write_bundle(unproven, manifest, members)
        for supported in filter(_native.processor_supports, targets):
            Engine.load(unproven, target=supported)
    bundle_id = write_bundle(output, manifest, members)
    return BundleSummary(
        path=Path(output),
        bundle_id=bundle_id,
        size_bytes=Path(output).stat().st_size,
        features=len(features),
        trees=forest.model.ensemble.tree_count if forest else 0,
        golden_rows=len(forest.golden.vectors) if forest else 0,
        targets=targets,
    )


def _forest(features: FeatureSet, model: object, policy: str | os.PathLike[str] | Policy) -> _Forest:
    from quickthorn.compiling.golden import golden_vectors
    from quickthorn.forest.importing import load_model

    read = policy if isinstance(policy, Policy) else Policy.from_toml(policy)
    loaded = load_model(model).with_features(features.names)
    loaded.ensemble.require_single_output()
    if not loaded.ensemble.link.native:
        raise ModelError(
            f"model: expected scores that a threshold can judge, found the link {loaded.ensemble.link.value!r} of the "
            f"objective {loaded.ensemble.objective!r}"
        )
    read.check(loaded.ensemble.link)
    return _Forest(loaded, read, read.as_toml().encode(), golden_vectors(loaded))


def _assemble(
    features: FeatureSet, planned: Plan, forest: _Forest | None, compiler: Compiler, targets: tuple[str, ...]
) -> tuple[Manifest, dict[str, bytes]]:
    from quickthorn.features.lowering import lower
    from quickthorn.forest.treelet_emission import emit_fastest

    # Features are compiled once, for the least demanding level: their bits must not depend on the processor.
    lowered = lower(planned, targets[0])
    source = emit_fastest(forest.model.ensemble) if forest else None
    trees = forest.model.ensemble.tree_count if forest else 0
    libraries = link_libraries(compiler, targets, lowered, source, trees)
    members = {library_member(target): image for target, image in libraries.items()}
    if forest:
        members[POLICY] = forest.policy_text
        members[GOLDEN_FEATURES] = forest.golden.vectors.tobytes()
        members[GOLDEN_MARGINS] = forest.golden.margins.tobytes()
        members[GOLDEN_SCORES] = forest.golden.scores.tobytes()
        members[GOLDEN_LEAVES] = forest.golden.leaves.tobytes()
    manifest = Manifest(
        quickthorn=metadata.version("quickthorn"),
        targets=targets,
        event=features.schema.name,
        schema=tuple(_schema_field(field) for field in features.schema.fields),
        features=features.names,
        groups=tuple(
            GroupSummary(
                entities=tuple(field.name for field in group.by),
                columns=tuple(dict.fromkeys(column.field.name for column in group.columns)),
                values=len(group.values),
                horizon_us=group.horizon_us,
            )
            for group in planned.groups
        ),
        lateness_us=features.lateness_us,
        expire_after_us=features.expire_after_us,
        remembered_ids=features.remembered_ids,
        row_limit=features.row_limit,
        forest=_forest_summary(forest.model) if forest else None,
        policy=PolicySummary(
            review=forest.policy.review, decline=forest.policy.decline, fallback=forest.policy.fallback
        )
        if forest
        else None,
        golden=GoldenShapes(rows=len(forest.golden.vectors), features=len(features), trees=trees) if forest else None,
        tools=_tools(compiler, targets, with_forest=forest is not None),
    )
    return manifest, members


def _schema_field(field: Field) -> SchemaField:
    return SchemaField(
        name=field.name,
        kind=field.kind,  # type: ignore[arg-type]  # a ClassVar str of each Field subclass
        required=field.required,
        scale=field.scale if isinstance(field, Money) else None,
        minor_units=field.minor_units,
        signed=field.signed,
        values=field.values,
        closed=field.closed,
    )


def _forest_summary(model: LoadedModel) -> ForestSummary:
    ensemble = model.ensemble
    return ForestSummary(
        source=ensemble.source,
        source_version=ensemble.source_version,
        trees=ensemble.tree_count,
        leaves=len(ensemble.leaf_value),
        link=ensemble.link,
        link_scale=ensemble.link_scale,
    )


def _tools(compiler: Compiler, targets: tuple[str, ...], *, with_forest: bool) -> ToolVersions:
    return ToolVersions(
        numpy=metadata.version("numpy"),
        numba=metadata.version("numba"),
        llvmlite=metadata.version("llvmlite"),
        treelite=metadata.version("treelite") if with_forest else None,
        compiler=compiler.version,
        flags=(*COMPILE_FLAGS, *(flag for target in targets for flag in target_flags(target)), *LINK_FLAGS),
    )
