"""Labels told at any time and in any order give what the executable specification gives, and the same when replayed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.engine.test_engine_parity import START_US, STEPS_US

S = 1_000_000
TIME_LIMIT_US = 2**61
WRONG: list[tuple[Any, Any, Any]] = [
    *((wrong, True, 0) for wrong in (None, "", 1.5, True, b"1", [1])),
    *((0, wrong, 0) for wrong in (None, 0, 1, 1.0, "true", "")),
    *((0, True, wrong) for wrong in (None, True, 1.5, "yesterday", 2**61 + 1, -(2**61) - 1, 2**70)),
]


def held(at: int) -> int:
    return max(-TIME_LIMIT_US, min(TIME_LIMIT_US, at))


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[str, Any]]:
    """Events, readings and labels: of ids old and new, available before and after their event and all that is read."""
    at = draw(st.sampled_from(START_US))
    times = {0: at}
    history: list[tuple[str, Any]] = []
    fields = st.fixed_dictionaries(
        {
            "customer": st.sampled_from(["c", "c", "c", "d"]),
            "terminal": st.sampled_from(["t", "t", "u", None]),
            "amount": st.integers(0, 1_000),
            "foreign": st.sampled_from([True, False, None]),
            "distance": st.just(0),
            "present": st.just(True),
            "channel": st.just("web"),
        }
    )
    for number in range(draw(st.integers(2, 30))):
        kind = draw(st.sampled_from(["observe", "observe", "label", "label", "read"]))
        if kind == "label":
            event_id = draw(st.sampled_from([*times, number]))
            base = draw(st.sampled_from([at, at, times.get(event_id, at), times.get(event_id, at), -TIME_LIMIT_US]))
            label = (event_id, draw(st.booleans()), held(base + draw(st.sampled_from(STEPS_US))))
            history.append((kind, draw(st.sampled_from(WRONG)) if draw(st.integers(0, 15)) == 15 else label))
            continue
        moment = held(at + draw(st.sampled_from(STEPS_US)))
        event = {"event_id": draw(st.sampled_from([number] * 5 + [number - 1, number - 2])), "at": moment}
        event.update(draw(fields))
        history.append((kind, event))
        if kind == "observe":
            at = moment
            times.setdefault(event["event_id"], moment)
    return history


@pytest.mark.parametrize("name", ["risks", "brief_risks"])
@settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate, Phase.target],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(history=histories())
def test_any_history_with_labels_gives_what_the_specification_gives(
    new_pair: Callable[[str], Any], name: str, history: list[tuple[str, Any]]
) -> None:
    pair = new_pair(name)
    for kind, told in history:
        if kind == "label":
            pair.label(*told)
        else:
            pair.tell(kind, told)
    latest = max((told["at"] for kind, told in history if kind != "label"), default=0)
    for step_us in (0, 1, S, 5 * S, 10 * S):
        last = {"event_id": "last", "customer": "c", "terminal": "t", "amount": 0, "distance": 0, "present": True}
        pair.compare_features({**last, "channel": "web", "at": held(latest + step_us)})
