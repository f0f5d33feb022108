"""The manifest: what a bundle says about itself, as strict records with one JSON spelling.

Every record refuses unknown fields, wrong types and contradictions when it is decoded. A contradiction between two
fields of one record is found in ``__post_init__``, so it is also found when the record is made in Python; ranges are
found on decoding, which the writer does to its own output before a byte reaches the disk.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

from msgspec import Meta

from quickthorn.bundle.event_records import (
    ComponentSummary,
    Count,
    Digest,
    GroupSummary,
    Natural,
    Positive,
    Record,
    SchemaField,
    SignalSummary,
    TableSummary,
    Text,
    refuse_twice,
)
from quickthorn.calibration.knots import MOST_KNOTS, Method
from quickthorn.calibration.link import Link
from quickthorn.decision.policy import Policy
from quickthorn.decision.reasons import ReasonMap

FORMAT_VERSION: Final = 4
"""The manifest format this release writes and reads."""

ABI_VERSION: Final = 3
"""The version of the C structure in a bundle's libraries through which the engine calls them."""

POLICY: Final = "policy.toml"
CALIBRATION: Final = "calibration/knots.f64"
CHECKPOINT: Final = "model.treelite.gz"
GOLDEN_FEATURES: Final = "golden/features.f64"
GOLDEN_MARGINS: Final = "golden/margins.f64"
GOLDEN_SCORES: Final = "golden/scores.f64"
GOLDEN_LEAVES: Final = "golden/leaves.i32"
GOLDEN_CONTRIBUTIONS: Final = "golden/contributions.f64"
GOLDEN_EVENTS: Final = "golden/events.jsonl"
GOLDEN_EVENT_FEATURES: Final = "golden/event_features.f64"
GOLDEN_DECISIONS: Final = "golden/decisions.jsonl"
REFERENCE: Final = "reference/distributions.json"

_NAME_CHARACTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_./-")
_NAME_LIMIT: Final = 128

Source: TypeAlias = Literal["xgboost", "lightgbm", "catboost", "sklearn"]


class ForestSummary(Record, frozen=True, kw_only=True):
    """The trained model: the library it came from, its size, and how a margin becomes a score.

    ``source_version``  the version the model names, None where it names none
    ``link_scale``      multiplies the margin inside the sigmoid, 1.0 for other links
    """

    source: Source
    source_version: Text | None
    trees: Positive
    leaves: Positive
    link: Link
    link_scale: Annotated[float, Meta(gt=0.0)] = 1.0


class CheckpointSummary(Record, frozen=True, kw_only=True):
    """The model as a gzipped Treelite checkpoint: the version that wrote it, and how many bytes it is unpacked."""

    treelite: Text
    bytes: Positive


class CalibrationSummary(Record, frozen=True, kw_only=True):
    """How margins become probabilities; the member ``calibration/knots.f64`` has the knots.

    ``method``         what the curve was fitted as
    ``knots``          how many there are
    ``sampling_rate``  the share of legitimate events that were kept in what it was fitted on
    ``error_bound``    how far a line between knots may be from the fitted curve, in probability
    """

    method: Method
    knots: Annotated[int, Meta(ge=2, le=MOST_KNOTS)]
    sampling_rate: Annotated[float, Meta(gt=0.0, le=1.0)]
    error_bound: Annotated[float, Meta(ge=0.0, le=1.0)]


class GoldenShapes(Record, frozen=True, kw_only=True):
    """Shapes of the golden arrays: features (rows, features), leaves (rows, trees), margins and scores (rows,).

    With several outputs, margins and scores are (rows, outputs). Contributions are (explained_rows, outputs,
    features + 1), of the first rows; 0 where the forest was compiled without contributions.
    """

    rows: Positive
    features: Positive
    trees: Positive
    outputs: Positive = 1
    explained_rows: Count = 0

    def __post_init__(self) -> None:
        if self.explained_rows > self.rows:
            raise ValueError(f"explained_rows: expected at most {self.rows} rows, found {self.explained_rows}")

    def expected_members(self) -> dict[str, int | None]:
        """The members that hold the arrays, with their sizes in bytes."""
        members: dict[str, int | None] = {
            GOLDEN_FEATURES: 8 * self.rows * self.features,
            GOLDEN_MARGINS: 8 * self.rows * self.outputs,
            GOLDEN_SCORES: 8 * self.rows * self.outputs,
            GOLDEN_LEAVES: 4 * self.rows * self.trees,
        }
        if self.explained_rows:
            members[GOLDEN_CONTRIBUTIONS] = 8 * self.explained_rows * self.outputs * (self.features + 1)
        return members


class ReferenceSummary(Record, frozen=True, kw_only=True):
    """The reference data whose distributions the bundle has: how many rows, and whether of events or of features."""

    of: Literal["events", "features"]
    rows: Positive


class ToolVersions(Record, frozen=True, kw_only=True):
    """What built the file. ``treelite`` is None where no forest was imported, ``numba`` and ``llvmlite`` are where no
    features were lowered.

    ``compiler``  the compiler's own version line
    ``flags``     the arguments it was given that do not name files; those of each target in the targets' order
    """

    numpy: Text
    numba: Text | None
    llvmlite: Text | None
    treelite: Text | None
    compiler: Text
    flags: tuple[Text, ...]


class Member(Record, frozen=True, kw_only=True):
    """One member: its bytes start ``offset`` after the start of the member area and have this SHA-256, in hex."""

    name: str
    offset: Count
    size: Positive
    sha256: Digest

    def __post_init__(self) -> None:
        check_member_name(self.name)


class Manifest(Record, frozen=True, kw_only=True):
    """Everything a bundle says about itself. ``members`` is filled in by ``write_bundle``.

    ``quickthorn``      the version of this package that built the bundle
    ``version``         which of its makers' bundles this is: a newer one has a higher number
    ``targets``         the CPU levels there is a library for, such as "x86-64-v3", the least demanding first
    ``event``           the name of the event class, for error messages
    ``schema``          its fields in slot order
    ``features``        feature names in vector order
    ``groups``          what entities keep, one entry per entity field or pair that keeps anything
    ``components``      what links entities, one entry per declared component
    ``looked_up``       fields whose entities are looked up for being known to be fraudulent
    ``signals``         the sources of signals, by their numbers in the libraries
    ``tables``          the tables of constants that features were compiled with
    ``lateness_us``     how much older than its entity's newest an event may be and still be put in its place
    ``remembered_ids``  how many event ids are remembered to recognise retries
    ``expire_after_us`` how long after its newest event an entity is forgotten; 0 for never
    ``row_limit``       most events kept per entity
    ``forest``          None in a bundle that only computes features; then ``policy`` and ``golden`` are None too
    ``calibration``     None where scores are what the forest's link makes of its margins
    ``policy``          None in a bundle that gives scores without outcomes; the member ``policy.toml`` is the same as a
                        policy file
    ``reasons``         which reason every feature belongs to, or None; needs contributions
    ``checkpoint``      the model to compile again; present exactly where there is a forest
    ``golden``          present exactly where there is a forest: a forest that cannot be proven is not loaded
    ``reference``       what data the distributions in ``reference/distributions.json`` are of; None without
    ``golden_events``   how many events there are whose features and decisions an engine is held to
    """

    kind: Literal["bundle"] = "bundle"
    format_version: int = FORMAT_VERSION
    abi_version: int = ABI_VERSION
    quickthorn: Text
    version: Natural = 0
    targets: Annotated[tuple[Text, ...], Meta(min_length=1)]
    event: Text
    schema: tuple[SchemaField, ...]
    features: Annotated[tuple[Text, ...], Meta(min_length=1)]
    groups: tuple[GroupSummary, ...]
    components: tuple[ComponentSummary, ...] = ()
    looked_up: tuple[Text, ...] = ()
    signals: tuple[SignalSummary, ...] = ()
    tables: tuple[TableSummary, ...] = ()
    lateness_us: Count
    expire_after_us: Count
    remembered_ids: Count
    row_limit: Positive
    forest: ForestSummary | None
    checkpoint: CheckpointSummary | None
    calibration: CalibrationSummary | None = None
    policy: Policy | None
    reasons: ReasonMap | None = None
    golden: GoldenShapes | None
    golden_events: Positive
    reference: ReferenceSummary | None
    tools: ToolVersions
    members: tuple[Member, ...] = ()

    def __post_init__(self) -> None:
        _check_schema(self.schema)
        refuse_twice(self.features, "feature")
        check_targets(self.targets)
        refuse_twice((" × ".join(group.entities) for group in self.groups), "group")
        refuse_twice((source.name for source in self.signals), "signals: source")
        kinds = {field.name: field.kind for field in self.schema}
        for where, kept in (("groups", self.groups), ("components", self.components)):
            for entity in (entity for each in kept for entity in each.entities):
                if kinds.get(entity) != "entity":
                    raise ValueError(f"{where}: expected an entity field of the schema, found {entity!r}")
        for name in self.looked_up:
            if kinds.get(name) != "entity":
                raise ValueError(f"looked_up: expected an entity field of the schema, found {name!r}")
        for group in self.groups:
            for column in group.columns:
                if column not in kinds:
                    raise ValueError(f"groups: expected a field of the schema, found {column!r}")
        if (self.forest is None) != (self.golden is None):
            raise ValueError("expected a forest and golden vectors together, found one without the other")
        if self.policy is not None and self.forest is None:
            raise ValueError("policy: expected a forest whose scores it judges, found none")
        if self.calibration is not None and self.forest is None:
            raise ValueError("calibration: expected a forest whose margins it is for, found none")
        if (self.forest is None) != (self.checkpoint is None):
            raise ValueError("checkpoint: expected one exactly where there is a forest")
        if self.reasons is not None:
            if self.golden is None or self.golden.explained_rows == 0 or self.policy is None:
                raise ValueError("reasons: expected a forest with contributions and a policy, found one without")
            self.reasons.check_features(self.features)
        if self.forest is not None and self.golden is not None:
            self._check_golden(self.forest, self.golden)

    def _check_golden(self, forest: ForestSummary, golden: GoldenShapes) -> None:
        if golden.features != len(self.features):
            raise ValueError(f"golden.features: expected {len(self.features)} features, found {golden.features}")
        if golden.trees != forest.trees:
            raise ValueError(f"golden.trees: expected {forest.trees} trees, found {golden.trees}")
        if golden.outputs != 1:
            raise ValueError(f"golden.outputs: expected 1 output to decide by, found {golden.outputs}")
        if not forest.link.decides and self.calibration is None:
            raise ValueError(f"forest.link: expected one that a decision can be made from, found {forest.link.value!r}")

    def expected_members(self) -> dict[str, int | None]:
        """The members this manifest calls for, with their exact sizes in bytes where the manifest fixes them."""
        expected: dict[str, int | None] = {library_member(target): None for target in self.targets}
        expected |= {
            GOLDEN_EVENTS: None,
            GOLDEN_EVENT_FEATURES: 8 * self.golden_events * len(self.features),
            GOLDEN_DECISIONS: None,
        }
        if self.checkpoint is not None:
            expected[CHECKPOINT] = None
        if self.reference is not None:
            expected[REFERENCE] = None
        if self.policy is not None:
            expected[POLICY] = None
        if self.calibration is not None:
            expected[CALIBRATION] = 16 * self.calibration.knots
        if self.golden is not None:
            expected |= self.golden.expected_members()
        return expected


def library_member(target: str) -> str:
    """The member that holds the shared library for a CPU level."""
    return f"library/{target}.so"


def check_targets(targets: tuple[str, ...]) -> None:
    """Raise ValueError unless each target is named once and can be part of a member's name."""
    refuse_twice(targets, "target")
    for target in targets:
        check_member_name(library_member(target))


def check_member_name(name: str) -> None:
    """Raise ValueError unless the name is a plain relative path: no way out of the bundle, one spelling each."""
    if not name or len(name) > _NAME_LIMIT or not _NAME_CHARACTERS.issuperset(name):
        raise ValueError(
            f"member name: expected 1 to {_NAME_LIMIT} characters of a-z 0-9 _ . / -, found {name[:160]!r}"
        )
    if any(part in ("", ".", "..") for part in name.split("/")):
        raise ValueError(f'member name: expected a relative path without empty, "." or ".." parts, found {name!r}')


def _check_schema(schema: tuple[SchemaField, ...]) -> None:
    refuse_twice((field.name for field in schema), "schema: field")
    for kind in ("id", "event_time"):
        found = [field for field in schema if field.kind == kind]
        if len(found) != 1 or not found[0].required:
            names = ", ".join(field.name for field in found) or "none"
            raise ValueError(f"schema: expected exactly one required {kind} field, found {names}")
