"""Reasons of decisions: the largest contributions by code, given where the policy asks, and maps that are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import xgboost
from tests.serving.conftest import payment_features, payments

import quickthorn as qt
from quickthorn.compiling import compile_bundle
from quickthorn.decision import Fallback, Policy, ReasonCode, ReasonMap, Thresholds
from quickthorn.errors import BundleError, PolicyError, ReasonError
from quickthorn.forest.importing import load_model
from quickthorn.reference.contributions import contributions_of
from quickthorn.reference.reasons import reasons_of

REASONS = ReasonMap(
    population="payments of the tests' first year",
    reason=(
        ReasonCode(code="R1", text="The amount is unusual", features=("amount", "mean")),
        ReasonCode(code="R2", text="Many payments in a day", features=("count",)),
    ),
    most=1,
)
POLICY = Policy(
    thresholds=Thresholds(least={"review": 0.3, "decline": 0.8}),
    fallback=Fallback(invalid="review"),
    reasons=("review",),
)


def compiled(path: Path, model: xgboost.Booster, level: str, **changed: Any) -> Path:
    given = {"policy": POLICY, "reasons": REASONS, **changed}
    compile_bundle(features=payment_features(), model=model, output=path, target=level, **given)
    return path


@pytest.fixture(scope="module")
def explained(model: xgboost.Booster, level: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("reasons") / "fraud.qt", model, level)


def load(path: Path) -> Any:
    return qt.Engine.load(path, hash_key=bytes(16), max_keys=1_000, max_history_bytes=1 << 22, allow_unsigned=True)


def test_reasons_are_the_codes_that_add_most_where_the_policy_asks(explained: Path, model: xgboost.Booster) -> None:
    engine, ensemble = load(explained), load_model(model).ensemble
    outcomes, codes = set(), set()
    for event in payments(300, seed=2):
        decision = engine.decide(event, features=True, contributions=True)
        assert decision.features is not None
        expected = reasons_of(REASONS, decision.contributions) if decision.outcome == "review" else []
        assert [(reason.code, reason.contribution) for reason in decision.reasons] == expected
        assert list(decision.contributions) == list(decision.features) == ["amount", "count", "mean"]
        slow = contributions_of(ensemble, list(decision.features.values()))[0]
        assert list(decision.contributions.values()) == pytest.approx(slow[:-1], abs=1e-5)
        assert sum(slow) == pytest.approx(decision.margin, abs=1e-5)
        outcomes.add(decision.outcome)
        codes |= {reason.code for reason in decision.reasons}
    assert outcomes == {"approve", "review", "decline"}
    assert codes == {"R1", "R2"}


def test_a_batch_has_the_codes_of_single_decisions(explained: Path) -> None:
    events = payments(200, seed=3)
    single = [load(explained).score(event) for event in events[:5]]
    engine = load(explained)
    single = [engine.decide(event) for event in events]
    batch = load(explained).decide_batch(pa.Table.from_pylist(events))
    place = {"R1": 0, "R2": 1}
    assert batch.reason_codes.tolist() == [[place[d.reasons[0].code] if d.reasons else -1] for d in single]


def test_details_are_given_on_request_alone(explained: Path, bundle: Path) -> None:
    event = payments(1, seed=9)[0]
    plain, detailed = load(explained).score(event), load(explained).score(event, features=True, contributions=False)
    assert (plain.features, plain.contributions, detailed.contributions) == (None, None, None)
    assert json.loads(detailed.as_json())["features"]["count"] == 1.0
    assert "contributions" not in detailed.as_dict()
    invalid = load(explained).score({}, features=True, contributions=True)
    assert (invalid.status, invalid.features, invalid.reasons) == ("invalid", None, ())
    with pytest.raises(TypeError, match="unexpected keyword argument 'shap'"):
        load(explained).score(event, shap=True)
    with pytest.raises(BundleError, match="expected one compiled with contributions to explain by, found one without"):
        load(bundle).decide(event, contributions=True)


def test_a_decision_shows_its_reasons(explained: Path) -> None:
    engine = load(explained)
    decision = next(d for d in map(engine.decide, payments(300, seed=2)) if d.reasons)
    assert f"reasons=[{decision.reasons[0].code}]" in repr(decision)
    (reason,) = json.loads(decision.as_json())["reasons"]
    assert reason == decision.reasons[0]._asdict()


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ((("amount",), ("count",)), "feature 'mean': expected it in one reason, found it in none"),
        ((("amount", "mean"), ("count", "age")), "feature 'age': expected a feature of the model, found none"),
    ],
)
def test_a_map_that_misses_a_feature_is_refused(
    tmp_path: Path, model: xgboost.Booster, level: str, features: Any, message: str
) -> None:
    codes = tuple(ReasonCode(code=f"R{at}", text="t", features=named) for at, named in enumerate(features))
    with pytest.raises(ReasonError, match=message):
        compiled(tmp_path / "a.qt", model, level, reasons=ReasonMap(population="p", reason=codes))


MAP = """\
population = "payments of 2025"
[[reason]]
code = "R1"
text = "The amount is unusual"
features = ["amount", "mean"]
[[reason]]
code = "R2"
text = "Many payments"
features = ["count"]
"""


def test_a_map_reads_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "reasons.toml"
    path.write_text(MAP)
    read = ReasonMap.from_toml(path)
    assert (read.most, [reason.features for reason in read.reason]) == (4, [("amount", "mean"), ("count",)])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"count"', '"amount"', "feature 'amount': expected it in one reason, found it in 'R1' and 'R2'"),
        ('"amount", "mean"', '"amount", "amount"', "feature 'amount': expected it in one reason, found it in 'R1' and"),
        ('"R2"', '"R1"', "reason 'R1': expected each code once, found it twice"),
        ('population = "payments of 2025"', "", "object missing required field `population`"),
        ('population = "payments of 2025"', 'population = ""', r"population: expected `str` of length >= 1"),
        ('["count"]', "[]", r"reason\[1\].features: expected `array` of length >= 1"),
        ("[[reason]]", "[[reason]", "expected TOML, found a syntax error"),
        ('population = "payments of 2025"', 'population = "p"\nmost = 0', "most: expected `int` >= 1"),
        ('text = "Many payments"\n', "", r"reason\[1\]: object missing required field `text`"),
    ],
)
def test_a_wrong_map_says_what_is_wrong(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "reasons.toml"
    path.write_text(MAP.replace(old, new, 1))
    with pytest.raises(ReasonError, match=f"^{path}: {message}"):
        ReasonMap.from_toml(path)


def test_what_reasons_need_is_asked_for(tmp_path: Path, model: xgboost.Booster, level: str) -> None:
    with pytest.raises(ReasonError, match="expected a model along with reasons"):
        compile_bundle(features=payment_features(), reasons=REASONS, output=tmp_path / "a.qt")
    with pytest.raises(ReasonError, match=r"none.toml: expected a readable reason map"):
        compiled(tmp_path / "a.qt", model, level, reasons=tmp_path / "none.toml")
    with pytest.raises(PolicyError, match="expected a reason map along with a policy that asks for reasons"):
        compiled(tmp_path / "a.qt", model, level, reasons=None)
