"""What a decision says: aligned score, propensity, JSON; and what decides beside the thresholds."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import xgboost
from tests.serving.conftest import payment_features, payments

import quickthorn as qt
from quickthorn.calibration import Calibration, aligned_score, fit
from quickthorn.compiling import compile_bundle
from quickthorn.decision import Exploration, Fallback, KillSwitch, Policy, Thresholds
from quickthorn.errors import CalibrationError, PolicyError
from quickthorn.forest.importing import load_model
from quickthorn.reference import ReferenceEngine

KEY = bytes(range(16))
POLICY = Policy(
    thresholds=Thresholds(on="aligned_score", least={"step_up": 350, "review": 500, "decline": 640}),
    fallback=Fallback(invalid="review", duplicate="decline"),
    exploration=Exploration(share=0.3, outcome="approve", of=("step_up", "review"), seed=3),
    kill_switch=KillSwitch(outcome="step_up", active=False),
)


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    random = np.random.default_rng(3)
    margins = random.normal(0, 3, 5_000)
    return fit(margins, random.random(5_000) < 1 / (1 + np.exp(1.5 - margins)), method="isotonic", sampling_rate=0.5)


@pytest.fixture(scope="module")
def calibrated(model: xgboost.Booster, calibration: Calibration, level: str, tmp_path_factory: Any) -> Path:
    path: Path = tmp_path_factory.mktemp("decisions") / "fraud.qt"
    features = payment_features()
    compile_bundle(features=features, model=model, policy=POLICY, calibration=calibration, output=path, target=level)
    return path


def test_native_decisions_are_the_reference_s(
    calibrated: Path, model: xgboost.Booster, calibration: Calibration
) -> None:
    engine = load(calibrated)
    reference = ReferenceEngine(payment_features(), load_model(model).ensemble, POLICY, calibration, hash_key=KEY)
    events = [*payments(250, seed=4), {"event_id": "x"}, payments(1, seed=4)[0]]
    rules = set()
    for event in events:
        found, expected = engine.decide(event), reference.decide(event)
        assert (found.outcome, found.rule, found.status) == (expected.outcome, expected.rule, expected.status)
        assert (found.propensity, found.aligned_score) == (expected.propensity, expected.aligned_score)
        assert found.score == expected.score or math.isnan(expected.score)
        rules.add(found.rule)
    assert rules == {None, "exploration", "fallback"}


def load(path: Path, **options: Any) -> qt.Engine:
    return qt.Engine.load(path, hash_key=KEY, max_keys=1_000, max_history_bytes=1 << 22, **options, allow_unsigned=True)


def test_a_batch_says_the_same_as_single_decisions(calibrated: Path) -> None:
    events = payments(200, seed=5)
    single = [load(calibrated).score(event) for event in events]
    batch = load(calibrated).score_batch(pa.Table.from_pylist(events))
    assert batch.outcomes.tolist() == [decision.outcome for decision in single]
    assert batch.rules.tolist() == [decision.rule or "" for decision in single]
    assert batch.propensities.tolist() == [decision.propensity for decision in single]
    assert batch.aligned_scores.tolist() == [decision.aligned_score for decision in single]
    assert batch.aligned_scores.tolist() == [aligned_score(decision.score) for decision in single]


def test_a_retried_event_draws_the_same_again_and_another_key_draws_others(calibrated: Path) -> None:
    engine, other = load(calibrated), qt.Engine.load(calibrated, hash_key=bytes(16), allow_unsigned=True)
    explored = [engine.score(event).rule == "exploration" for event in payments(300, seed=6)]
    assert explored == [engine.score(event).rule == "exploration" for event in payments(300, seed=6)]
    assert explored != [other.score(event).rule == "exploration" for event in payments(300, seed=6)]
    assert {engine.score(event).propensity for event in payments(300, seed=6)} == {0.3, 0.7, 1.0}


def test_a_kill_switch_gives_one_outcome_until_it_is_released(calibrated: Path) -> None:
    engine = load(calibrated)
    event = payments(1, seed=7)[0]
    plain = engine.score(event)
    assert engine.kill_switch is None
    engine.engage_kill_switch()
    killed, invalid = engine.score(event), engine.score({})
    assert (killed.outcome, killed.rule, killed.propensity, engine.kill_switch) == (
        "step_up",
        "kill_switch",
        1.0,
        "step_up",
    )
    assert (invalid.outcome, invalid.status, killed.score) == ("step_up", "invalid", plain.score)
    engine.engage_kill_switch("decline")
    assert engine.score(event).outcome == "decline"
    engine.release_kill_switch()
    assert repr(engine.score(event)) == repr(plain)
    for wrong in ("refuse", "", "décliné\ud800"):
        with pytest.raises(PolicyError, match=r"kill switch: expected one of 'approve', 'step_up', .* or None, found"):
            engine.engage_kill_switch(wrong)
    with pytest.raises(PolicyError, match="found 3"):
        engine.engage_kill_switch(3)  # type: ignore[arg-type]


def test_a_policy_without_a_kill_switch_wants_an_outcome_for_it(load: Any) -> None:
    with pytest.raises(PolicyError, match="expected an outcome, found none"):
        load().engage_kill_switch()


def test_a_decision_as_dict_json_and_text(calibrated: Path) -> None:
    engine = load(calibrated)
    decision = engine.decide(payments(1, seed=8)[0])
    plain = decision.as_dict()
    assert list(plain) == [
        *("outcome", "score", "aligned_score", "margin", "reasons", "rule"),
        *("propensity", "status", "bundle_id", "error"),
    ]
    assert json.loads(decision.as_json()) == plain
    assert repr(decision).startswith(f"Decision({decision.outcome}, score=")
    assert f"aligned={decision.aligned_score}" in repr(decision)
    invalid = engine.decide({})
    found = json.loads(invalid.as_json())
    assert (found["score"], found["aligned_score"], found["rule"]) == (None, None, "fallback")
    assert "rule='fallback'" in repr(invalid)
    assert invalid.reasons == ()


def test_calibrations_that_do_not_belong_are_refused(
    tmp_path: Path, model: xgboost.Booster, calibration: Calibration
) -> None:
    with pytest.raises(CalibrationError, match="expected a model along with a calibration"):
        compile_bundle(features=payment_features(), calibration=calibration, output=tmp_path / "a.qt")
    with pytest.raises(CalibrationError, match=r"none.json: expected a readable calibration"):
        compile_bundle(
            features=payment_features(), model=model, policy=POLICY, calibration=tmp_path / "none.json",
            output=tmp_path / "a.qt",
        )  # fmt: skip
