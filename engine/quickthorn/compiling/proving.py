"""What a bundle is proven by, and the proof: every library of it says what the source library and the reference say."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from quickthorn.bundle import Manifest, ReferenceSummary, pack_bundle, read_bundle, write_bundle
from quickthorn.bundle.manifest import REFERENCE
from quickthorn.compiling.golden_events import GoldenEvents, golden_events
from quickthorn.compiling.reference_data import Numbers, reference_distributions
from quickthorn.serving import Engine
from quickthorn.serving.golden_replay import vectors_told

if TYPE_CHECKING:
    from quickthorn.bundle.golden_events import GoldenDecision
    from quickthorn.calibration.knots import Calibration
    from quickthorn.compiling.golden import GoldenVectors
    from quickthorn.decision import Policy
    from quickthorn.decision.compiled import Conditions
    from quickthorn.decision.reasons import ReasonMap
    from quickthorn.features import FeatureSet
    from quickthorn.features.plan import Plan
    from quickthorn.forest.importing import LoadedModel


@dataclass(frozen=True)
class DecidingForest:
    """A model over a bundle's features, and what is made of its margins; the checkpoint with its size once unpacked."""

    model: LoadedModel
    checkpoint: bytes
    checkpoint_bytes: int
    calibration: Calibration | None
    policy: Policy
    conditions: Conditions | None

    def scores_of(self, margins: Numbers) -> Numbers:
        """The scores of margins, float64 (n,), as decisions have them to the last bit."""
        if self.calibration is not None:
            return np.array([self.calibration.score(margin) for margin in margins.tolist()])
        ensemble = self.model.ensemble
        return np.array([ensemble.link.score(margin, ensemble.link_scale) for margin in margins.tolist()])


@dataclass(frozen=True)
class Golden:
    """Golden events with what is expected of each, and the golden vectors of a forest."""

    events: GoldenEvents
    decisions: list[GoldenDecision]
    vectors: GoldenVectors | None

    @property
    def members(self) -> dict[str, bytes]:
        """All of it as members of an archive."""
        return self.events.members(self.decisions) | (self.vectors.members if self.vectors else {})


def golden_of(
    features: FeatureSet,
    planned: Plan,
    forest: DecidingForest | None,
    reasons: ReasonMap | None,
    *,
    contributions: bool,
    on_step: Callable[[str], object],
) -> Golden:
    """Golden events by the reference, and golden vectors by the source library, which begin with the events' rows."""
    on_step("tell golden events to the reference")
    if forest is None:
        events = golden_events(features, planned)
        return Golden(events, events.statuses(), None)
    from quickthorn.compiling.golden import golden_vectors

    model = forest.model
    events = golden_events(features, planned, model.ensemble, forest.policy, forest.calibration, forest.conditions)
    on_step(f"ask {model.ensemble.source} for golden vectors")
    vectors = golden_vectors(model, contributions=contributions, first=events.vectors)
    decisions = events.decisions(model.source_margins(events.vectors), vectors.contributions, reasons)
    return Golden(events, decisions, vectors)


def proven(
    manifest: Manifest,
    members: dict[str, bytes],
    targets: Sequence[str],
    forest: DecidingForest | None,
    golden: Golden,
    reference: Any,
) -> tuple[Manifest, dict[str, bytes]]:
    """The bundle once its libraries for ``targets``, which this processor runs, have been loaded as an engine loads it.

    What is decided on the last bit of a feature is left out of it (``GoldenEvents.settled``), and with ``reference``
    data their distributions are put in. Raises BundleError for the first disagreement.
    """
    told = vectors_told(read_bundle(pack_bundle(manifest, members)), targets[0])
    decisions = golden.events.settled(golden.decisions, told, forest.model.source_margins if forest else None)
    members = members | golden.events.members(decisions)
    with tempfile.TemporaryDirectory(prefix="quickthorn-") as scratch:
        unproven = Path(scratch) / "bundle.qt"
        write_bundle(unproven, manifest, members)
        engines = [Engine.load(unproven, target=target, allow_unsigned=True) for target in targets]
        if reference is None:
            return manifest, members
        another = Engine.load(unproven, target=targets[-1], allow_unsigned=True)
        found = reference_distributions(engines[-1], another, reference, forest.scores_of if forest else None)
    summary = ReferenceSummary(of=found.of, rows=found.rows)
    return msgspec.structs.replace(manifest, reference=summary), members | {REFERENCE: msgspec.json.encode(found)}
