"""What happens at the limits of memory: counted, visible, and never the end of the engine."""

from __future__ import annotations

from collections.abc import Callable

import quickthorn as qt

from .conftest import START_US


def event(row: int, customer: str) -> dict[str, object]:
    return {"event_id": f"p-{row}", "at": START_US + row, "customer": customer, "amount": "1.00"}


def test_no_more_keys_is_capped_and_counted(load: Callable[..., qt.Engine]) -> None:
    engine = load(max_keys=3)
    statuses = [engine.decide(event(row, f"c-{row}")).status for row in range(5)]
    assert statuses == ["ok", "ok", "ok", "capped", "capped"]
    assert (engine.counters()["out_of_space"], engine.counters()["keys"]) == (2, 3)
    assert engine.decide(event(9, "c-0")).status == "ok"
    assert engine.features(event(10, "c-0"))["count"] == 3.0


def test_no_more_room_for_history_is_capped_and_counted(load: Callable[..., qt.Engine]) -> None:
    engine = load(max_history_bytes=64)
    statuses = [engine.decide(event(row, "c")).status for row in range(6)]
    assert statuses == ["ok"] * 4 + ["capped"] * 2
    assert engine.features(event(9, "c"))["count"] == 5.0
    # A day and a week later the old rows have left, and there is room again.
    week_us = 8 * 86_400_000_000
    assert engine.decide({**event(10, "c"), "at": START_US + week_us}).status == "ok"


def test_counters_say_what_happened(load: Callable[..., qt.Engine]) -> None:
    engine = load()
    engine.decide(event(1, "c"))
    engine.decide(event(1, "c"))
    engine.score(event(2, "c"))
    engine.observe(event(3, "c"))
    engine.observe({**event(4, "c"), "at": START_US})
    engine.observe({**event(5, "c"), "at": START_US - 7_200_000_000})
    engine.decide("not an event")
    counters = engine.counters()
    assert counters == {
        "decided": 2,
        "scored": 1,
        "observed": 3,
        "signals": 0,
        "signals_late": 0,
        "invalid": 1,
        "duplicates": 1,
        "late_in_place": 1,
        "late_left_out": 1,
        "over_row_limit": 0,
        "over_cap": 0,
        "reclaimed_keys": 0,
        "out_of_space": 0,
        "labels": 0,
        "unknown_labels": 0,
        "remembered_ids": 4,
        "keys": 1,
        "history_bytes": 64,
    }
