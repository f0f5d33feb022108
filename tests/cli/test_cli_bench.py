"""The command `quickthorn bench`, as a model's CI calls it: exit codes, JSON and messages."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.plain_bundle import write_plain_bundle

import quickthorn as qt
from quickthorn.cli import main
from quickthorn.lifecycle import sample_events


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of one feature."""
    return write_plain_bundle(tmp_path_factory.mktemp("bundle") / "payments.qt")


def test_it_prints_percentiles(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(bundle), "--allow-unsigned", "--calls", "100"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["calls", "p50", "p99", "p99.9", "most"]
    assert [line.split()[:2] for line in lines[2:]] == [["hot", "70"], ["cold", "20"]]


@pytest.mark.parametrize(("limit_us", "code"), [(1e9, 0), (1e-6, 1)])
def test_a_budget_decides_the_exit_code(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], limit_us: float, code: int
) -> None:
    (tmp_path / "budget.toml").write_text(f"[hot]\np99_us = {limit_us}\n")
    asked = ["bench", str(bundle), "--allow-unsigned", "--calls", "100", "--budget", str(tmp_path / "budget.toml")]
    assert main([*asked, "--json"]) == code
    found = json.loads(capsys.readouterr().out)
    assert found["within_budget"] is (code == 0)
    assert len(found["broken"]) == code
    assert found["latency"]["hot"]["calls"] == 70
    assert main(asked) == code
    assert ("over budget: hot.p99_us: expected at most" in capsys.readouterr().out) is (code == 1)


def test_it_takes_events_from_files(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events = sample_events(qt.Engine.load(bundle, allow_unsigned=True).manifest.schema, 60)
    pq.write_table(pa.Table.from_pylist(events), tmp_path / "events.parquet")
    (tmp_path / "events.jsonl").write_text("".join(f"{json.dumps(event)}\n" for event in events))
    for name in ("events.parquet", "events.jsonl"):
        assert main(["bench", str(bundle), "--allow-unsigned", "--events", str(tmp_path / name), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["latency"]["hot"]["calls"] == 42


def test_what_cannot_be_measured_is_one_line(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "broken.parquet").write_text("no Parquet")
    for more, message in (
        (
            ["--allow-unsigned", "--events", str(tmp_path / "events.csv")],
            "expected a file name ending in .parquet or .jsonl, found '.csv'",
        ),
        (["--allow-unsigned", "--events", str(tmp_path / "none.jsonl")], "none.jsonl: expected readable events, found"),
        (
            ["--allow-unsigned", "--events", str(tmp_path / "broken.parquet")],
            "broken.parquet: expected readable events, found",
        ),
        (["--allow-unsigned", "--calls", "3"], "events: expected at least 10 to measure with, found 3"),
        (["--allow-unsigned", "--budget", str(tmp_path / "none.toml")], "none.toml: expected a readable budget file"),
        (["--trust", str(tmp_path / "none.toml")], "none.toml: expected a readable trust file"),
    ):
        assert main(["bench", str(bundle), *more, "--quiet"]) == 2
        said = capsys.readouterr()
        assert (said.out, said.err.count("\n")) == ("", 1)
        assert message in said.err
