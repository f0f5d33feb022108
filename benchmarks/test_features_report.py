"""The feature stage's results page on few keys and rows: figures, and rivals that agree."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from benchmarks import features_report
from benchmarks.feature_workload import two_hundred
from benchmarks.features_page import render
from benchmarks.handbook_replay import EVALUATORS


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a small run measures."""
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed")
    chosen = features_report._arguments(["--small", "--page", str(tmp_path_factory.mktemp("page"))])
    return features_report.run(chosen)


def test_every_rival_that_is_installed_finds_the_same_features(document: dict[str, Any]) -> None:
    answers = document["replay"]["answers"]
    assert list(answers) == list(EVALUATORS)
    assert "refused" not in answers["pandas"]
    for name, answer in answers.items():
        if "refused" in answer:
            assert "No module named" in answer["refused"], name
        else:
            assert answer["largest_difference"] < 1e-9, name


def test_keys_are_live_and_memory_is_counted(document: dict[str, Any]) -> None:
    assert document["latency"]["400"]["keys"] == 400
    assert document["memory"]["grown_bytes"] > 0


def test_the_page_has_a_figure_in_every_table(document: dict[str, Any]) -> None:
    page = render(document)
    assert "| 400 | 20 |" in page
    assert "bytes a key" in page
    assert all(f"| {name} |" in page for name in EVALUATORS)


def test_keys_that_no_memory_is_left_for_are_skipped_with_the_reason(document: dict[str, Any]) -> None:
    found = features_report.timing.latency(Path(), Path(), 10**12, 1, 1, 0, 20)
    page = render(document | {"latency": {str(10**12): found | {"events_per_key": 20}}})
    assert "not run: it takes about" in page


def test_two_hundred_features_are_two_hundred() -> None:
    assert len(two_hundred()) == 200


def test_a_small_run_does_not_replace_the_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        features_report.main(["--small"])
    assert "expected --page with another folder" in capsys.readouterr().err
