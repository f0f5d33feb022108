"""What calibration and a policy of 20 rules add to a decision: the same model and events, with them and without."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost
from benchmarks.workload import payments, workload_features

import quickthorn as qt
from quickthorn.calibration import Calibration, fit
from quickthorn.compiling import compile_bundle
from quickthorn.compiling.toolchain import check_targets
from quickthorn.decision import Fallback, Policy, Rule, Thresholds
from quickthorn.forest.importing import load_model
from quickthorn.reference import ReferenceEngine

CONDITIONS = (
    "amount > {0}00000",
    'country in ("US", "GB") and distance_km > {0}000',
    "amount_to_usual > {0}0 and customer_count_1d > 3{0}",
    'channel == "web" and device_new and score > 0.99{0}',
    "account_age_days > 0 and amount / account_age_days > {0}000000",
)
POLICY = Policy(
    thresholds=Thresholds(on="aligned_score", least={"review": 500, "decline": 700}),
    fallback=Fallback(invalid="review"),
    block=tuple(Rule(name=f"rule {at}", when=CONDITIONS[at % 5].format(1 + at // 5)) for at in range(20)),
)


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    random = np.random.default_rng(1)
    margins = random.normal(-2, 2, 20_000)
    return fit(margins, random.random(20_000) < 1 / (1 + np.exp(-margins)), method="sigmoid")


@pytest.fixture(scope="module")
def ruled(workload: tuple[Path, xgboost.Booster], calibration: Calibration, tmp_path_factory: Any) -> Path:
    path: Path = tmp_path_factory.mktemp("policy") / "ruled.qt"
    compile_bundle(
        features=workload_features(), model=workload[1], policy=POLICY, calibration=calibration, output=path,
        target=check_targets(None)[-1],
    )  # fmt: skip
    return path


def test_decisions_are_the_reference_s(
    workload: tuple[Path, xgboost.Booster], ruled: Path, calibration: Calibration
) -> None:
    engine = qt.Engine.load(ruled, allow_unsigned=True)
    reference = ReferenceEngine(workload_features(), load_model(workload[1]).ensemble, POLICY, calibration)
    for event in payments(100, seed=1):
        found, expected = engine.decide(event), reference.decide(event)
        assert (found.outcome, found.rule, found.aligned_score) == (
            expected.outcome,
            expected.rule,
            expected.aligned_score,
        )


def test_what_calibration_and_twenty_rules_add(
    benchmark: Any,
    workload: tuple[Path, xgboost.Booster],
    ruled: Path,
    figure: Callable[[str], None],
    events_count: int,
) -> None:
    level = check_targets(None)[-1]
    engines = [qt.Engine.load(path, target=level, allow_unsigned=True) for path in (workload[0], ruled)]
    events = payments(500, seed=2)
    for engine in engines:
        engine.score(events[0])
    least = [np.inf, np.inf]
    for _ in range(max(events_count // 2_000, 3)):
        for which, engine in enumerate(engines):
            score = engine.score
            start_ns = time.perf_counter_ns()
            for event in events:
                score(event)
            least[which] = min(least[which], (time.perf_counter_ns() - start_ns) / len(events))
    figure(
        f"score: {least[0]:.0f} ns with two thresholds, {least[1]:.0f} ns with a calibration and 20 rules: "
        f"{least[1] - least[0]:.0f} ns more (least of turns of {len(events)} events)"
    )
    assert benchmark(engines[1].score, events[-1]).rule is None
