"""Saving what an engine remembers: how long decisions wait for it, and how long the file takes."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import quickthorn as qt
from quickthorn.compiling import compile_bundle

CUSTOMERS = {"smoke": 2_000, "full": 400_000}


class Payment(qt.Event):
    event_id: qt.Id
    at: qt.EventTime
    customer: qt.Entity
    amount: qt.Money = qt.field(minor_units=True)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    features = qt.FeatureSet(Payment)
    for over in ("1h", "1d", "30d"):
        features[f"count_{over}"] = qt.count(by=Payment.customer, over=over)
        features[f"mean_{over}"] = qt.mean(Payment.amount, by=Payment.customer, over=over)
    path = tmp_path_factory.mktemp("state") / "payments.qt"
    compile_bundle(features=features, output=path)
    return path


def test_save_while_deciding(benchmark: Any, bundle: Path, tmp_path: Path, figure: Any) -> None:
    """One thread observes while another saves; its longest wait is the pause that saving makes."""
    customers = CUSTOMERS["smoke" if benchmark.disabled else "full"]
    engine: Any = qt.Engine.load(bundle, hash_key=bytes(16), allow_unsigned=True)
    for round_ in range(3):
        numbers = np.arange(customers)
        at = pa.array((numbers + round_ * customers) * 1000)
        ids = pa.array(numbers + round_ * customers)
        engine.observe_batch(
            pa.table({"event_id": ids, "at": at, "customer": numbers.astype(str), "amount": numbers % 1000})
        )
    over, waits = threading.Event(), []

    def observe() -> None:
        number = 3 * customers
        while not over.is_set():
            event = {"event_id": number, "at": number * 1000, "customer": str(number * 7919 % customers), "amount": 5}
            start = time.perf_counter()
            engine.observe(event)
            waits.append(time.perf_counter() - start)
            number += 1

    running = threading.Thread(target=observe)
    running.start()
    try:
        benchmark.pedantic(engine.save_state, args=(tmp_path / "engine.state",), rounds=3)
    finally:
        over.set()
        running.join()
    start = time.perf_counter()
    other = qt.Engine.load(bundle, hash_key=bytes(16), state=tmp_path / "engine.state", allow_unsigned=True)
    restored_s = time.perf_counter() - start
    assert 3 * customers <= other.counters()["observed"] <= engine.counters()["observed"]
    size_mb = (tmp_path / "engine.state").stat().st_size / 1e6
    longest = sorted(waits)[-3:]
    figure(
        f"a state of {size_mb:.0f} MB, restored in {restored_s:.2f} s; events meanwhile: p50 "
        f"{np.median(waits) * 1e6:.1f} µs, p99.9 {np.quantile(waits, 0.999) * 1e6:.0f} µs, longest "
        f"{', '.join(f'{wait * 1e3:.1f}' for wait in longest)} ms over three saves"
    )
