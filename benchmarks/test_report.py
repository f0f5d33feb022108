"""The suite of rivals on small models: answers, tables and refusals, with nothing installed for it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from benchmarks import report
from benchmarks.page import render
from benchmarks.rivals.catalogue import adapters, is_ours

HERE = ("XGBoost", "LightGBM", "CatBoost", "CatBoost, exported C++", "Treelite GTIL")


@pytest.fixture(scope="module")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """The results of a small run, and the folder its page went to."""
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed")
    folder = tmp_path_factory.mktemp("report")
    report.main(["--small", "--directory", str(folder), "--page", str(folder / "page")])
    return json.loads((folder / "results-small.json").read_text()), folder / "page"


def test_our_margins_are_bit_equal(small_run: tuple[dict[str, Any], Path]) -> None:
    document, _ = small_run
    (measured,) = (found for name, found in document["rounds"][0].items() if is_ours(name))
    differences = {model: answer["largest_difference"]["margin"] for model, answer in measured.items()}
    assert differences == {"M1": 0, "M4": 0, "M6": 0}


@pytest.mark.parametrize("name", HERE)
def test_an_installed_rival_agrees_with_the_source_library(small_run: tuple[dict[str, Any], Path], name: str) -> None:
    document, _ = small_run
    reasons = {answer.get("refused", "") for answer in document["prepared"][name].values()}
    if any("is not installed" in reason for reason in reasons):
        pytest.skip(reasons.pop())
    measured = document["rounds"][0][name]
    assert measured.keys() == document["prepared"][name].keys() != set()
    for answer in measured.values():
        assert max(answer["largest_difference"].values()) <= document["tolerances"][name]


def test_a_rival_that_is_not_installed_is_named_with_the_reason(small_run: tuple[dict[str, Any], Path]) -> None:
    _, folder = small_run
    page = (folder / "README.md").read_text()
    absent = [adapter.name for adapter in adapters() if adapter.environment]
    assert absent
    for name in absent:
        assert any(line.startswith(f"| {name} |") and "not installed" in line for line in page.splitlines())


def test_every_point_of_the_curve_has_a_figure(small_run: tuple[dict[str, Any], Path]) -> None:
    document, folder = small_run
    assert document["curve"]
    assert all(taken is not None for point in document["curve"] for taken in point["hot_ns"].values())
    assert (folder / "curve.png").stat().st_size > 1_000


def test_the_same_results_give_the_same_page(small_run: tuple[dict[str, Any], Path]) -> None:
    document, folder = small_run
    assert render(document, "curve.png") == (folder / "README.md").read_text()


def test_a_run_of_what_is_prepared_compiles_nothing_for_rivals(tmp_path: Path) -> None:
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed")
    one = ["--small", "--directory", str(tmp_path), "--no-curve", "--models", "M4", "--adapters"]
    report.main([*one, "LightGBM", "--prepare"])
    report.main([*one, "LightGBM", "Treelite GTIL", "--prepared-only", "--page", str(tmp_path / "page")])
    document = json.loads((tmp_path / "results-small.json").read_text())
    assert document["prepared"]["Treelite GTIL"]["M4"]["refused"] == "it was not prepared before this run"
    assert "hot" in document["rounds"][0]["LightGBM"]["M4"]


def test_results_are_never_kept_in_the_repository(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        report.main(["--small", "--directory", str(report.ROOT / "results")])
    assert "outside the repository" in capsys.readouterr().err
