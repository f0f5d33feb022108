"""A latency suite for a bundle, to be imported into a test file of the repository that makes it:

    from quickthorn.latency_suite import *

It needs pytest-benchmark, and ``pytest --quickthorn-bundle fraud.qt``. Every call decides another event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from quickthorn.lifecycle import SWEEP_BYTES, deciding

if TYPE_CHECKING:
    from quickthorn.lifecycle import Budget, Percentiles
    from quickthorn.serving import Engine

__all__ = ["quickthorn_stream", "test_decide_cold", "test_decide_hot"]

Keep = Callable[[str, Any], "Percentiles | None"]

_WARM_CALLS, _HOT_CALLS, _COLD_CALLS = 2_000, 10_000, 300


@pytest.fixture(scope="session")
def quickthorn_stream(quickthorn_events: list[Any]) -> Iterator[Any]:
    """The events, each once."""
    return iter(quickthorn_events)


def test_decide_hot(
    benchmark: Any,
    quickthorn_engine: Engine,
    quickthorn_stream: Iterator[Any],
    quickthorn_budget: Budget,
    quickthorn_latency: Keep,
) -> None:
    """One decision after the other."""
    call = deciding(quickthorn_engine)
    for event in islice(quickthorn_stream, _WARM_CALLS):
        call(event)
    _measure(benchmark, call, quickthorn_stream, _HOT_CALLS)
    _hold(quickthorn_latency("decide, hot", benchmark), "hot", quickthorn_budget)


def test_decide_cold(
    benchmark: Any,
    quickthorn_engine: Engine,
    quickthorn_stream: Iterator[Any],
    quickthorn_budget: Budget,
    quickthorn_latency: Keep,
) -> None:
    """Every decision after 64 MiB of other memory was read."""
    other = np.zeros(SWEEP_BYTES // 8)
    _measure(benchmark, deciding(quickthorn_engine), quickthorn_stream, _COLD_CALLS, other.sum)
    _hold(quickthorn_latency("decide, 64 MiB swept", benchmark), "cold", quickthorn_budget)


def _measure(
    benchmark: Any,
    call: Callable[[Any], Any],
    stream: Iterator[Any],
    calls: int,
    before: Callable[[], Any] | None = None,
) -> None:
    # Taken now, so that no call waits for an event to be made.
    events = list(islice(stream, calls))
    if not events:
        pytest.fail("expected more events than were given: the stream is at its end", pytrace=False)
    waiting = iter(events)

    def setup() -> tuple[tuple[Any], dict[str, Any]]:
        event = next(waiting)
        if before is not None:
            before()
        return (event,), {}

    benchmark.pedantic(call, setup=setup, rounds=len(events), iterations=1)


def _hold(found: Percentiles | None, state: str, budget: Budget) -> None:
    broken = budget.broken(state, found) if found is not None else ()
    if broken:
        pytest.fail("; ".join(broken), pytrace=False)
