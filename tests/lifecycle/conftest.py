"""Two versions of one bundle, whose models differ, and the payments that both decide."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import xgboost

import quickthorn as qt
from quickthorn.compiling import compile_bundle

POLICY = '[thresholds]\nreview = {review}\ndecline = 0.8\n\n[fallback]\ninvalid = "review"\n'
REASONS = """
population = "payments of last year"

[[reason]]
code = "R1"
text = "the amount is unusual"
features = [{of_amount}]

[[reason]]
code = "R2"
text = "many payments in a day"
features = ["count"]
"""
TARGET = "x86-64-v2"


class Payment(qt.Event):
    """A payment."""

    event_id: qt.Id
    at: qt.EventTime
    customer: qt.Entity
    amount: qt.Money = qt.field(minor_units=True)


@dataclass(frozen=True)
class Versions:
    """Bundle files, the models in them, and 600 labelled payments."""

    champion: Path
    challenger: Path
    models: tuple[xgboost.Booster, xgboost.Booster]
    payments: pa.Table


def features(*, with_mean: bool) -> qt.FeatureSet:
    """The amount and a count; where asked for, a mean too, and the count over another window."""
    declared = qt.FeatureSet(Payment)
    declared["amount"] = Payment.amount
    declared["count"] = qt.count(by=Payment.customer, over="2d" if with_mean else "1d")
    if with_mean:
        declared["mean"] = qt.mean(Payment.amount, by=Payment.customer, over="7d")
    return declared


def train(columns: tuple[str, ...], trees: int, seed: int = 5) -> xgboost.Booster:
    random = np.random.default_rng(seed)
    rows = np.column_stack(
        [random.exponential(100, 2_000), random.integers(0, 30, 2_000), random.exponential(100, 2_000)]
    )
    fraud = rows[:, 0] + 8 * rows[:, 1] + random.normal(0, 40, 2_000) > 250
    data = xgboost.DMatrix(rows[:, : len(columns)], label=fraud, feature_names=list(columns))
    return xgboost.train({"objective": "binary:logistic", "max_depth": 3, "nthread": 1}, data, num_boost_round=trees)


@pytest.fixture(scope="session")
def versions(tmp_path_factory: pytest.TempPathFactory) -> Versions:
    """Compiled once for all."""
    folder = tmp_path_factory.mktemp("versions")
    models: list[xgboost.Booster] = []
    for version, (with_mean, trees, review) in enumerate(((False, 8, 0.3), (True, 12, 0.2)), start=1):
        declared = features(with_mean=with_mean)
        models.append(train(declared.names, trees))
        policy = folder / f"policy{version}.toml"
        policy.write_text(POLICY.format(review=review))
        output = folder / f"fraud{version}.qt"
        reasons = folder / f"reasons{version}.toml"
        reasons.write_text(REASONS.format(of_amount='"amount", "mean"' if with_mean else '"amount"'))
        compile_bundle(
            features=declared,
            model=models[-1],
            policy=policy,
            reasons=reasons,
            output=output,
            target=TARGET,
            version=version,
        )
    random = np.random.default_rng(6)
    amounts = np.round(random.exponential(12_000, 600)).astype(int)
    table = {
        "event_id": [f"p-{row}" for row in range(600)],
        "at": 1_785_000_000_000_000 + np.cumsum(random.integers(1, 600_000_000, 600)),
        "customer": [f"c-{customer}" for customer in random.integers(0, 12, 600)],
        "amount": amounts,
        "fraud": (amounts > 25_000).astype(int),
    }
    columns: dict[str, Any] = {name: pa.array(values) for name, values in table.items()}
    return Versions(folder / "fraud1.qt", folder / "fraud2.qt", (models[0], models[1]), pa.table(columns))
