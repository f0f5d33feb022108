"""What is measured of one adapter and one model in one process: C level hot and cold, one row from Python, batches."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from benchmarks.rivals.adapter import Adapter, Loaded, ModelFiles, Refused
from benchmarks.rivals.native_code import RowTimer

WARM_ROWS = 200
BATCHES = (1, 100, 10_000)


@dataclass(frozen=True)
class Effort:
    """How long to measure each thing, 0 being not at all, and how many answers to check beforehand."""

    hot_s: float
    cold_rows: int
    python_s: float
    batch_s: float
    checked_rows: int
    hot_rows_least: int = 2_000


def measure(adapter: Adapter, model: ModelFiles, folder: Path, effort: Effort, timer_folder: Path) -> dict[str, Any]:
    """Nanoseconds: `hot` and `python` percentiles, `mean`, cold calls, `batch` by size; Refused if answers differ."""
    loaded = adapter.load(model, folder)
    timer = RowTimer(timer_folder)
    rows = model.rows()
    found: dict[str, Any] = {"largest_difference": check(adapter, model, loaded, timer, effort.checked_rows)}
    if loaded.native is not None:
        found |= _native(timer, loaded, effort)
    if loaded.one_row is not None and effort.python_s:
        forms = [loaded.row_form(rows[number : number + 1]) for number in range(min(len(rows), 20_000))]
        found["python"] = _python(loaded.one_row, forms, effort.python_s)
    if loaded.batch is not None and effort.batch_s:
        found["batch"] = {
            str(size): _batch(loaded.batch, rows, size, effort.batch_s) for size in BATCHES if size <= len(rows)
        }
    return found


def check(adapter: Adapter, model: ModelFiles, loaded: Loaded, timer: RowTimer, count: int) -> dict[str, float]:
    """The largest difference from the source library's margins and scores of `count` rows; Refused beyond tolerance.

    Where margins have to be equal, those of every row are compared.
    """
    rows, margins = model.rows(), model.margins()
    few = rows[: min(count, 100)]
    answers: list[tuple[str, Any]] = []
    if loaded.native is not None:
        taken = loaded.native.rows if adapter.tolerance == 0 else loaded.native.rows[:count]
        answers.append(("margin", timer.answers(loaded.native, taken)))
    kind = "score" if loaded.scores else "margin"
    if loaded.batch is not None:
        answers.append((kind, loaded.batch(rows[:count])))
    if loaded.one_row is not None:
        forms = [loaded.row_form(row[None]) for row in few]
        answers.append((kind, [np.asarray(loaded.one_row(form)).reshape(-1)[0] for form in forms]))
    largest: dict[str, float] = {}
    for kind, answer in answers:
        given = np.asarray(answer, dtype=np.float64).reshape(-1)
        margin = margins[: len(given)]
        wanted = 1 / (1 + np.exp(-margin)) if kind == "score" else margin
        difference = np.abs(given - wanted) / (1 + np.abs(margin))
        # Nobody says how a link is rounded: scores are held to float32's precision where margins are held to every bit.
        if not np.all(difference <= (max(adapter.tolerance, 1e-6) if kind == "score" else adapter.tolerance)):
            raise Refused(f"its answers differ from the source library's by up to {np.max(difference):.2g}")
        largest[kind] = max(largest.get(kind, 0.0), float(np.max(difference)))
    return largest


def percentiles(taken_ns: npt.NDArray[np.float64]) -> dict[str, float]:
    """p50, p99 and p99.9 of single calls, and how many there were."""
    p50, p99, p999 = (float(value) for value in np.percentile(taken_ns, [50, 99, 99.9]))
    return {"p50": p50, "p99": p99, "p999": p999, "calls": len(taken_ns)}


def _native(timer: RowTimer, loaded: Loaded, effort: Effort) -> dict[str, Any]:
    call = loaded.native
    assert call is not None
    timer.answers(call, call.rows[:WARM_ROWS])
    expected_ns = max(timer.mean_ns(call, call.rows[:WARM_ROWS]), 1.0)
    count = int(np.clip(effort.hot_s * 1e9 / expected_ns, min(effort.hot_rows_least, len(call.rows)), len(call.rows)))
    passes = int(np.clip(effort.hot_s * 1e9 / (expected_ns * count), 1, 20))
    hot = [timer.hot_ns(call, call.rows[:count]) for _ in range(passes)]
    means = [timer.mean_ns(call, call.rows[:count]) for _ in range(passes)]
    found: dict[str, Any] = {
        # The median pass: another process may have been in the way of any one of them.
        "hot": {name: float(np.median([percentiles(each)[name] for each in hot])) for name in ("p50", "p99", "p999")},
        "mean": float(np.median(means)),
        "clock": {"empty_ns": timer.empty_ns, "step_ns": timer.step_ns},
    }
    if effort.cold_rows:
        found["cold_calls"] = [round(taken, 1) for taken in timer.cold_ns(call, call.rows[: effort.cold_rows])]
    return found


def _python(call: Callable[[Any], Any], forms: list[Any], seconds: float) -> dict[str, float]:
    clock = time.perf_counter_ns
    for form in forms[:WARM_ROWS]:
        call(form)
    empty = np.array([-(clock() - clock()) for _ in range(2_000)])
    begun, taken = clock(), []
    while not taken or clock() - begun < seconds * 1e9:
        for form in forms:
            start = clock()
            call(form)
            taken.append(clock() - start)
            if taken[-1] > 20_000 and clock() - begun > seconds * 1e9:
                break
    return percentiles(np.maximum(np.array(taken, dtype=np.float64) - float(np.median(empty)), 0.0))


def _batch(call: Callable[[Any], Any], rows: npt.NDArray[np.float32], size: int, seconds: float) -> float:
    """Nanoseconds per row: the median over calls with one slice of the rows after the other.

    Processor time, which is that of one thread: a batch is long enough for others to get in its way.
    """
    clock = time.process_time_ns
    empty_ns = float(np.median([-(clock() - clock()) for _ in range(200)]))
    starts = range(0, len(rows) - size + 1, size)
    slices = [rows[start : start + size] for start in starts[:200]]
    if len(slices) > 1:
        call(slices[-1])
    begun, taken = time.perf_counter(), []
    while len(taken) < 3 or time.perf_counter() - begun < seconds:
        for part in slices:
            start_ns = clock()
            call(part)
            taken.append(max(clock() - start_ns - empty_ns, 0.0) / size)
            if time.perf_counter() - begun > seconds and len(taken) >= 3:
                break
        if time.perf_counter() - begun > 10 * seconds:
            break
    return float(np.median(taken))
