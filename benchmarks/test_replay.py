"""Replay: features of a whole stream, read and updated event by event, on one core."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import xgboost
from benchmarks.rivals.python_windows import PythonWindows
from benchmarks.workload import payments

import quickthorn as qt
from quickthorn.replay import replay


def test_replay_of_an_arrow_table(
    benchmark: Any, workload: tuple[Path, xgboost.Booster], figure: Callable[[str], None], events_count: int
) -> None:
    path, model = workload
    events = pa.Table.from_pylist(payments(events_count, seed=8))
    rival = PythonWindows(model)
    expected = np.vstack([rival.features(event) for event in events.slice(0, 1_000).to_pylist()])

    def fresh_engine() -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (qt.Engine.load(path, allow_unsigned=True), events), {}

    replayed = benchmark.pedantic(replay, setup=fresh_engine, rounds=5)
    names = [name for name in replayed.column_names if name not in ("event_id", "at", "status")]
    found = np.column_stack([replayed[name][:1_000].to_numpy() for name in names])
    np.testing.assert_allclose(found, expected, rtol=1e-15)

    (engine, _), _ = fresh_engine()
    start_ns = time.perf_counter_ns()
    replay(engine, events)
    seconds = (time.perf_counter_ns() - start_ns) / 1e9
    figure(f"replay: {events.num_rows / seconds:,.0f} events/s, features of every event kept, one core")
