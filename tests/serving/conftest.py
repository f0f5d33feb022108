"""One small bundle, compiled once, for everything that is asked of a loaded engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import xgboost

import quickthorn as qt
from quickthorn.compiling import compile_bundle
from quickthorn.compiling.toolchain import check_targets
from quickthorn.decision import Policy

START_US = 1_785_000_000_000_000
HOUR_US = 3_600_000_000


class Payment(qt.Event):
    event_id: qt.Id
    at: qt.EventTime
    customer: qt.Entity
    amount: qt.Money


def payment_features() -> qt.FeatureSet:
    features = qt.FeatureSet(Payment, lateness="1h")
    features["amount"] = Payment.amount
    features["count"] = qt.count(by=Payment.customer, over="1d", include_current=True)
    features["mean"] = qt.mean(Payment.amount, by=Payment.customer, over="7d")
    return features


def payments(count: int, *, seed: int = 0, customers: int = 20) -> list[dict[str, Any]]:
    random = np.random.default_rng(seed)
    at = START_US + np.cumsum(random.integers(0, HOUR_US // 10, count))
    return [
        {
            "event_id": f"p-{seed}-{row}",
            "at": int(at[row]),
            "customer": f"c-{random.integers(customers)}",
            "amount": f"{random.integers(1, 50_000) / 100:.2f}",
        }
        for row in range(count)
    ]


@pytest.fixture(scope="session")
def model() -> xgboost.Booster:
    random = np.random.default_rng(5)
    vectors = np.column_stack(
        [random.exponential(100, 3_000), random.integers(1, 30, 3_000), random.exponential(100, 3_000)]
    )
    vectors[random.random(vectors.shape) < 0.1] = np.nan
    fraud = np.nan_to_num(vectors[:, 0]) + 8 * np.nan_to_num(vectors[:, 1]) > 250
    data = xgboost.DMatrix(vectors, label=fraud, feature_names=["amount", "count", "mean"])
    return xgboost.train({"objective": "binary:logistic", "max_depth": 4, "nthread": 1}, data, num_boost_round=12)


@pytest.fixture(scope="session")
def bundle(model: xgboost.Booster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("serving") / "fraud.qt"
    compile_bundle(
        features=payment_features(),
        model=model,
        policy=Policy.with_thresholds(review=0.3, decline=0.8, invalid="decline"),
        output=path,
    )
    return path


@pytest.fixture
def load(bundle: Path) -> Callable[..., qt.Engine]:
    """A fresh engine for the bundle, with small limits unless told otherwise."""

    def fresh(**options: Any) -> qt.Engine:
        return qt.Engine.load(
            bundle, **{"max_keys": 1_000, "max_history_bytes": 1 << 22, **options}, allow_unsigned=True
        )

    return fresh


@pytest.fixture(scope="session")
def level() -> str:
    """The one CPU level to compile for where it does not matter: every processor of this machine's kind runs it."""
    return check_targets(None)[0]


@pytest.fixture(scope="session")
def feature_rows() -> npt.NDArray[np.float64]:
    """float64 [64, 4], a tenth missing; every value is a float32."""
    random = np.random.default_rng(8)
    rows = random.normal(size=(64, 4)).astype(np.float32).astype(np.float64)
    rows[random.random(rows.shape) < 0.1] = np.nan
    return rows


def _training(count: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    random = np.random.default_rng(9)
    rows = random.normal(size=(500, count))
    return rows, rows[:, 0] + rows[:, 1] * rows[:, 2] + 0.1 * random.normal(size=500)


@pytest.fixture(scope="session")
def booster() -> xgboost.Booster:
    rows, target = _training(4)
    data = xgboost.DMatrix(rows, label=target > 0, feature_names=list("abcd"))
    return xgboost.train({"objective": "binary:logistic", "max_depth": 4, "nthread": 1}, data, num_boost_round=9)


@pytest.fixture(scope="session")
def forest(booster: xgboost.Booster) -> qt.Forest:
    """A binary classifier with the features a, b, c, d, compiled for every level."""
    return qt.compile_model(booster)


@pytest.fixture(scope="session")
def forest_file(forest: qt.Forest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("forest") / "fraud.qtf"
    forest.save(path)
    return path


@pytest.fixture(scope="session")
def classifier() -> Any:
    lightgbm = pytest.importorskip("lightgbm")
    rows, target = _training(4)
    data = lightgbm.Dataset(rows, label=np.digitize(target, [-0.5, 0.5]))
    return lightgbm.train(
        {"objective": "multiclass", "num_class": 3, "num_leaves": 7, "verbose": -1, "num_threads": 1}, data, 4
    )


@pytest.fixture(scope="session")
def classes(classifier: Any, level: str) -> qt.Forest:
    """A classifier of three classes, without feature names."""
    return qt.compile_model(classifier, target=level)


@pytest.fixture(scope="session")
def nameless(level: str) -> qt.Forest:
    """A regressor of three features without names."""
    rows, target = _training(3)
    data = xgboost.DMatrix(rows, label=target)
    return qt.compile_model(xgboost.train({"max_depth": 3, "nthread": 1}, data, num_boost_round=3), target=level)
