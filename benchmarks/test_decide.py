"""One decision: dict in, Decision out, beside the same work hand-written in Python around XGBoost."""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost
from benchmarks.rivals.python_windows import PythonWindows
from benchmarks.workload import payments

import quickthorn as qt
from quickthorn.lifecycle import SWEEP_BYTES, timed

WARM_EVENTS = 2_000


def test_decisions_agree_with_the_rival(workload: tuple[Path, xgboost.Booster]) -> None:
    path, model = workload
    engine, rival = qt.Engine.load(path, allow_unsigned=True), PythonWindows(model)
    for event in payments(1_500, seed=1):
        decision = engine.decide(event)
        assert decision.status == "ok"
        assert decision.score == pytest.approx(rival.decide(event), rel=4e-6)


def test_decide_from_a_dict(
    benchmark: Any, workload: tuple[Path, xgboost.Booster], latencies: Any, events_count: int
) -> None:
    engine = qt.Engine.load(workload[0], allow_unsigned=True)
    events = payments(events_count + WARM_EVENTS, seed=2)
    timed(engine.decide, events[:WARM_EVENTS])
    latencies("decide, dict of 12 fields, hot", timed(engine.decide, events[WARM_EVENTS:]))
    fresh = cycle(payments(max(events_count // 4, 100), seed=3))
    assert benchmark(lambda: engine.decide(next(fresh))).outcome in ("approve", "review", "decline")


def test_decide_after_the_caches_were_swept(
    benchmark: Any, workload: tuple[Path, xgboost.Booster], latencies: Any, events_count: int
) -> None:
    engine = qt.Engine.load(workload[0], allow_unsigned=True)
    events = payments(events_count // 100 + WARM_EVENTS, seed=4)
    timed(engine.decide, events[:WARM_EVENTS])
    other = np.zeros(SWEEP_BYTES // 8)
    latencies("decide, after sweeping 64 MiB", timed(engine.decide, events[WARM_EVENTS:], before=other.sum))
    benchmark.pedantic(engine.decide, args=(events[-1],), setup=lambda: other.sum() and None, rounds=5)


def test_decide_from_json(
    benchmark: Any, workload: tuple[Path, xgboost.Booster], latencies: Any, events_count: int
) -> None:
    import msgspec

    engine = qt.Engine.load(workload[0], allow_unsigned=True)
    events = [msgspec.json.encode(event) for event in payments(events_count // 4 + WARM_EVENTS, seed=5)]
    timed(engine.decide, events[:WARM_EVENTS])
    latencies("decide, JSON bytes of 12 fields, hot", timed(engine.decide, events[WARM_EVENTS:]))
    assert benchmark(engine.decide, events[-1]).status == "duplicate"


def test_the_same_by_hand_in_python(
    benchmark: Any, workload: tuple[Path, xgboost.Booster], latencies: Any, events_count: int
) -> None:
    rival = PythonWindows(workload[1])
    events = payments(events_count // 20 + WARM_EVENTS, seed=6)
    timed(rival.decide, events[:WARM_EVENTS])
    latencies("rival: Python windows + inplace_predict, hot", timed(rival.decide, events[WARM_EVENTS:]))
    assert 0 <= benchmark(rival.decide, events[-1]) <= 1


def test_decide_and_the_rival_in_turns(
    workload: tuple[Path, xgboost.Booster], figure: Callable[[str], None], events_count: int
) -> None:
    engine, rival = qt.Engine.load(workload[0], allow_unsigned=True), PythonWindows(workload[1])
    events = payments(max(events_count // 20, 200), seed=7)
    ours: list[int] = []
    theirs: list[int] = []
    for first in range(0, len(events), 100):
        ours += timed(engine.decide, events[first : first + 100])
        theirs += timed(rival.decide, events[first : first + 100])
    assert len(ours) == len(theirs) == len(events)
    figure(f"in turns of 100 calls: the rival's median is {np.median(theirs) / np.median(ours):.0f} times decide's")
