"""A policy's rules, caps, segments, losses and chances: natively what the slow reference says."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import xgboost
from hypothesis import HealthCheck, Phase, given, settings, strategies

import quickthorn as qt
from quickthorn.compiling import compile_bundle
from quickthorn.decision import Cap, ExpectedLoss, Exploration, Fallback, Policy, Rule, Segment, Thresholds
from quickthorn.errors import PolicyError
from quickthorn.forest.importing import load_model
from quickthorn.reference import ReferenceEngine

START_US = 1_785_000_000_000_000
KEY = bytes(range(16))
COUNTRIES = ("NL", "BE", "DE", 'K"P\\', "数", "")
CONSTANTS = ("0", "1", "2.5", "-3", "40", "100.25", "1e-3")


class Payment(qt.Event):
    event_id: qt.Id
    at: qt.EventTime
    customer: qt.Entity
    amount: qt.Money
    risk: qt.Number | None = None
    foreign: qt.Boolean | None = None
    channel: qt.Category = qt.field(values=("web", "app"), closed=True)
    country: qt.Category | None = None
    note: qt.Text | None = None


def payment_features() -> qt.FeatureSet:
    features = qt.FeatureSet(Payment, lateness="1h")
    features["amount"] = Payment.amount
    features["count"] = qt.count(by=Payment.customer, over="1d", include_current=True)
    features["usual amount"] = qt.mean(Payment.amount, by=Payment.customer, over="7d")
    return features


def number(draw: random.Random, depth: int) -> str:
    names = ["amount", "risk", "feature.count", 'feature["usual amount"]', "score", "aligned_score", "expected_loss"]
    if depth == 0 or draw.random() < 0.4:
        return draw.choice([*names, *CONSTANTS])
    return f"({number(draw, depth - 1)} {draw.choice('+-*')} {number(draw, depth - 1)})"


def condition(draw: random.Random, depth: int) -> str:
    kind = draw.randrange(0 if depth else 3, 12)
    if kind < 2:
        return "(" + draw.choice([" and ", " or "]).join(condition(draw, depth - 1) for _ in range(2)) + ")"
    if kind == 2:
        return f"not {condition(draw, depth - 1)}"
    if kind < 7:
        return f"{number(draw, 2)} {draw.choice(['<', '<=', '>', '>=', '==', '!='])} {number(draw, 1)}"
    if kind == 7:
        field, listed = draw.choice([("country", COUNTRIES), ("note", ("x", "y" * 9)), ("customer", ("c-1", "c-2"))])
        return f"{field} {draw.choice(['in', 'not in'])} ({', '.join(quoted(text) for text in listed[:2])})"
    if kind == 8:
        return f"country {draw.choice(['==', '!='])} {quoted(draw.choice(COUNTRIES))}"
    if kind == 9:
        named = draw.choice(["risk", "foreign", "country", "note", "feature.count"])
        return f"{named} is {draw.choice(['', 'not '])}missing"
    if kind == 10:
        return draw.choice(
            ["foreign", "foreign == false", "foreign != true", 'channel == "web"', "count in (1, 2.5, -3)"]
        )
    return "(risk > 0 and amount / risk > 30)"


def quoted(text: str) -> str:
    return f"'{text}'"


def random_policy(draw: random.Random) -> Policy:
    rare = " and risk > 0.5"
    outcomes = ("approve", "step_up", "review", "decline")
    return Policy(
        thresholds=Thresholds(least={"step_up": 0.2, "review": 0.4, "decline": 0.7}),
        fallback=Fallback(invalid="review", late=draw.choice(["step_up", None])),
        precedence=draw.choice(["block", "allow"]),
        expected_loss=ExpectedLoss(amount='amount + feature["usual amount"] * 0', share=0.75, fee=12.5),
        block=(
            Rule(name="unlike", when='risk != 0 and country != "NL" and amount > 250', outcome="step_up"),
            Rule(name="not like", when='not (risk == 0 or country == "NL") and amount > 220', outcome="review"),
            *(
                Rule(name=f"block {at}", when=f"({condition(draw, 2)}){rare}", outcome=draw.choice([None, *outcomes]))
                for at in range(8)
            ),
        ),
        allow=tuple(Rule(name=f"allow {at}", when=f"{condition(draw, 2)} and risk < -0.8") for at in range(4)),
        cap=(
            Cap(name="busy", of="feature.count", most=4, outcome="review"),
            Cap(name="busier", of="feature.count * 2", most=14, outcome="decline"),
        ),
        segment=(
            Segment(
                name="abroad", when=f"foreign and ({condition(draw, 1)})",
                thresholds=Thresholds(least={"step_up": 0.1}),
            ),
            Segment(
                name="dear", when=condition(draw, 1),
                thresholds=Thresholds(on="expected_loss", least={"review": 40.0, "decline": 90.0}),
            ),
            Segment(
                name="app", when='channel == "app"', thresholds=Thresholds(on="aligned_score", least={"decline": 560.0})
            ),
        ),
        exploration=Exploration(share=0.4, outcome="approve", of=("step_up", "review"), when=condition(draw, 1)),
    )  # fmt: skip


def payments(count: int, draw: random.Random) -> list[dict[str, Any]]:
    at = START_US
    events = []
    for number in range(count):
        at += draw.choice([60_000_000, 3_600_000_000, -10_000_000])
        event: dict[str, Any] = {
            "event_id": f"p-{number}",
            "at": at,
            "customer": f"c-{draw.randrange(8)}",
            "amount": f"{draw.randrange(1, 30_000) / 100:.2f}",
            "risk": draw.choice([None, 0.0, draw.uniform(-1, 1), draw.uniform(-1, 1), 2.5, 1e300]),
            "foreign": draw.choice([None, True, False]),
            "channel": draw.choice(["web", "app"]),
            "country": draw.choice([None, *COUNTRIES, "K" * 300]),
            "note": draw.choice([None, "x", "y" * 9, "z" * 257]),
        }
        events.append(event if draw.random() > 0.02 else {**event, "channel": "fax"})
    return events


@pytest.fixture(scope="module")
def booster() -> xgboost.Booster:
    draw = np.random.default_rng(5)
    vectors = np.column_stack([draw.exponential(100, 2_000), draw.integers(1, 9, 2_000), draw.exponential(100, 2_000)])
    fraud = vectors[:, 0] + 20 * vectors[:, 1] + 60 * draw.normal(size=2_000) > 260
    data = xgboost.DMatrix(vectors, label=fraud, feature_names=["amount", "count", "usual amount"])
    return xgboost.train({"objective": "binary:logistic", "max_depth": 3, "nthread": 1}, data, num_boost_round=8)


def rules_that_agree(
    folder: Path, booster: xgboost.Booster, level: str, policy: Policy, events: list[dict[str, Any]]
) -> set[str | None]:
    """Decides the events natively and by the reference, one by one and in a batch; returns the rules that decided."""
    features, path = payment_features(), folder / "a.qt"
    compile_bundle(features=features, model=booster, policy=policy, output=path, target=level)

    def load() -> Any:
        return qt.Engine.load(path, hash_key=KEY, max_keys=1_000, max_history_bytes=1 << 22, allow_unsigned=True)

    engine = load()
    reference = ReferenceEngine(features, load_model(booster).ensemble, policy, hash_key=KEY)
    rules, singly = set(), []
    for event in events:
        found, expected = engine.decide(event), reference.decide(event)
        assert (found.outcome, found.rule, found.propensity) == (expected.outcome, expected.rule, expected.propensity)
        assert (found.status, found.aligned_score) == (expected.status, expected.aligned_score)
        assert found.margin == expected.margin or math.isnan(expected.margin)
        rules.add(found.rule)
        if event["channel"] != "fax":
            singly.append((found.outcome, found.rule or ""))
    if singly:  # an event that does not fit the schema has no place in a table
        batch = load().decide_batch(pa.Table.from_pylist([event for event in events if event["channel"] != "fax"]))
        assert list(zip(batch.outcomes, batch.rules, strict=True)) == singly
    return rules


def test_native_decisions_are_the_reference_s(tmp_path: Path, booster: xgboost.Booster, level: str) -> None:
    draw = random.Random(1)
    policy = random_policy(draw)
    assert Policy.from_toml(policy.as_toml()) == policy
    rules = rules_that_agree(tmp_path, booster, level, policy, payments(400, draw))
    assert len(rules) > 7, rules


# Each example holds some forty conditions and takes a compiler: few of them, and none of the many that shrinking tries.
@settings(
    max_examples=5,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.large_base_example, HealthCheck.data_too_large, HealthCheck.too_slow],
)
@given(draw=strategies.randoms(use_true_random=False), seed=strategies.integers(0, 1_000_000))
def test_any_policy_decides_natively_as_in_the_reference(
    tmp_path_factory: pytest.TempPathFactory, booster: xgboost.Booster, level: str, draw: random.Random, seed: int
) -> None:
    policy = random_policy(draw)
    rules_that_agree(tmp_path_factory.mktemp("policy"), booster, level, policy, payments(150, random.Random(seed)))


def test_a_condition_that_does_not_fit_the_bundle_is_refused(tmp_path: Path, booster: xgboost.Booster) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(
        '[thresholds]\nreview = 0.5\n[fallback]\ninvalid = "review"\n'
        '[[block]]\nname = "x"\nwhen = "amount > 5 and merchant == \'m\'"\n'
    )
    with pytest.raises(
        PolicyError, match=r"policy.toml:7:24: rule 'x': expected a field of the event or a feature, found"
    ):
        compile_bundle(features=payment_features(), model=booster, policy=path, output=tmp_path / "a.qt")
    assert not (tmp_path / "a.qt").exists()
