"""What a run of the demo found, as figures."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from quickthorn.demo.live import LiveDecisions
from quickthorn.demo.measures import Thresholds, alerted, average_precision, recall
from quickthorn.demo.scenarios import SCENARIOS
from quickthorn.demo.training import ALERT_RATE

if TYPE_CHECKING:
    import pyarrow as pa

OUTCOMES = ("approve", "review", "decline")


@dataclass(frozen=True)
class LiveTruth:
    """What the live payments really were: arrays of shape (n,), bool and str."""

    fraud: npt.NDArray[np.bool_]
    scenario: npt.NDArray[np.str_]

    @staticmethod
    def of(stretch: pa.Table) -> LiveTruth:
        """The truth columns of a stretch of the stream."""
        scenario = np.array(stretch["scenario"].to_pylist(), dtype=np.str_)
        return LiveTruth(stretch["fraud"].to_numpy() == 1, scenario)


@dataclass(frozen=True)
class ScenarioRecall:
    """How many frauds of a scenario the live stretch holds and which share of them the alerts caught."""

    frauds: int
    recall: float


@dataclass(frozen=True)
class OutcomeCount:
    """How many payments had an outcome and how many of those were frauds."""

    payments: int
    frauds: int


@dataclass(frozen=True)
class LatencyUs:
    """Percentiles of the time one decision takes, in microseconds."""

    p50: float
    p99: float
    p99_9: float
    longest: float


@dataclass(frozen=True)
class LiveResults:
    """The figures of the live stretch; `alert_rate` is the share of payments `recall` may alert.

    `expected_frauds` is the sum of all scores: what a calibrated score promises of `frauds`.
    """

    payments: int
    frauds: int
    expected_frauds: float
    average_precision: float
    alert_rate: float
    recall: float
    scenarios: dict[str, ScenarioRecall]
    outcomes: dict[str, OutcomeCount]
    statuses: dict[str, int]
    first_reasons: dict[str, int]
    thresholds: Thresholds
    latency_us: LatencyUs


@dataclass(frozen=True)
class DemoResults:
    """A whole run: what it was given, what came out, and what it took.

    `largest_score_difference` is between the engine's live scores and the training library's on replayed features.
    """

    settings: dict[str, int]
    rows: dict[str, int]
    live: LiveResults
    largest_score_difference: float
    bundle_bytes: int
    seconds: dict[str, float]
    environment: dict[str, str]

    def as_json(self) -> dict[str, Any]:
        """Plain values for a JSON file; what does not exist (the recall of no frauds) is null."""
        cleaned = _without_nan(asdict(self))
        assert isinstance(cleaned, dict)
        return cleaned


def live_results(decisions: LiveDecisions, truth: LiveTruth, thresholds: Thresholds) -> LiveResults:
    """Figures from the decisions and the truth about them, both of n > 0 payments in the same order."""
    fraud = truth.fraud
    # Rankings are of margins: a calibration is level beyond its ends.
    alerts = alerted(decisions.margins, ALERT_RATE)
    scenarios = {}
    for name in SCENARIOS[1:]:
        of_scenario = truth.scenario == name
        scenarios[name] = ScenarioRecall(int(of_scenario.sum()), recall(of_scenario, alerts))
    outcomes = {}
    for name in OUTCOMES:
        with_outcome = decisions.outcomes == name
        outcomes[name] = OutcomeCount(int(with_outcome.sum()), int((with_outcome & fraud).sum()))
    p50, p99, p99_9 = (float(value) for value in np.percentile(decisions.latency_us, (50.0, 99.0, 99.9)))
    return LiveResults(
        payments=len(fraud),
        frauds=int(fraud.sum()),
        expected_frauds=float(decisions.scores.sum()),
        average_precision=average_precision(fraud, decisions.margins),
        alert_rate=ALERT_RATE,
        recall=recall(fraud, alerts),
        scenarios=scenarios,
        outcomes=outcomes,
        statuses=decisions.statuses,
        first_reasons=dict(sorted(decisions.first_reasons.items(), key=lambda reason: (-reason[1], reason[0]))),
        thresholds=thresholds,
        latency_us=LatencyUs(p50, p99, p99_9, float(decisions.latency_us.max())),
    )


def _without_nan(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and np.isnan(value) else value
