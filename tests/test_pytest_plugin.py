"""The pytest plugin, as a repository of models uses it: three lines, its own events, budgets that are kept or not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.plain_bundle import write_plain_bundle

import quickthorn as qt
from quickthorn.lifecycle import sample_events

SUITE = "from quickthorn.latency_suite import *\n"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of one feature."""
    return write_plain_bundle(tmp_path_factory.mktemp("bundle") / "payments.qt")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository whose whole suite is one line."""
    (tmp_path / "test_latency.py").write_text(SUITE)
    return tmp_path


def run(repository: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.run(
        command, cwd=repository, capture_output=True, text=True, timeout=300, check=False, env=environment
    )


def test_the_suite_measures_and_shows_p99(repository: Path, bundle: Path) -> None:
    ran = run(repository, "--quickthorn-bundle", str(bundle), "--benchmark-json", "found.json")
    assert ran.returncode == 0, ran.stdout
    table = ran.stdout.partition("quickthorn: microseconds of single calls")[2].splitlines()
    assert table[1].split() == ["calls", "p50", "p99", "p99.9", "most"]
    assert {line[:22].strip() for line in table[2:4]} == {"decide, hot", "decide, 64 MiB swept"}
    found = {
        one["name"]: one["extra_info"] for one in json.loads((repository / "found.json").read_text())["benchmarks"]
    }
    assert set(found) == {"test_decide_hot", "test_decide_cold"}
    assert all(0 < info["p50_us"] <= info["p99_us"] <= info["p999_us"] for info in found.values())


def test_a_budget_that_is_not_kept_fails_with_the_figure(repository: Path, bundle: Path) -> None:
    (repository / "budget.toml").write_text("[hot]\np50_us = 0.0001\n[cold]\np50_us = 1e9\n")
    ran = run(repository, "--quickthorn-bundle", str(bundle), "--quickthorn-budget", "budget.toml")
    assert ran.returncode == 1
    assert "1 failed, 1 passed" in ran.stdout
    assert "hot.p50_us: expected at most 0.0001 µs, found" in ran.stdout


def test_it_takes_events_of_its_own_and_passes_where_benchmarks_are_off(repository: Path, bundle: Path) -> None:
    events = sample_events(qt.Engine.load(bundle, allow_unsigned=True).manifest.schema, 3_000)
    (repository / "events.jsonl").write_text("".join(f"{json.dumps(event)}\n" for event in events))
    own = ("--quickthorn-bundle", str(bundle), "--quickthorn-events", "events.jsonl", "--benchmark-disable")
    ran = run(repository, *own)
    assert "2 passed" in ran.stdout or "1 failed, 1 passed" in ran.stdout, ran.stdout


GOLDEN_TEST = """
import pytest

def test_golden(quickthorn_engine, quickthorn_golden_events):
    assert len(quickthorn_golden_events) >= 256
    statuses = set()
    for golden in quickthorn_golden_events:
        if golden.expected.status != "invalid":
            assert quickthorn_engine.features(golden.event) == pytest.approx(golden.features, nan_ok=True)
        assert quickthorn_engine.observe(golden.event) == golden.expected.status
        statuses.add(golden.expected.status)
    assert {"ok", "duplicate", "invalid"} <= statuses
"""


def test_golden_events_come_with_what_is_expected_of_them(repository: Path, bundle: Path) -> None:
    (repository / "test_latency.py").write_text(GOLDEN_TEST)
    ran = run(repository, "--quickthorn-bundle", str(bundle))
    assert "1 passed" in ran.stdout, ran.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "expected a bundle to test, found none: run pytest with --quickthorn-bundle FILE"),
        (("--quickthorn-bundle", "none.qt"), "none.qt: expected a readable bundle file"),
        (
            ("--quickthorn-bundle", "GOOD", "--quickthorn-events", "none.jsonl"),
            "none.jsonl: expected readable events, found",
        ),
        (
            ("--quickthorn-bundle", "GOOD", "--quickthorn-budget", "none.toml"),
            "none.toml: expected a readable budget file",
        ),
        (
            ("--quickthorn-bundle", "GOOD", "--quickthorn-trust", "none.toml"),
            "none.toml: expected a readable trust file",
        ),
    ],
)
def test_what_is_missing_is_said_in_one_sentence(
    repository: Path, bundle: Path, arguments: tuple[str, ...], message: str
) -> None:
    ran = run(repository, *(argument.replace("GOOD", str(bundle)) for argument in arguments))
    assert ran.returncode == 1
    assert message in ran.stdout
