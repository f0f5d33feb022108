"""The whole demo at its smallest: from simulated events to live decisions, and what it leaves behind."""

from __future__ import annotations

import argparse
import io
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from quickthorn.cli import demo as demo_command
from quickthorn.demo.results import DemoResults
from quickthorn.demo.run import run_demo

SMALL = {"days": 60, "customers": 500, "terminals": 100, "seed": 3}


@dataclass(frozen=True)
class Ran:
    """One run of the demo: where it wrote, what it returned, what it showed."""

    directory: Path
    results: DemoResults
    shown: str


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    from rich.console import Console

    directory = tmp_path_factory.mktemp("demo") / "made" / "here"
    shown = io.StringIO()
    results = run_demo(directory, trees=20, console=Console(file=shown, width=100), **SMALL)
    return Ran(directory, results, shown.getvalue())


def demo(*words: str) -> int:
    parser = argparse.ArgumentParser(prog="quickthorn")
    demo_command.add_parser(parser.add_subparsers(required=True))
    args = parser.parse_args(["demo", *words])
    code: int = args.run(args)
    return code


def test_everything_it_made_is_left_in_the_directory(ran: Ran) -> None:
    names = {path.name for path in ran.directory.iterdir()}
    assert names == {
        "events.parquet", "model.ubj", "calibration.json", "policy.toml", "fraud.qt", "demo.json", "demo.png"
    }  # fmt: skip
    assert json.loads((ran.directory / "demo.json").read_text(encoding="utf-8")) == ran.results.as_json()
    assert ran.results.bundle_bytes == (ran.directory / "fraud.qt").stat().st_size


def test_what_is_served_is_what_was_trained(ran: Ran) -> None:
    # Live decisions, one dict at a time, against the training library on replayed features.
    assert ran.results.largest_score_difference < 1e-6


def test_every_live_payment_is_decided(ran: Ran) -> None:
    live = ran.results.live
    live_from = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(days=50)
    written = pq.read_table(ran.directory / "events.parquet", filters=[("at", ">=", live_from)])
    assert live.payments == len(written)
    assert sum(counted.payments for counted in live.outcomes.values()) == live.payments
    assert sum(counted.frauds for counted in live.outcomes.values()) == live.frauds
    assert live.statuses == {"ok": live.payments}


def test_the_model_finds_the_planted_fraud(ran: Ran) -> None:
    # A ranking by chance would have the fraud share, under one percent, as its average precision.
    assert ran.results.live.average_precision > 0.3
    assert ran.results.live.recall > 0.3


def test_scores_promise_about_as_many_frauds_as_there_are(ran: Ran) -> None:
    # Some sixty frauds in this stretch: a quarter of them is two standard deviations.
    live = ran.results.live
    assert live.frauds / 2 < live.expected_frauds < 2 * live.frauds


def test_every_payment_that_is_not_approved_has_a_reason(ran: Ran) -> None:
    outcomes = ran.results.live.outcomes
    explained = sum(ran.results.live.first_reasons.values())
    assert explained == outcomes["review"].payments + outcomes["decline"].payments > 0


def test_latency_percentiles_are_in_order(ran: Ran) -> None:
    latency = ran.results.live.latency_us
    assert 0.0 < latency.p50 <= latency.p99 <= latency.p99_9 <= latency.longest


def test_long_steps_are_shown_as_they_run(ran: Ran) -> None:
    for step in ("Simulating", "Replaying", "Training", "Compiling", "Observing", "Deciding"):
        assert step in ran.shown
    assert list(ran.results.seconds) == ["simulate", "replay", "train", "compile", "observe", "decide"]


def test_the_same_seed_gives_the_same_decisions(ran: Ran, tmp_path: Path) -> None:
    again = run_demo(tmp_path, trees=20, **SMALL).live
    first = ran.results.live
    assert (again.average_precision, again.outcomes, again.thresholds) == (
        first.average_precision,
        first.outcomes,
        first.thresholds,
    )
    assert (tmp_path / "fraud.qt").read_bytes() == (ran.directory / "fraud.qt").read_bytes()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--days", "59"], "days: expected at least 60 (labels take 30 to arrive), got 59"),
        (["--days", "0"], "days: expected at least 1, got 0"),
        (["--trees", "0"], "trees: expected at least 1, got 0"),
        (["--directory", "a-file/below"], "directory: cannot make 'a-file/below': Not a directory"),
        (["--customers", "1", "--days", "60"], "days x customers: expected enough payments to train on, got 0 frauds"),
    ],
)
def test_what_cannot_be_run_is_refused_in_one_line(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a-file").touch()
    assert demo(*words) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"quickthorn demo: error: {message}")
    assert error.count("\n") == 1
