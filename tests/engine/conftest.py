"""The native engine and the executable specification side by side, over a few bundles compiled once per session."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.engine import signal_sets
from tests.engine.feature_sets import FEATURES_ONLY, deciding
from tests.engine.swipes import loaded, swipe, swipes

import quickthorn as qt
from quickthorn.compiling import compile_bundle
from quickthorn.decision.policy import Policy
from quickthorn.errors import EventError, LabelError
from quickthorn.features.decay import Decayed
from quickthorn.features.declare import Application
from quickthorn.features.distinct import Distinct
from quickthorn.features.kept import Kept
from quickthorn.features.sequence import Difference
from quickthorn.features.spread import Spread
from quickthorn.features.tiled_spread import TiledSpread
from quickthorn.features.tiles import Tiled
from quickthorn.features.velocity import Aggregate
from quickthorn.forest.ensemble import Ensemble
from quickthorn.forest.importing import load_model
from quickthorn.reference import ReferenceEngine
from quickthorn.reference.decay import weighed_values
from quickthorn.reference.event import Row, read_event
from quickthorn.reference.features import Moment
from quickthorn.reference.sequence import values

# Below it a float has no nine digits left.
SMALLEST = 1e-300
POLICY = '[thresholds]\nreview = 0.4\ndecline = 0.6\n\n[fallback]\ninvalid = "decline"\n'


@dataclass(frozen=True)
class Specimen:
    """One compiled bundle and what it was compiled from."""

    path: Path
    features: qt.FeatureSet
    ensemble: Ensemble | None
    policy: Policy | None


class Specimens(dict[str, Specimen]):
    """Bundles in a folder, made when they are asked for; "deciding" has a model and a policy."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def __missing__(self, name: str) -> Specimen:
        path = self.folder / f"{name}.qt"
        if name == "deciding":
            features, policy = deciding(), self.folder / "policy.toml"
            policy.write_text(POLICY)
            model = trained_model(features)
            compile_bundle(features=features, model=model, policy=policy, output=path)
            self[name] = Specimen(path, features, load_model(model).ensemble, Policy.from_toml(policy))
        else:
            (features,) = (declare() for declare in FEATURES_ONLY if declare.__name__ == name)
            compile_bundle(features=features, output=path)
            self[name] = Specimen(path, features, None, None)
        return self[name]


class Pair:
    """A native engine and a reference engine that are told the same things and must say the same."""

    def __init__(self, specimen: Specimen) -> None:
        self.native: Any = qt.Engine.load(specimen.path, allow_unsigned=True)
        self.reference = ReferenceEngine(specimen.features, specimen.ensemble, specimen.policy)
        self.decides = specimen.ensemble is not None

    def tell(self, operation: str, event: object) -> None:
        """Hold the features at this moment against each other, then both engines' answer to the operation."""
        self.compare_features(event)
        if operation == "observe":
            assert self.native.observe(event) == self.reference.observe(event)
        elif operation in ("decide", "score") and self.decides:
            self.compare_decisions(getattr(self.native, operation)(event), getattr(self.reference, operation)(event))

    def label(self, event_id: object, fraud: object, available_at: object) -> None:
        """Tell both the label: both take it, or both refuse it for the same reason."""
        try:
            self.reference.label(event_id, fraud, available_at)
        except LabelError as error:
            with pytest.raises(LabelError) as caught:
                self.native.label(event_id, fraud, available_at)
            assert_same_fault(str(caught.value), str(error))
            return
        self.native.label(event_id, fraud, available_at)

    def compare_features(self, event: object) -> None:
        """The same feature vector, or the same field at fault."""
        try:
            row = read_event(self.reference.schema, event)
        except EventError as error:
            with pytest.raises(EventError) as caught:
                self.native.features(event)
            assert_same_fault(str(caught.value), str(error))
            return
        native, expected = self.native.features(event), self.reference.features(event)
        assert list(native) == list(expected)
        for name, value in expected.items():
            assert is_near(native[name], value, self.allowance(name, row, value)), (name, native[name], value)

    def compare_decisions(self, native: Any, expected: Any) -> None:
        """The same decision in every part: this bundle's features are exact, so its margins agree to the last bit."""
        assert native.status == expected.status
        assert native.outcome == expected.outcome
        assert is_near(native.margin, expected.margin, 0.0)
        assert is_near(native.score, expected.score, 1e-15)
        assert (native.error is None) == (expected.error is None)
        if expected.error is not None:
            assert_same_fault(native.error, expected.error)

    def allowance(self, name: str, row: Row, value: float) -> float:
        """How far a feature may be off: nothing where it is exact, 1e-9 of the largest term where numbers are added."""
        expression = self.reference.expressions[name]
        if isinstance(expression, (Application, Spread, TiledSpread)):
            return 1e-9 * abs(value) + SMALLEST
        if isinstance(expression, Decayed):
            return 1e-9 * self.largest_term(expression, row, value) + SMALLEST
        if isinstance(expression, Tiled):
            return 1e-9 * self.largest_tiled(expression, row, value)
        if isinstance(expression, Distinct):
            # An estimate; here it is only to be about right.
            return 0.0 if value <= expression.cap else 8.0 * value
        if isinstance(expression, Difference):
            return 1e-9 * self.largest_value(expression, row)
        if not isinstance(expression, Aggregate) or not isinstance(expression.field, qt.Number):
            return 0.0
        (group,) = (group for group in self.reference.groups if expression in group.kept)
        if group.leaves_out(row):
            return 0.0
        window = group.moment(row, with_current=True).window(expression)
        terms: list[float] = [
            abs(kept[expression.field.name]) for kept in window if kept[expression.field.name] is not None
        ]
        return 1e-9 * max(abs(value), *terms, 0.0)

    def moment(self, expression: Kept, row: Row) -> Moment:
        (group,) = (group for group in self.reference.groups if expression in group.kept)
        return group.moment(row, with_current=not self.reference.is_duplicate(row))

    def largest_tiled(self, expression: Tiled, row: Row, value: float) -> float:
        """The largest number that a tiled sum could be of; nothing where it is exact."""
        if not isinstance(expression.field, qt.Number):
            return 0.0
        ever = self.moment(expression, row).lifetime(expression)
        return max((abs(float(kept[expression.field.name] or 0.0)) for kept in ever), default=abs(value))

    def largest_value(self, expression: Difference, row: Row) -> float:
        """The largest value that a difference is of, every weight of it included."""
        found = values(expression, expression.field, self.moment(expression, row))[-expression.order - 1 :]
        return float(2**expression.order * max((abs(value) for value in found), default=0))

    def largest_term(self, expression: Decayed, row: Row, value: float) -> float:
        """The largest weighed value in a decayed sum, mean or variance."""
        weighed = weighed_values(expression, self.moment(expression, row))
        weights = sum(weight for weight, _ in weighed) if expression.kind in ("mean", "variance") else Fraction(1)
        power = 2 if expression.kind == "variance" else 1
        return max((float(weight * abs(found) ** power / weights) for weight, found in weighed), default=abs(value))


def is_near(found: float, expected: float, allowance: float) -> bool:
    if math.isnan(expected) or math.isinf(expected):
        return found == expected or (math.isnan(found) and math.isnan(expected))
    return abs(found - expected) <= allowance


def assert_same_fault(native: str, expected: str) -> None:
    """Both sentences name the same field and say what was expected and found."""
    assert native.split(":")[0] == expected.split(":")[0]
    assert ": expected " in native
    assert ", found " in native
    assert "\n" not in native


@pytest.fixture(scope="session")
def specimens(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Specimen]:
    """Bundles by name, each compiled when it is first asked for: those of FEATURES_ONLY, and "deciding"."""
    return Specimens(tmp_path_factory.mktemp("bundles"))


@pytest.fixture(scope="session")
def new_pair(specimens: dict[str, Specimen]) -> Callable[[str], Pair]:
    """Makes a fresh pair of engines over the bundle of that name."""
    return lambda name: Pair(specimens[name])


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of swipes whose state is saved and restored."""
    path = tmp_path_factory.mktemp("swipes") / "swipes.qt"
    compile_bundle(features=swipes(), output=path, target="x86-64-v2")
    return path


@pytest.fixture
def engine(bundle: Path) -> Any:
    """An engine that has met 300 swipes of seven cards."""
    engine = loaded(bundle)
    for number in range(300):
        engine.observe(swipe(number, card=number % 7))
    return engine


@pytest.fixture
def saved(engine: Any, tmp_path: Path) -> Path:
    """Its saved state."""
    engine.save_state(tmp_path / "engine.state")
    return tmp_path / "engine.state"


@pytest.fixture(scope="session")
def signal_bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The bundles of features over signals, by name."""
    folder = tmp_path_factory.mktemp("signals")
    for declare in signal_sets.FEATURES:
        compile_bundle(features=declare(), output=folder / declare.__name__, target="x86-64-v2")
    return {declare.__name__: folder / declare.__name__ for declare in signal_sets.FEATURES}


def trained_model(features: qt.FeatureSet) -> Any:
    """A small XGBoost classifier with splits on every feature, fitted to noise over the ranges that the tests use."""
    xgboost = pytest.importorskip("xgboost", reason="the model of the test bundle is an XGBoost one")
    rng = np.random.default_rng(7)
    rows = rng.normal(0.0, 3.0, (2_000, len(features)))
    rows[:, features.names.index("at")] = rng.integers(0, 30_000_000, len(rows))
    rows[:, features.names.index("amount")] = rng.exponential(50.0, len(rows))
    rows[rng.random(rows.shape) < 0.2] = np.nan
    labels = rng.random(len(rows)) < 1.0 / (1.0 + np.exp(-np.nansum(rows[:, 2:], axis=1) / 10.0))
    model = xgboost.XGBClassifier(n_estimators=30, max_depth=4, n_jobs=1, random_state=7)
    return model.fit(rows, labels)
