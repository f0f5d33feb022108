"""The demo's figures, its table and its picture, from decisions made up by hand."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from quickthorn.demo.live import LiveDecisions
from quickthorn.demo.measures import Thresholds
from quickthorn.demo.results import DemoResults, LiveTruth, live_results

THRESHOLDS = Thresholds(review=0.4, decline=0.8)


def made_up() -> tuple[LiveDecisions, LiveTruth]:
    """A thousand payments: twenty frauds, of which nine lead the ranking and five more are beyond `review`."""
    rng = np.random.default_rng(8)
    scores = rng.uniform(0.0, 0.3, 1_000)
    scenario = np.full(1_000, "genuine", dtype="U24")
    scenario[:10], scenario[10:20] = "card_testing", "stolen_card"
    scores[:9] = np.linspace(0.90, 0.98, 9)
    scores[9:14] = np.linspace(0.50, 0.54, 5)
    scores[500] = 0.95
    outcomes = np.where(scores >= 0.8, "decline", np.where(scores >= 0.4, "review", "approve"))
    latency_us = np.arange(1.0, 1_001.0)
    decisions = LiveDecisions(
        scores,
        np.log(scores),
        outcomes.astype(np.str_),
        latency_us,
        {"ok": 1_000},
        {"PACE": 4, "PLACE": 9, "DEVICE": 2},
    )
    return decisions, LiveTruth(scenario != "genuine", scenario)


def results() -> DemoResults:
    decisions, truth = made_up()
    return DemoResults(
        settings={"days": 60},
        rows={"live": 1_000},
        live=live_results(decisions, truth, THRESHOLDS),
        largest_score_difference=3e-8,
        bundle_bytes=250_000,
        seconds={"simulate": 1.0},
        environment={"python": "3"},
    )


def test_recall_counts_the_highest_percent_by_scenario() -> None:
    live = results().live
    # Ten alerts: nine card testers and one genuine payment.
    assert live.recall == pytest.approx(9 / 20)
    assert (live.scenarios["card_testing"].frauds, live.scenarios["card_testing"].recall) == (10, pytest.approx(0.9))
    assert (live.scenarios["stolen_card"].frauds, live.scenarios["stolen_card"].recall) == (10, 0.0)
    assert np.isnan(live.scenarios["account_takeover"].recall)


def test_outcomes_are_counted_with_the_frauds_among_them() -> None:
    outcomes = results().live.outcomes
    assert {name: (counted.payments, counted.frauds) for name, counted in outcomes.items()} == {
        "approve": (985, 6),
        "review": (5, 5),
        "decline": (10, 9),
    }


def test_latency_percentiles_are_in_microseconds() -> None:
    latency = results().live.latency_us
    assert (latency.p50, latency.p99, latency.longest) == (500.5, pytest.approx(990.01), 1_000.0)
    assert latency.p99_9 == pytest.approx(999.001)


def test_average_precision_is_that_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    decisions, truth = made_up()
    expected = metrics.average_precision_score(truth.fraud, decisions.scores)
    assert results().live.average_precision == pytest.approx(expected, rel=1e-12)


def test_results_are_json_without_nan() -> None:
    text = json.dumps(results().as_json(), allow_nan=False)
    read = json.loads(text)
    assert read["live"]["scenarios"]["account_takeover"] == {"frauds": 0, "recall": None}
    assert read["live"]["thresholds"] == {"review": 0.4, "decline": 0.8}
    assert read["bundle_bytes"] == 250_000


def test_the_table_shows_every_figure_asked_for() -> None:
    console_module = pytest.importorskip("rich.console")
    from quickthorn.demo.report import results_table

    console = console_module.Console(width=110, record=True, file=None, quiet=False)
    with console.capture() as capture:
        console.print(results_table(results()))
    shown = capture.get()
    for expected in (
        "1,000 payments decided live, 20 of them frauds",
        "average precision",
        "recall at 1% alert rate",
        "0.450",
        "985 (98.50%)",
        "10 (1.00%)",
        "decide p50",
        "500.5 µs",
        "decide p99.9",
        "999.0 µs",
        "244 KiB",
        "3.0e-08",
        "none",
    ):
        assert expected in shown, expected


def test_the_picture_is_a_png_with_two_panels_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.image import imread

    from quickthorn.demo.picture import draw_picture

    decisions, truth = made_up()
    path = tmp_path / "demo.png"
    draw_picture(results().live, decisions, truth.fraud, path)
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    pixels = imread(path)
    height, width = pixels.shape[:2]
    assert width > 1_000
    assert height > 500
    for half in (pixels[:, : width // 2], pixels[:, width // 2 :]):
        # Neither half is blank, and neither is a solid block.
        inked = np.mean(half[..., :3].min(axis=2) < 0.9)
        assert 0.01 < inked < 0.6


def test_drawing_leaves_pyplot_alone(tmp_path: Path) -> None:
    # pyplot would look for a display, and would keep every figure. A fresh interpreter shows what drawing imports.
    pytest.importorskip("matplotlib")
    code = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_demo_results import made_up, results
from quickthorn.demo.picture import draw_picture
decisions, truth = made_up()
draw_picture(results().live, decisions, truth.fraud, Path(sys.argv[2]) / "demo.png")
assert "matplotlib.figure" in sys.modules
assert "matplotlib.pyplot" not in sys.modules
"""
    command = [sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
