"""Rounds made into figures and marks, on results made by hand."""

from __future__ import annotations

from typing import Any

import pytest
from benchmarks.marks import BEST, marks
from benchmarks.summary import Summary

PREPARED = {"compile_seconds": 1.0, "artefact_bytes": 10, "peak_memory_bytes": 20, "recipe": "", "version": "1"}


def hot(p50: float, cold: tuple[float, ...] = ()) -> dict[str, Any]:
    """A round in which p99 was twice p50."""
    return {"hot": {"p50": p50, "p99": 2 * p50, "p999": 3 * p50}, "mean": p50, "cold_calls": list(cold)}


def summary(rounds: list[dict[str, Any]], refused: tuple[str, ...] = ()) -> Summary:
    """Results of M2, of the adapters that the rounds name and those that refused it."""
    names = dict.fromkeys([*(name for each in rounds for name in each), *refused])
    prepared = {name: {"M2": {"refused": "too large"} if name in refused else PREPARED} for name in names}
    taken = [{name: {"M2": answer} for name, answer in each.items()} for each in rounds]
    return Summary({"models": {"M2": {}}, "prepared": prepared, "rounds": taken})


def test_figures_are_medians_over_rounds_and_cold_calls_are_put_together() -> None:
    one = summary([{BEST: hot(1, (10.0,))}, {BEST: hot(9, (30.0, 50.0))}, {BEST: hot(2)}]).one("M2", BEST)
    assert one is not None
    assert (one.hot("p50"), one.hot("p99"), one.mean(), one.cold("p50"), one.refused) == (2, 4, 2, 30, None)
    assert one.python("p50") is None


def test_a_round_that_failed_is_left_out_and_three_are_a_refusal() -> None:
    failed = {"refused": "it ends with SIGSEGV"}
    one = summary([{BEST: failed}, {BEST: hot(5)}]).one("M2", BEST)
    assert one is not None
    assert (one.hot("p50"), one.refused) == (5, None)
    none = summary([{BEST: failed}] * 3).one("M2", BEST)
    assert none is not None
    assert (none.hot("p50"), none.refused) == (None, "it ends with SIGSEGV")


def test_a_refusal_says_why_and_an_adapter_of_other_models_is_not_there() -> None:
    found = summary([{BEST: hot(5)}], refused=("lleaves",))
    assert found.all_of("M2")["lleaves"].refused == "too large"
    assert found.one("M2", "CatBoost") is None
    assert found.one("M4", BEST) is None


@pytest.mark.parametrize(("ours_ns", "met"), [(100.0, True), (101.0, False)])
def test_a_mark_is_against_the_fastest_compiled_rival(ours_ns: float, met: bool) -> None:
    rivals = {"TL2cgen, gcc": hot(9_000), "TL2cgen, clang": hot(3_000), "Treelite GTIL": hot(50)}
    found = {(mark.what, mark.wanted): mark for mark in marks(summary([{BEST: hot(ours_ns), **rivals}]))}
    fastest = found["M2, C level hot", "≥ 30 times the fastest"]
    assert (fastest.met, fastest.found) == (met, f"{3_000 / ours_ns:.1f} times TL2cgen, clang")
    assert found["M2, C level hot", "≥ 40 times TL2cgen, gcc"].met
    assert found["M2, p99 to p50, C level hot", "≤ 1.3 times"].met is False


def test_a_mark_names_the_rivals_it_could_not_be_held_against() -> None:
    found = marks(summary([{BEST: hot(10), "TL2cgen, gcc": hot(900)}], refused=("lleaves", "YDF")))
    assert next(found).found == "90.0 times TL2cgen, gcc (no figures of lleaves)"


def test_a_mark_that_could_not_be_measured_is_neither_met_nor_missed() -> None:
    assert {mark.met for mark in marks(summary([{BEST: {"refused": "no"}}])) if mark.what.startswith("M4")} == {None}
