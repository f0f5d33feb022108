"""Whatever is done to the native engine, in whatever order, it says what the executable specification says."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

S = 1_000_000  # one second in event time

# Steps of event time that meet every boundary of the tests' windows, delays and lateness, and miss each by 1 µs.
STEPS_US = [
    *(0, 0, 0, 1, -1, S // 2, S, S, S, S - 1, S + 1, 2 * S, 3 * S, 3 * S - 1, 5 * S, 5 * S + 1, 10 * S, 10 * S - 1),
    *(15 * S, 15 * S + 1, 60 * S, -S, -2 * S, -3 * S, -3 * S - 1, -5 * S, -5 * S - 1, -20 * S),
]
START_US = [0, -7, 1_785_000_000_000_000, -(2**61) + 300 * S, 2**61 - 300 * S]
CUSTOMERS: list[list[str | int]] = [["c"], ["c", "d"], ["c", "d", 7, "7", -7, 2**80]]
WRONG: list[dict[str, Any]] = [
    *({"event_id": wrong} for wrong in (None, "", True, 2.5, b"p-1", ["p"])),
    *({"at": wrong} for wrong in (None, True, 1.5, "yesterday", 2**61 + 1, 2**70)),
    *({"customer": wrong} for wrong in (None, "", False, 1.0)),
    *({"terminal": wrong} for wrong in ("", True, 2.5)),
    *({"amount": wrong} for wrong in (None, "abc", "1.001", -1, "-0.01", math.nan, math.inf, 0.001, True, 2**62)),
    *({"risk": wrong} for wrong in ("1", math.inf, True, 10**400)),
    *({"distance": wrong} for wrong in (None, math.nan)),
    *({"foreign": wrong} for wrong in (1, "true")),
    *({"channel": wrong} for wrong in (None, "fax", 1)),
    *({"country": wrong} for wrong in (5, b"de")),
    *({"note": wrong} for wrong in (5, 1.5)),
]

cents = st.one_of(st.integers(0, 100_000), st.integers(0, 2**43))
amounts = st.one_of(
    cents.map(lambda minor: f"{minor // 100}.{minor % 100:02d}"),
    cents.map(lambda minor: minor / 100),
    cents.map(lambda minor: Decimal(minor).scaleb(-2)),
    st.integers(0, 1_000),
)
tips = st.integers(-(2**43), 2**43).map(lambda minor: Decimal(minor).scaleb(-3))
# The largest finite numbers are left out: a sum of them is infinite, and then what is left of it is not a number.
numbers = st.one_of(
    st.floats(-1e3, 1e3),
    st.floats(-1e300, 1e300),
    st.sampled_from([0.1, 1e16, -1e16, 1.0, 5e-324, -0.0, 1e300, -1e300]),
    st.integers(-(2**70), 2**70),
    st.floats(-1e3, 1e3, width=32).map(np.float32),
)


def optional(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), strategy)


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[str, dict[str, Any]]]:
    """Operations over a stream of events: mostly fresh ids and rising times, with retries, late and wrong ones."""
    at = draw(st.sampled_from(START_US))
    customers = draw(st.sampled_from(CUSTOMERS))
    fields = st.fixed_dictionaries(
        {
            "customer": st.sampled_from(customers),
            "amount": amounts,
            "distance": numbers,
            "present": st.booleans(),
            "channel": st.sampled_from(["web", "app", "pos"]),
        },
        optional={
            "terminal": optional(st.sampled_from(["c", "t", 0])),
            "tip": optional(tips),
            "cents": optional(cents),
            "risk": optional(st.one_of(numbers, st.just(math.nan))),
            "foreign": optional(st.one_of(st.booleans(), st.just(np.True_))),
            "country": optional(st.sampled_from(["de", "fr", "xx", ""])),
            "note": optional(st.just("note")),
            "undeclared": st.just(object()),
        },
    )
    history: list[tuple[str, dict[str, Any]]] = []
    for number in range(draw(st.integers(1, 25))):
        at = max(-(2**61), min(2**61, at + draw(st.sampled_from(STEPS_US))))
        event = {"event_id": draw(st.sampled_from([number] * 6 + [number - 1, number - 2, str(number - 3)])), "at": at}
        event.update(draw(fields))
        if draw(st.integers(0, 11)) == 11:
            event.update(draw(st.sampled_from(WRONG)))
        history.append((draw(st.sampled_from(["decide", "decide", "observe", "observe", "score"])), event))
    return history


@pytest.mark.parametrize(
    "name", ["windows", "spreads", "lifetimes", "brief_lifetimes", "forgetful", "tight", "deciding"]
)
@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate, Phase.target],  # a failing history is as long as it is, but soon told
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(history=histories())
def test_any_history_gives_what_the_specification_gives(
    new_pair: Callable[[str], Any], name: str, history: list[tuple[str, dict[str, Any]]]
) -> None:
    pair = new_pair(name)
    for operation, event in history:
        # Only a decision or an observation updates; a bundle of features alone cannot decide.
        pair.tell("observe" if operation == "decide" and not pair.decides else operation, event)


def test_every_short_history_of_a_full_ring(new_pair: Callable[[str], Any]) -> None:
    """Ties, late rows and rows that are just out of reach, in every order of five, over a ring of three."""
    pair = new_pair("tight")
    # 15 s is the lateness and the longest delay and window together: exactly there a row leaves the ring for good.
    steps_us = (0, S, -S, -3 * S, 15 * S)
    for history, steps in enumerate(itertools.product(steps_us, repeat=5)):
        at = 0
        for number, step_us in enumerate(steps):
            at += step_us
            event = {
                "event_id": f"{history}-{number}",
                "at": at,
                "customer": history,
                "amount": 2**number,  # every set of rows has a sum of its own
                "distance": 0,
                "present": False,
                "channel": "web",
            }
            pair.tell("observe", event)


def test_every_short_history_of_a_full_memory_of_ids(new_pair: Callable[[str], Any]) -> None:
    """Late and capped events' ids are remembered like any other; the oldest of three is forgotten for a fourth."""
    pair = new_pair("tight")
    moves = tuple(itertools.product("abcd", (0, -4 * S)))  # an id, in order or too late
    for history, moved in enumerate(itertools.product(moves, repeat=4)):
        for name, step_us in (("a", 0), ("b", 0), *moved):
            event = {
                "event_id": f"{history}-{name}",
                "at": step_us,
                "customer": history,
                "amount": 1,
                "distance": 0,
                "present": False,
                "channel": "web",
            }
            assert pair.native.observe(event) == pair.reference.observe(event)
        pair.compare_features({**event, "event_id": "next", "at": S})


@pytest.mark.parametrize(
    ("name", "events"), [("windows", 3_000), ("spreads", 700), ("lifetimes", 700), ("brief_lifetimes", 700)]
)
def test_a_long_history_of_one_key_keeps_its_sums(new_pair: Callable[[str], Any], name: str, events: int) -> None:
    """Thousands of rows enter and leave while values of very different sizes come and go: sums must not drift."""
    pair = new_pair(name)
    rng = np.random.default_rng(5)
    at = 0
    for number in range(events):
        at += int(rng.choice([0, 1, S // 20, S // 10]))
        late_us = int(rng.choice([0, 0, 0, 0, S, 4 * S]))
        event = {
            "event_id": number,
            "at": at - late_us,
            "customer": "c",
            "terminal": "t",
            "amount": int(rng.integers(0, 10**6)),
            "distance": float(rng.normal() * 10.0 ** rng.integers(-8, 16)),
            "present": True,
            "channel": "web",
        }
        if number % 20 == 0:
            pair.tell("observe", event)
        else:
            assert pair.native.observe(event) == pair.reference.observe(event)
