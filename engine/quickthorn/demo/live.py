"""Deciding a stretch of the stream live: one event at a time, as a dict, each decision timed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from quickthorn.demo.progress import Advance
from quickthorn.demo.stream import EVENT_COLUMNS

if TYPE_CHECKING:
    import pyarrow as pa

    from quickthorn.serving import Engine

BATCH_EVENTS = 2_000


@dataclass(frozen=True)
class LiveDecisions:
    """What the engine said about each live payment, in order; the arrays have shape (n,).

    `scores` is float64 in 0..1, `margins` the forest's, `outcomes` strings, `latency_us` float64 microseconds from the
    call to its return. `statuses` counts decisions by status, `first_reasons` those that had reasons by the code of the
    one that weighed most.
    """

    scores: npt.NDArray[np.float64]
    margins: npt.NDArray[np.float64]
    outcomes: npt.NDArray[np.str_]
    latency_us: npt.NDArray[np.float64]
    statuses: dict[str, int]
    first_reasons: dict[str, int]


def warm_windows(engine: Engine, history: pa.Table, advance: Advance) -> None:
    """Let the engine observe what came before the live stretch, so that its windows stand as they would in service."""
    for first in range(0, history.num_rows, 20_000):
        part = history.slice(first, 20_000)
        engine.observe_batch(part)
        advance(part.num_rows)


def decide_live(engine: Engine, stretch: pa.Table, advance: Advance) -> LiveDecisions:
    """Decide every payment of `stretch` one by one."""
    n = stretch.num_rows
    scores, margins = np.empty(n), np.empty(n)
    latency_ns = np.empty(n, dtype=np.int64)
    outcomes: list[str] = []
    statuses: Counter[str] = Counter()
    first_reasons: Counter[str] = Counter()
    decide, clock_ns = engine.decide, time.perf_counter_ns
    row = 0
    for events in _dict_batches(stretch):
        for event in events:
            called_ns = clock_ns()
            decision = decide(event)
            latency_ns[row] = clock_ns() - called_ns
            scores[row], margins[row] = decision.score, decision.margin
            outcomes.append(str(decision.outcome))
            statuses[str(decision.status)] += 1
            if decision.reasons:
                first_reasons[decision.reasons[0].code] += 1
            row += 1
        advance(len(events))
    return LiveDecisions(
        scores, margins, np.array(outcomes, dtype=np.str_), latency_ns / 1e3, dict(statuses), dict(first_reasons)
    )


def _dict_batches(stretch: pa.Table) -> Iterator[list[dict[str, Any]]]:
    """The events as a service holds them: dicts of plain values, the event time as int microseconds."""
    events = stretch.select(EVENT_COLUMNS)
    events = events.set_column(1, "at", events["at"].cast("int64"))
    for first in range(0, events.num_rows, BATCH_EVENTS):
        yield events.slice(first, BATCH_EVENTS).to_pylist()
