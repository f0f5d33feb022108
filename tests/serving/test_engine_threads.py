"""Single decisions and batches from several threads: nothing lost, nothing counted twice."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

import quickthorn as qt

from .conftest import START_US, payments


def run_all(*targets: Callable[[], Any]) -> None:
    threads = [threading.Thread(target=target) for target in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
        assert not thread.is_alive()


def test_decisions_and_batches_at_once_lose_nothing(load: Callable[..., qt.Engine]) -> None:
    engine = load(max_keys=100)
    singles = [payments(400, seed=seed) for seed in (1, 2)]
    batches = [pa.Table.from_pylist(payments(2_000, seed=seed)) for seed in (3, 4)]
    run_all(
        *(lambda events=events: [engine.decide(event) for event in events] for events in singles),
        *(lambda table=table: engine.decide_batch(table) for table in batches),
    )
    counters = engine.counters()
    assert counters["decided"] == 4_800
    assert (counters["invalid"], counters["duplicates"]) == (0, 0)


def test_an_event_whose_own_code_lets_others_in_is_read_whole(load: Callable[..., qt.Engine]) -> None:
    engine = load()

    class Slow:
        """Between two of its fields, another event is decided on the same engine."""

        def __init__(self, row: int) -> None:
            self.event_id = f"slow-{row}"
            self.customer = "slow"
            self.amount = "1.00"
            self.row = row

        @property
        def at(self) -> datetime:
            inner = engine.decide({"event_id": f"in-{self.row}", "at": START_US, "customer": "in", "amount": "9.00"})
            assert inner.status == "ok"
            return datetime.fromtimestamp(START_US / 1e6, UTC)

    for row in range(5):
        assert engine.decide(Slow(row)).status == "ok"
    later = {"event_id": "x", "at": START_US + 1, "customer": "slow", "amount": "1.00"}
    assert engine.features(later)["mean"] == 1.0
    assert engine.features({**later, "customer": "in"})["mean"] == 9.0
