"""Categories in bundles: a model reads a Category field by its values, whatever order they are declared in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest
import xgboost
from sklearn.ensemble import HistGradientBoostingClassifier

import quickthorn as qt
from quickthorn.compiling import compile_bundle
from quickthorn.decision import Policy
from quickthorn.errors import ModelError
from quickthorn.forest.categories import to_own_codes

pandas = pytest.importorskip("pandas")

COLOURS = ("red", "green", "blue", "grey")
POLICY = Policy.with_thresholds(review=0.3, decline=0.8, invalid="review")


class Sale(qt.Event):
    event_id: qt.Id
    at: qt.EventTime
    colour: qt.Category | None = qt.field(values=("blue", "grey", "red", "green"))
    wider: qt.Category | None = qt.field(values=("white", "blue", "grey", "red", "green"))
    weight: qt.Number | None = None


def features_of(colour: Any) -> qt.FeatureSet:
    features = qt.FeatureSet(Sale)
    features["weight"] = Sale.weight
    features["colour"] = colour
    return features


@pytest.fixture(scope="module")
def frame() -> Any:
    random = np.random.default_rng(6)
    return pandas.DataFrame(
        {
            "colour": pandas.Categorical(random.choice(COLOURS, 300), categories=COLOURS),
            "weight": random.normal(size=300),
        }
    )


@pytest.fixture(scope="module")
def labels(frame: Any) -> Any:
    return ((frame["colour"].isin(["red", "blue"])) ^ (frame["weight"] > 0.5)).astype(int)


def trained(library: str, frame: Any, labels: Any) -> Any:
    if library == "xgboost":
        data = xgboost.DMatrix(frame, label=labels, enable_categorical=True)
        return xgboost.train({"objective": "binary:logistic", "max_depth": 3, "nthread": 1}, data, 4)
    if library == "sklearn":
        return HistGradientBoostingClassifier(max_iter=4, categorical_features="from_dtype").fit(frame, labels)
    quiet = {"verbose": -1, "num_threads": 1, "min_data_in_leaf": 5, "min_data_per_group": 5, "cat_smooth": 1}
    return lightgbm.train({"objective": "binary", **quiet}, lightgbm.Dataset(frame, label=labels), 4)


def margins_of(model: Any, frame: Any) -> list[float]:
    if isinstance(model, xgboost.Booster):
        margins: list[float] = model.inplace_predict(frame, predict_type="margin").tolist()
        return margins
    if isinstance(model, HistGradientBoostingClassifier):
        return list(model.decision_function(frame))
    return list(model.predict(frame, raw_score=True))


@pytest.mark.parametrize("library", ["xgboost", "lightgbm", "sklearn"])
def test_a_category_field_is_read_by_its_values(library: str, frame: Any, labels: Any, tmp_path: Path) -> None:
    model = trained(library, frame, labels)
    compile_bundle(features=features_of(Sale.colour), model=model, policy=POLICY, output=tmp_path / "a.qt")
    engine = qt.Engine.load(tmp_path / "a.qt", max_keys=1, max_history_bytes=1 << 16, allow_unsigned=True)
    margins = [
        engine.score({"event_id": f"{row}", "at": row, "colour": colour, "weight": weight}).margin
        for row, (colour, weight) in enumerate(frame.itertuples(index=False))
    ]
    assert margins == margins_of(model, frame)
    absent = frame.head(1).assign(colour=pandas.Categorical([None], categories=COLOURS))
    event = {"event_id": "x", "at": 1, "colour": None, "weight": float(absent["weight"][0])}
    assert engine.score(event).margin == margins_of(model, absent)[0]


def test_a_declared_value_the_model_never_saw_is_what_it_is_to_the_library(
    frame: Any, labels: Any, tmp_path: Path
) -> None:
    model = trained("lightgbm", frame, labels)
    compile_bundle(features=features_of(Sale.wider), model=model, policy=POLICY, output=tmp_path / "a.qt")
    engine = qt.Engine.load(tmp_path / "a.qt", max_keys=1, max_history_bytes=1 << 16, allow_unsigned=True)
    unseen = frame.head(1).assign(colour=pandas.Categorical(["white"]))
    event = {"event_id": "x", "at": 1, "wider": "white", "weight": float(unseen["weight"][0])}
    assert engine.score(event).margin == margins_of(model, unseen)[0]
    with pytest.raises(ModelError, match="'colour': expected values that the model was trained on, found 'white'"):
        compile_bundle(
            features=features_of(Sale.wider),
            model=trained("xgboost", frame, labels),
            policy=POLICY,
            output=tmp_path / "b.qt",
        )


def test_a_feature_without_values_is_refused_for_a_model_with_categories(
    frame: Any, labels: Any, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=r"'colour' was trained on categories such as 'red'.*a Category field"):
        compile_bundle(
            features=features_of(Sale.weight),
            model=trained("xgboost", frame, labels),
            policy=POLICY,
            output=tmp_path / "a.qt",
        )


def test_numbers_that_are_no_category_stay_none() -> None:
    own = np.array([2.0, np.nan, 0.0])
    odd = np.array([0.0, 1.0, 2.0, 2.9, -0.0, -0.5, -1.0, 3.0, 7.5, 2.0**31, np.inf, -np.inf, np.nan])
    coded = to_own_codes(odd, own, negative_fractions_truncate=True)
    assert coded[:6].tolist() == pytest.approx([2, np.nan, 0, 0, 2, 2], nan_ok=True)
    whole = to_own_codes(odd, own, negative_fractions_truncate=False, whole_categories=True)
    assert whole[:6].tolist() == pytest.approx([2, np.nan, 0, 2.9, 2, -0.5], nan_ok=True)
    assert to_own_codes(odd, own, negative_fractions_truncate=False)[4:6].tolist() == [2.0, -0.5]
    assert not set(np.trunc(coded[6:])) & {0.0, 1.0, 2.0}
    assert np.isnan(coded[-1])


@pytest.fixture(scope="module")
def sales(frame: Any) -> Any:
    """The frame as CatBoost takes it, colours and what is taken for a missing one as text."""
    colours = frame["colour"].astype(object).where(frame.index % 9 > 0, "nan")
    return frame.assign(colour=colours)


@pytest.fixture(scope="module")
def cat(sales: Any) -> Any:
    catboost = pytest.importorskip("catboost")
    labels = sales["colour"].isin(["red", "nan"]) ^ (sales["weight"] > 0.5)
    options = {"verbose": 0, "thread_count": 1, "allow_writing_files": False, "one_hot_max_size": 9}
    return catboost.CatBoostClassifier(iterations=6, depth=3, cat_features=["colour"], **options).fit(sales, labels)


def test_catboosts_text_is_read_by_the_values_of_a_field(cat: Any, sales: Any, tmp_path: Path) -> None:
    compile_bundle(features=features_of(Sale.wider), model=cat, policy=POLICY, output=tmp_path / "a.qt")
    engine = qt.Engine.load(tmp_path / "a.qt", max_keys=1, max_history_bytes=1 << 16, allow_unsigned=True)
    # White is a value of the field that the model never saw, and zinc is none of the field.
    for row, colour in enumerate((*COLOURS, None, "white", "zinc")):
        event = {"event_id": f"{row}", "at": row, "wider": colour, "weight": 0.25}
        seen = pandas.DataFrame({"colour": [colour or "nan"], "weight": [0.25]})
        assert engine.score(event).margin == cat.predict(seen, prediction_type="RawFormulaVal")[0]


def test_a_field_without_all_of_catboosts_text_is_refused(cat: Any, tmp_path: Path) -> None:
    class Short(qt.Event):
        event_id: qt.Id
        at: qt.EventTime
        colour: qt.Category | None = qt.field(values=("blue", "grey"))
        weight: qt.Number | None = None

    features = qt.FeatureSet(Short)
    features["weight"] = Short.weight
    features["colour"] = Short.colour
    with pytest.raises(ModelError, match=r"'colour' was trained on text.*the values of a Category field"):
        compile_bundle(features=features, model=cat, policy=POLICY, output=tmp_path / "a.qt")
