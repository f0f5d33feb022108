"""A forest as a Treelite checkpoint: Treelite makes the same margins of it, and it comes back as the same forest."""

from __future__ import annotations

import dataclasses
import gzip
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import treelite
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier

from quickthorn.errors import ModelError
from quickthorn.forest.checkpoint import read_checkpoint, unpack_checkpoint, write_checkpoint
from quickthorn.forest.ensemble import Ensemble, Missing
from quickthorn.forest.importing import load_model
from quickthorn.forest.probes import probe_rows
from quickthorn.reference.forest import leaves_of, margin_of

Rows = npt.NDArray[np.float64]


def data() -> tuple[Rows, npt.NDArray[np.bool_]]:
    random = np.random.default_rng(4)
    rows = random.normal(size=(500, 4)).astype(np.float32).astype(np.float64)
    rows[:, 3] = random.integers(0, 6, 500)
    fraud = rows[:, 0] * rows[:, 1] + (rows[:, 3] == 2) > 0.2
    rows[random.random(rows.shape) < 0.1] = np.nan
    return rows, fraud


def of_xgboost(**parameters: Any) -> Any:
    xgboost = pytest.importorskip("xgboost")
    rows, fraud = data()
    types = ["float", "float", "float", "c"]
    matrix = xgboost.DMatrix(
        rows, fraud, feature_names=list("abcd"), feature_types=types, enable_categorical=True, nthread=1
    )
    return xgboost.train({"objective": "binary:logistic", "nthread": 1, "max_depth": 4, **parameters}, matrix, 8)


def of_lightgbm(**parameters: Any) -> Any:
    lightgbm = pytest.importorskip("lightgbm")
    rows, fraud = data()
    given = {"objective": "binary", "num_leaves": 9, "verbosity": -1, "num_threads": 1, **parameters}
    return lightgbm.train(given, lightgbm.Dataset(rows, fraud, categorical_feature=[3]), 8)


def of_catboost() -> Any:
    catboost = pytest.importorskip("catboost")
    model = catboost.CatBoostClassifier(iterations=8, depth=4, verbose=False, thread_count=1, allow_writing_files=False)
    return model.fit(data()[0], data()[1])


def of_sklearn(estimator: type, **parameters: Any) -> Any:
    return estimator(random_state=0, **parameters).fit(*data())


MODELS = {
    "xgboost": of_xgboost,
    "xgboost, of regression": lambda: of_xgboost(objective="count:poisson"),
    "lightgbm": of_lightgbm,
    "lightgbm, zeros missing": lambda: of_lightgbm(zero_as_missing=True),
    "lightgbm, none missing": lambda: of_lightgbm(use_missing=False),
    "lightgbm, averaged": lambda: of_lightgbm(boosting="rf", bagging_freq=1, bagging_fraction=0.7),
    "lightgbm, linear": lambda: of_lightgbm(linear_tree=True),
    "catboost": of_catboost,
    "histograms": lambda: of_sklearn(HistGradientBoostingClassifier, max_iter=8, categorical_features=[3]),
    "boosting": lambda: GradientBoostingClassifier(n_estimators=8, random_state=0).fit(
        np.nan_to_num(data()[0]), data()[1]
    ),
    "random forest": lambda: of_sklearn(RandomForestClassifier, n_estimators=8, max_depth=5, n_jobs=1),
}
# What Treelite has no words for.
BEYOND_TREELITE = {"lightgbm, linear"}


@pytest.fixture(scope="module", params=MODELS)
def named(request: pytest.FixtureRequest) -> tuple[str, Ensemble]:
    return request.param, load_model(MODELS[request.param]()).ensemble


def unpacked(ensemble: Ensemble) -> bytes:
    packed, size = write_checkpoint(ensemble)
    return unpack_checkpoint(packed, size, "checkpoint")


def test_treelite_makes_the_same_margins_of_it(named: tuple[str, Ensemble]) -> None:
    name, ensemble = named
    model = treelite.Model.deserialize_bytes(unpacked(ensemble))
    rows = data()[0][:100]
    rows = (
        rows[~(rows == 0).any(axis=1)] if ensemble.missing.size and (ensemble.missing == Missing.ZERO).any() else rows
    )
    if name not in BEYOND_TREELITE:
        kind = np.float64 if model.input_type == "float64" else np.float32
        found = treelite.gtil.predict(model, rows.astype(kind), nthread=1, pred_margin=True).reshape(-1)
        np.testing.assert_allclose(found, [margin_of(ensemble, row) for row in rows], rtol=3e-6, atol=3e-6)
    assert len(rows) > 40


def test_the_forest_comes_back_as_it_was(named: tuple[str, Ensemble]) -> None:
    _, ensemble = named
    back = read_checkpoint(unpacked(ensemble), "checkpoint")
    for field in dataclasses.fields(Ensemble):
        if field.name != "linear":
            one, other = getattr(ensemble, field.name), getattr(back, field.name)
            np.testing.assert_array_equal(one, other, err_msg=field.name)
            assert getattr(one, "dtype", None) == getattr(other, "dtype", None)
    assert (ensemble.linear is None) == (back.linear is None)
    for row in probe_rows(ensemble, 64, 3):
        assert leaves_of(ensemble, row) == leaves_of(back, row)
        assert np.float64(margin_of(ensemble, row)).tobytes() == np.float64(margin_of(back, row)).tobytes()


def test_the_same_forest_gives_the_same_bytes() -> None:
    ensemble = load_model(of_xgboost()).ensemble
    assert write_checkpoint(ensemble) == write_checkpoint(ensemble)


def test_what_is_no_checkpoint_is_refused() -> None:
    packed, size = write_checkpoint(load_model(of_xgboost()).ensemble)
    for wrong, expected in ((packed, size - 1), (packed, size + 1), (packed[:-9], size), (packed + b"more", size)):
        with pytest.raises(ModelError, match=r"^model: expected \d+ bytes once unpacked, found others$"):
            unpack_checkpoint(wrong, expected, "model")
    with pytest.raises(ModelError, match=r"^model: expected a gzipped checkpoint, found"):
        unpack_checkpoint(b"no gzip", size, "model")
    foreign = treelite.frontend.from_xgboost(of_xgboost()).serialize_bytes()
    with pytest.raises(ModelError, match=r"^model: expected a checkpoint written by quickthorn, found"):
        read_checkpoint(foreign, "model")
    assert len(gzip.decompress(packed)) == size
