"""``compile_bundle``: the five stages in, one proven file out."""

from __future__ import annotations

import hashlib
import os
import struct
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from quickthorn.bundle import (
    CalibrationSummary,
    CheckpointSummary,
    ComponentSummary,
    GroupSummary,
    Manifest,
    SchemaField,
    SignalSummary,
    TableSummary,
    write_bundle,
)
from quickthorn.bundle.manifest import CALIBRATION, CHECKPOINT, POLICY, library_member
from quickthorn.calibration.knots import Calibration
from quickthorn.compiling.cache import Cache
from quickthorn.compiling.golden_story import EVENTS
from quickthorn.compiling.identity import group_identity, plan_identity
from quickthorn.compiling.library import link_libraries
from quickthorn.compiling.provenance import forest_summary, tool_versions
from quickthorn.compiling.proving import DecidingForest, Golden, golden_of, proven
from quickthorn.compiling.source_model import category_texts, category_values, trained_model
from quickthorn.compiling.toolchain import Compiler, check_targets, find_compilers, machine_of, provable_targets
from quickthorn.decision import Policy
from quickthorn.decision.compiled import compile_conditions
from quickthorn.decision.policy_file import read_policy
from quickthorn.decision.reasons import ReasonMap
from quickthorn.errors import CalibrationError, FeatureError, ModelError, PolicyError, ReasonError
from quickthorn.event import Field, Money
from quickthorn.features import FeatureSet
from quickthorn.features.built_in import constant_tables, text_fields
from quickthorn.features.lowering import LoweredFeatures, lower
from quickthorn.features.plan import Plan, plan
from quickthorn.features.signals import sources_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


@dataclass(frozen=True)
class BundleSummary:
    """What ``compile_bundle`` made: where it is, what it is called and how large its parts are."""

    path: Path
    bundle_id: str
    size_bytes: int
    features: int
    trees: int
    golden_rows: int
    golden_events: int
    targets: tuple[str, ...]


def compile_bundle(
    *,
    features: FeatureSet,
    model: object = None,
    policy: str | os.PathLike[str] | Policy | None = None,
    calibration: str | os.PathLike[str] | Calibration | None = None,
    output: str | os.PathLike[str],
    target: str | Sequence[str] | None = None,
    cache: bool | str | os.PathLike[str] = True,
    version: int = 0,
    contributions: bool = False,
    reasons: str | os.PathLike[str] | ReasonMap | None = None,
    reference: object = None,
    on_step: Callable[[str], object] = lambda step: None,
) -> BundleSummary:
    """Compile a feature set, a trained model and a policy into one bundle file, proven before it is written.

    ``model``   what ``quickthorn.forest.importing.load_model`` reads: a file, Booster or fitted estimator of XGBoost,
                LightGBM, CatBoost or scikit-learn; or a bundle whose model it is to be; None for features only
    ``policy``  a TOML file or a Policy; given exactly when there is a model
    ``calibration``  what the model's margins mean: a Calibration, or a file that one was saved to; without it scores
                are what the model's own link makes of them
    ``output``  the file to write; it appears whole, or what was there before stays
    ``target``  the CPU level to compile for, "x86-64-v2", "-v3" or "-v4", or several, chosen from at load; by default
                all of this machine. "armv8-a" takes a cross compiler (the one that ``CXX_AARCH64`` names, else
                aarch64-linux-gnu-g++), and is proven where it is loaded
    ``cache``   whether what was compiled before may be taken from the user's cache directory, or a directory to use
                instead (:mod:`quickthorn.compiling.cache`)
    ``version`` which of your bundles this is: count upwards, so that a trust file can refuse what is older
    ``contributions``  the bundle explains its margins too: what every feature adds to them
    ``reasons``  the reason that each feature belongs to: a ReasonMap or its TOML file; it brings contributions with it
    ``reference``  data whose distributions the bundle is to hold, for judging later data by: events in order of time as
                an Arrow table or a Parquet file, or rows of features as one with a column for each, or as an array
    ``on_step``  called with what is being done, in words, as each step of it begins

    Raises FeatureError, ModelError, CalibrationError, PolicyError or ToolchainError for what cannot be compiled, and
    BundleError when the compiled forest disagrees with its source library in a single leaf or bit of a margin, or the
    compiled bundle with the reference on a golden event.
    """
    if not isinstance(features, FeatureSet):
        raise FeatureError(f"features: expected a FeatureSet, found {features!r}")
    if (model is None) != (policy is None):
        given, wanted = ("a policy", "a model") if model is None else ("a model", "a policy")
        raise PolicyError(f"compile: expected {wanted} along with {given}, found none")
    if model is None and calibration is not None:
        raise CalibrationError("compile: expected a model along with a calibration, found none")
    if reasons is not None:
        reasons = _reasons(reasons, features, with_model=model is not None)
        contributions = True
    if contributions and model is None:
        raise ModelError("contributions: expected a model whose margins they explain, found none")
    targets = check_targets(target)
    compilers = find_compilers(targets)
    runnable = provable_targets(targets, target)
    planned = plan(features)
    forest = None
    if model is not None and policy is not None:
        on_step("read the model")
        forest = _forest(features, model, calibration, policy)
        if forest.policy.reasons and reasons is None:
            raise PolicyError("reasons: expected a reason map along with a policy that asks for reasons, found none")
    kept = Cache.chosen(cache)
    on_step("lower the features")
    lowered = _lowered(planned, tuple(compilers), kept)
    golden = golden_of(features, planned, forest, reasons, contributions=contributions, on_step=on_step)
    manifest, members = _assemble(features, planned, forest, golden, lowered, compilers, kept, on_step)
    manifest = msgspec.structs.replace(manifest, version=version, reasons=reasons)
    on_step("hold every library to the golden vectors and events")
    manifest, members = proven(manifest, members, runnable, forest, golden, reference)
    bundle_id = write_bundle(output, manifest, members)
    return BundleSummary(
        path=Path(output),
        bundle_id=bundle_id,
        size_bytes=Path(output).stat().st_size,
        features=len(features),
        trees=forest.model.ensemble.tree_count if forest else 0,
        golden_rows=len(golden.vectors.vectors) if golden.vectors else 0,
        golden_events=manifest.golden_events,
        targets=targets,
    )


def _forest(
    features: FeatureSet,
    model: object,
    calibration: str | os.PathLike[str] | Calibration | None,
    policy: str | os.PathLike[str] | Policy,
) -> DecidingForest:
    from quickthorn.forest.checkpoint import write_checkpoint

    read = read_policy(policy)
    if calibration is not None and not isinstance(calibration, Calibration):
        calibration = Calibration.load(calibration)
    values = category_values(features)
    trained = trained_model(model, categories=category_texts(features.names, values))
    loaded = trained.with_features(features.names).with_categories(values)
    loaded.ensemble.require_single_output()
    if not loaded.ensemble.link.decides and calibration is None:
        raise ModelError(
            f"model: expected scores that a threshold can judge, found the link {loaded.ensemble.link.value!r} of the "
            f"objective {loaded.ensemble.objective!r}; a calibration makes probabilities of it"
        )
    read.policy.check_scores(loaded.ensemble.link, calibrated=calibration is not None, origin=read.origin)
    conditions = compile_conditions(read, features.schema.fields, features.names)
    return DecidingForest(loaded, *write_checkpoint(trained.ensemble), calibration, read.policy, conditions)


def _lowered(planned: Plan, targets: tuple[str, ...], cache: Cache) -> dict[str, LoweredFeatures]:
    """By machine: features are compiled once for its least demanding level, so that no level has bits of its own."""
    least: dict[str, str] = {}
    for target in targets:
        least.setdefault(machine_of(target), target)
    return {
        machine: cache.get(plan_identity(planned, target), LoweredFeatures, partial(lower, planned, target))
        for machine, target in least.items()
    }


def _assemble(
    features: FeatureSet,
    planned: Plan,
    forest: DecidingForest | None,
    golden: Golden,
    lowered: dict[str, LoweredFeatures],
    compilers: Mapping[str, Compiler],
    cache: Cache,
    on_step: Callable[[str], object],
) -> tuple[Manifest, dict[str, bytes]]:
    ensemble = forest.model.ensemble if forest else None
    conditions = forest.conditions if forest else None
    explained = golden.vectors is not None and golden.vectors.contributions is not None
    on_step(f"compile the libraries for {', '.join(compilers)}")
    libraries = link_libraries(compilers, lowered, ensemble, cache, contributions=explained, conditions=conditions)
    members = {library_member(target): image for target, image in libraries.items()} | golden.members
    if forest:
        members[POLICY] = forest.policy.as_toml().encode()
        if forest.calibration is not None:
            knots = (*forest.calibration.x, *forest.calibration.y)
            members[CALIBRATION] = struct.pack(f"<{len(knots)}d", *knots)
        members[CHECKPOINT] = forest.checkpoint
    expressions = [features.expression(name) for name in features.names]
    read_as_text = {field.name for field in text_fields(expressions)} | (
        conditions.text_fields if conditions else set()
    )
    manifest = Manifest(
        quickthorn=metadata.version("quickthorn"),
        targets=tuple(compilers),
        event=features.schema.name,
        schema=tuple(_schema_field(field, as_text=field.name in read_as_text) for field in features.schema.fields),
        features=features.names,
        groups=tuple(
            GroupSummary(
                entities=tuple(field.name for field in group.by),
                columns=tuple(dict.fromkeys(column.field.name for column in group.columns)),
                values=len(group.values),
                horizon_us=group.horizon_us,
                labelled=group.is_labelled,
                # Without an identity of its own, a group is what its compiled code is.
                layout=group_identity(group) or hashlib.sha256(next(iter(lowered.values())).object_bytes).hexdigest(),
            )
            for group in planned.groups
        ),
        components=tuple(
            ComponentSummary(
                entities=tuple(entity.name for entity in each.component.entities),
                cap=each.component.cap,
                values=len(each.values),
                labelled=each.keeps_labels,
            )
            for each in planned.components
        ),
        looked_up=tuple(field.name for field in planned.looked_up),
        signals=tuple(
            SignalSummary(
                name=source.name, fields=tuple(_schema_field(field, as_text=False) for field in source.fields)
            )
            for source in sources_of(planned.signals)
        ),
        tables=tuple(
            TableSummary(kind=table.kind, name=table.name, entries=table.entries, sha256=table.sha256)
            for table in constant_tables(expressions)
        ),
        lateness_us=features.lateness_us,
        expire_after_us=features.expire_after_us,
        remembered_ids=features.remembered_ids,
        row_limit=features.row_limit,
        forest=forest_summary(forest.model.ensemble) if forest else None,
        checkpoint=_checkpoint_summary(forest) if forest else None,
        calibration=_calibration_summary(forest.calibration) if forest and forest.calibration else None,
        policy=forest.policy if forest else None,
        golden=golden.vectors.shapes if golden.vectors else None,
        golden_events=EVENTS,
        reference=None,
        tools=tool_versions(
            compilers, with_features=True, with_forest=forest is not None, with_contributions=explained
        ),
    )
    return manifest, members


def _reasons(reasons: str | os.PathLike[str] | ReasonMap, features: FeatureSet, *, with_model: bool) -> ReasonMap:
    if not with_model:
        raise ReasonError("compile: expected a model along with reasons, found none")
    given = isinstance(reasons, ReasonMap)
    read = reasons if isinstance(reasons, ReasonMap) else ReasonMap.from_toml(reasons)
    read.check_features(features.names, "reasons" if given else str(reasons))
    return read


def _checkpoint_summary(forest: DecidingForest) -> CheckpointSummary:
    return CheckpointSummary(treelite=metadata.version("treelite"), bytes=forest.checkpoint_bytes)


def _calibration_summary(calibration: Calibration) -> CalibrationSummary:
    return CalibrationSummary(
        method=calibration.method,
        knots=len(calibration.x),
        sampling_rate=calibration.sampling_rate,
        error_bound=calibration.error_bound,
    )


def _schema_field(field: Field, *, as_text: bool) -> SchemaField:
    return SchemaField(
        name=field.name,
        kind=field.kind,  # type: ignore[arg-type]  # a ClassVar str of each Field subclass
        required=field.required,
        scale=field.scale if isinstance(field, Money) else None,
        minor_units=field.minor_units,
        signed=field.signed,
        values=field.values,
        closed=field.closed,
        as_text=as_text,
    )
