"""Golden events at load: one thing that the engine says otherwise than the bundle, and it is not loaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import xgboost
from tests.serving.conftest import payment_features

import quickthorn as qt
from quickthorn.bundle import Bundle, read_bundle, write_bundle
from quickthorn.bundle.golden_events import GoldenDecision, GoldenStep, decode_lines, encode_lines
from quickthorn.compiling import compile_bundle
from quickthorn.decision import Exploration, Fallback, Policy, ReasonCode, ReasonMap, Rule, Thresholds
from quickthorn.errors import BundleError

EVENTS, FEATURES, DECISIONS = "golden/events.jsonl", "golden/event_features.f64", "golden/decisions.jsonl"
Altered = Callable[[str, bytes], Path]


@pytest.fixture(scope="module")
def proven(model: xgboost.Booster, level: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with rules, exploration and reasons."""
    path = tmp_path_factory.mktemp("golden") / "fraud.qt"
    reasons = ReasonMap(
        population="payments",
        reason=(
            ReasonCode(code="R1", text="The amount is unusual", features=("amount",)),
            ReasonCode(code="R2", text="Another customer than before", features=("count", "mean")),
        ),
    )
    policy = Policy(
        thresholds=Thresholds(least={"review": 0.3, "decline": 0.8}),
        fallback=Fallback(invalid="review", late="step_up"),
        block=(Rule(name="large", when="amount > 250"),),
        exploration=Exploration(share=0.25, outcome="approve", of=("review", "decline"), seed=3),
        reasons="always",
    )
    compile_bundle(features=payment_features(), model=model, policy=policy, reasons=reasons, output=path, target=level)
    return path


@pytest.fixture
def altered(proven: Path, tmp_path: Path) -> Altered:
    """The bundle with other bytes in one member, its digests in order."""

    def write(member: str, content: bytes) -> Path:
        honest = read_bundle(proven)
        members = {name: bytes(held) for name, held in honest.members.items()}
        assert members[member] != content
        write_bundle(tmp_path / "lying.qt", honest.manifest, {**members, member: content})
        return tmp_path / "lying.qt"

    return write


def decisions_of(bundle: Bundle) -> list[GoldenDecision]:
    return decode_lines(bundle.members[DECISIONS], GoldenDecision, DECISIONS)


def test_events_are_decided_in_every_way_there_is(proven: Path) -> None:
    decisions = decisions_of(read_bundle(proven))
    assert len(decisions) == 256
    assert {"ok", "late", "duplicate", "invalid"} == {one.status for one in decisions}
    assert {"approve", "step_up", "review", "decline"} == {one.outcome for one in decisions}
    assert {"large", "exploration", "fallback", None} == {one.rule for one in decisions}
    assert {"R1", "R2"} == {code for one in decisions for code in one.reasons or ()}
    assert sum(one.reasons is None for one in decisions) < 64


def test_what_is_replayed_leaves_nothing_behind(proven: Path) -> None:
    engine = qt.Engine.load(proven, allow_unsigned=True)
    assert {name: count for name, count in engine.counters().items() if count} == {}
    assert engine.features({"event_id": 1, "at": 2, "customer": "customer-1", "amount": 3})["count"] == 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"outcome": "step_up"}, "expected outcome 'step_up', found 'approve'"),
        ({"rule": "large"}, "expected rule 'large', found None"),
        ({"propensity": 0.5}, "expected propensity 0.5, found "),
        ({"status": "late"}, "expected status 'late', found 'ok'"),
        ({"margin": 9.0}, "expected margin 9.0, found "),
        ({"score": 0.999}, "expected score 0.999, found "),
        ({"aligned_score": 999}, "expected aligned score 999, found "),
        ({"reasons": ("R3",)}, r"expected reasons \('R3',\), found \("),
    ],
)
def test_a_decision_that_differs_in_one_thing_is_refused(
    proven: Path, altered: Altered, change: dict[str, Any], message: str
) -> None:
    decisions = decisions_of(read_bundle(proven))
    number = next(
        n for n, one in enumerate(decisions) if one.outcome == "approve" and one.rule is None and one.status == "ok"
    )
    decisions[number] = msgspec.structs.replace(decisions[number], **change)
    with pytest.raises(BundleError, match=rf"lying\.qt: golden event {number} \(\{{.*\}}\): {message}") as caught:
        qt.Engine.load(altered(DECISIONS, encode_lines(decisions)), allow_unsigned=True)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("factor", [1 + 4e-9, 1 - 4e-9])
def test_a_feature_that_differs_by_more_than_its_tolerance_is_refused(
    proven: Path, altered: Altered, factor: float
) -> None:
    rows = np.frombuffer(read_bundle(proven).members[FEATURES]).reshape(256, 3).copy()
    number = int(np.flatnonzero(rows[:, 2] > 0.0)[9])
    rows[number, 2] *= factor
    with pytest.raises(BundleError, match=rf"golden event {number} .*: expected feature mean .*, found "):
        qt.Engine.load(altered(FEATURES, rows.tobytes()), allow_unsigned=True)
    rows[number, 2] /= factor
    rows[number, 2] *= 1 + 4e-10
    qt.Engine.load(altered(FEATURES, rows.tobytes()), allow_unsigned=True)


def test_an_event_that_was_not_the_one_is_refused(proven: Path, altered: Altered) -> None:
    steps = decode_lines(read_bundle(proven).members[EVENTS], GoldenStep, EVENTS)
    event = msgspec.json.decode(steps[3].event)
    event["amount"] = "1.23"
    changed = [*steps[:3], GoldenStep(event=msgspec.Raw(msgspec.json.encode(event))), *steps[4:]]
    with pytest.raises(BundleError, match=r"golden event 3 .*: expected feature amount .*, found 1\.23"):
        qt.Engine.load(altered(EVENTS, encode_lines(changed)), allow_unsigned=True)


@pytest.mark.parametrize(
    ("member", "change", "message"),
    [
        (EVENTS, lambda lines: lines[:-1], "golden events: expected 256, found 255"),
        (EVENTS, lambda lines: [*lines, lines[0]], "golden events: expected 256, found more"),
        (EVENTS, lambda lines: [b"[]", *lines], f"member {EVENTS}: Expected `object`, got `array`"),
        (EVENTS, lambda lines: [b'{"label":["nobody",true,1]}', *lines], "golden event 0: label: expected a bundle"),
        (EVENTS, lambda lines: [b'{"signal":["A","k",{},1]}', *lines], "golden event 0: signal: expected a source"),
        (EVENTS, lambda lines: [b"{}", *lines], "golden event 0"),
        (DECISIONS, lambda lines: lines[:-1], "golden events: expected 255, found more"),
        (DECISIONS, lambda lines: [*lines, b"{"], f"member {DECISIONS}: "),
        (DECISIONS, lambda lines: [*lines, b'{"status":"ok","why":1}'], "unknown field `why`"),
    ],
)
def test_lines_that_are_missing_or_malformed_are_refused(
    proven: Path, altered: Altered, member: str, change: Callable[[list[bytes]], list[bytes]], message: str
) -> None:
    lines = bytes(read_bundle(proven).members[member]).splitlines()
    with pytest.raises(BundleError) as caught:
        qt.Engine.load(altered(member, b"".join(line + b"\n" for line in change(lines))), allow_unsigned=True)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
