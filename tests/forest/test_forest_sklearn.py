"""scikit-learn estimators trained here: what the compiled forest says is what scikit-learn says."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quickthorn.calibration.link import Link
from quickthorn.errors import MissingExtraError, ModelError
from quickthorn.forest.importing import load_model
from quickthorn.forest.probes import probe_rows

from .conftest import wanted

ensemble = pytest.importorskip("sklearn.ensemble")
tree = pytest.importorskip("sklearn.tree")

SEED = {"random_state": 0}


def fitted(training: Any, name: str, what: str = "labels", **parameters: Any) -> Any:
    """An estimator trained to predict `what`; ``rows`` chooses between missing values and none."""
    rows, *_ = training
    if parameters.pop("whole", False):
        rows = np.nan_to_num(rows)
    kind = getattr(ensemble, name, None) or getattr(tree, name)
    return kind(**SEED, **parameters).fit(rows, wanted(what, training))


CASES = [
    ("RandomForestClassifier", {"n_estimators": 11, "n_jobs": 2}),
    ("RandomForestClassifier", {"n_estimators": 3, "what": "classes", "max_depth": 6}),
    ("RandomForestRegressor", {"n_estimators": 7, "what": "targets"}),
    ("RandomForestRegressor", {"n_estimators": 4, "what": "both", "max_depth": 5}),
    ("RandomForestRegressor", {"n_estimators": 3, "what": "targets", "criterion": "absolute_error", "whole": True}),
    ("ExtraTreesClassifier", {"n_estimators": 9}),
    ("ExtraTreesRegressor", {"n_estimators": 3, "what": "targets"}),
    ("DecisionTreeClassifier", {}),
    ("DecisionTreeRegressor", {"what": "targets"}),
    ("GradientBoostingClassifier", {"n_estimators": 17, "whole": True}),
    ("GradientBoostingClassifier", {"n_estimators": 4, "what": "classes", "whole": True}),
    ("GradientBoostingClassifier", {"n_estimators": 5, "loss": "exponential", "whole": True}),
    ("GradientBoostingClassifier", {"n_estimators": 5, "init": "zero", "whole": True}),
    ("GradientBoostingRegressor", {"n_estimators": 9, "loss": "huber", "learning_rate": 0.37, "what": "targets",
                                   "whole": True}),
    ("HistGradientBoostingClassifier", {"max_iter": 13}),
    ("HistGradientBoostingClassifier", {"max_iter": 4, "what": "classes"}),
    ("HistGradientBoostingClassifier", {"max_iter": 13, "categorical_features": [4]}),
    ("HistGradientBoostingRegressor", {"max_iter": 9, "what": "targets", "loss": "absolute_error"}),
    ("HistGradientBoostingRegressor", {"max_iter": 9, "what": "positive", "loss": "poisson"}),
    ("HistGradientBoostingRegressor", {"max_iter": 5, "what": "positive", "loss": "gamma",
                                       "categorical_features": [4]}),
    ("IsolationForest", {"n_estimators": 12, "what": "nothing"}),
    ("IsolationForest", {"n_estimators": 5, "what": "nothing", "max_features": 3, "max_samples": 50}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "parameters"), CASES, ids=str)
def test_an_estimator_compiles_to_its_own_leaves_and_margins(
    training: Any, assert_equal_to_source: Callable[..., None], name: str, parameters: dict[str, Any]
) -> None:
    model = load_model(fitted(training, name, **parameters))
    assert model.ensemble.source == "sklearn"
    assert model.ensemble.sum_precision == "float64"
    assert model.ensemble.categorical.any() == ("categorical_features" in parameters)
    assert_equal_to_source(model, training[0], optimise="-O1")
    rows = training[0][:50]
    linked = [model.ensemble.link.scores(list(row), model.ensemble.link_scale)
              for row in model.source_margins(rows).reshape(50, -1)]  # fmt: skip
    assert np.allclose(np.reshape(linked, model.source_scores(rows).shape), model.source_scores(rows), rtol=1e-14)


def test_the_source_is_the_public_interface(training: Any) -> None:
    rows = np.nan_to_num(training[0])
    forest = fitted(training, "RandomForestClassifier", n_estimators=5)
    assert np.array_equal(load_model(forest).source_margins(training[0]), forest.predict_proba(training[0])[:, 1])
    assert np.array_equal(load_model(forest).source_leaves(training[0]), forest.apply(training[0]))
    boosting = fitted(training, "GradientBoostingClassifier", "classes", n_estimators=3, whole=True)
    assert np.array_equal(load_model(boosting).source_margins(rows), boosting.decision_function(rows))
    assert np.array_equal(load_model(boosting).source_leaves(rows), boosting.apply(rows).reshape(len(rows), 9))
    histogram = fitted(training, "HistGradientBoostingClassifier", max_iter=3, categorical_features=[4])
    assert np.array_equal(load_model(histogram).source_margins(training[0]), histogram.decision_function(training[0]))
    isolation = fitted(training, "IsolationForest", "nothing", n_estimators=3)
    assert np.array_equal(load_model(isolation).source_scores(training[0]), -isolation.score_samples(training[0]))


def test_what_gradient_boosting_refuses_goes_the_way_of_its_comparison(
    training: Any, compile_forest: Callable[..., Any]
) -> None:
    estimator = fitted(training, "GradientBoostingRegressor", "targets", n_estimators=4, whole=True)
    rows = np.nan_to_num(training[0])[:20]
    missing, high = rows.copy(), rows.copy()
    missing[:, 0], high[:, 0] = np.nan, 1e9
    with pytest.raises(ValueError, match="NaN"):
        estimator.predict(missing)
    native = compile_forest(load_model(estimator).ensemble, "-O1")
    assert np.array_equal(native.margins(missing), estimator.predict(high))


@pytest.mark.parametrize("name", ["RandomForestClassifier", "GradientBoostingClassifier"])
def test_odd_thresholds(training: Any, assert_equal_to_source: Callable[..., None], name: str) -> None:
    estimator = fitted(training, name, n_estimators=9, whole=True)
    random = np.random.default_rng(2)
    odd = [0.0, -0.0, 1e-36, -1e-36, 1e-45, -1e-45, 1e-50, -1e-50, 0.1, -0.1, 16777217.0, 3.4e38, -3.4e38, 1 + 1e-12]
    for member in np.ravel(estimator.estimators_):
        split = np.flatnonzero(member.tree_.children_left >= 0)
        member.tree_.threshold[split] = random.choice(odd, len(split))
    assert_equal_to_source(load_model(estimator), random.choice([*odd, np.inf, -np.inf], (500, 5)), optimise="-O1")


def test_a_category_is_equal_or_unknown(training: Any, compile_forest: Callable[..., Any]) -> None:
    estimator = fitted(training, "HistGradientBoostingClassifier", max_iter=9, categorical_features=[4])
    native = compile_forest(load_model(estimator).ensemble, "-O1")
    rows = np.tile(training[0][:1], (7, 1))
    rows[:, 4] = [np.nan, 3.5, 41.0, -1.0, 1e12, 2.9999999, 255.0]
    assert np.array_equal(native.margins(rows), estimator.decision_function(rows))
    assert len(set(native.margins(rows))) == 1


def test_categories_need_not_be_their_own_codes(training: Any, assert_equal_to_source: Callable[..., None]) -> None:
    rows = training[0].copy()
    rows[:, 4] = rows[:, 4] * 1000 + 7
    rows[:9, 4] = np.nan
    estimator = ensemble.HistGradientBoostingClassifier(max_iter=5, categorical_features=[False] * 4 + [True])
    model = load_model(estimator.fit(rows, training[1]))
    assert model.ensemble.categories.min() >= 7
    assert set(model.ensemble.categories % 1000) == {7}
    assert_equal_to_source(model, rows, optimise="-O1")


def test_columns_have_the_names_of_the_data_frame(training: Any, assert_equal_to_source: Callable[..., None]) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(training[0], columns=list("abcde"))
    for estimator in (
        ensemble.RandomForestClassifier(3, **SEED),
        ensemble.HistGradientBoostingClassifier(max_iter=3, categorical_features=["e", "b"]),
    ):
        if "e" in (getattr(estimator, "categorical_features", None) or ()):
            frame["b"] = np.arange(600.0) % 7
        model = load_model(estimator.fit(frame, training[1]))
        assert model.ensemble.feature_names == tuple("abcde")
        moved = model.with_features(["unused", *"edcba"])
        assert_equal_to_source(moved, optimise="-O1")


def test_the_anomaly_score_of_an_isolation_forest_lies_between_0_and_1(training: Any) -> None:
    model = load_model(fitted(training, "IsolationForest", "nothing", n_estimators=20))
    assert model.ensemble.link is Link.EXP
    scores = model.source_scores(np.concatenate([training[0], np.full((1, 5), 99.0)]))
    assert 0 < scores.min() < scores.max() < 1
    assert scores[-1] > np.median(scores)


@pytest.mark.parametrize(
    ("name", "parameters", "reason"),
    [
        ("GradientBoostingClassifier", {"init": ensemble.RandomForestClassifier(2), "whole": True},
         "first prediction comes from the estimator RandomForest"),
        ("BaggingClassifier", {"n_estimators": 2}, "expected one of scikit-learn's DecisionTree"),
        ("AdaBoostRegressor", {"what": "targets", "whole": True}, "expected one of scikit-learn's DecisionTree"),
    ],
    ids=["init", "bagging", "adaboost"],
)  # fmt: skip
def test_estimators_that_are_no_plain_forest(training: Any, name: str, parameters: Any, reason: str) -> None:
    with pytest.raises(ModelError, match=reason):
        load_model(fitted(training, name, **parameters))


def test_several_labels_at_once_are_refused(training: Any) -> None:
    labels = np.stack([training[1], 1 - training[1]], axis=1)
    with pytest.raises(ModelError, match="2 labels are predicted at once"):
        load_model(ensemble.RandomForestClassifier(2).fit(training[0], labels))


def test_an_estimator_that_is_not_fitted_is_refused() -> None:
    for kind in (ensemble.RandomForestClassifier, ensemble.HistGradientBoostingRegressor, ensemble.IsolationForest):
        with pytest.raises(ModelError, match="not fitted"):
            load_model(kind())


@pytest.mark.parametrize("name", ["HistGradientBoostingClassifier", "HistGradientBoostingRegressor"])
@pytest.mark.parametrize("form", ["estimator", "skops"])
def test_text_is_read_by_value(
    training: Any, tmp_path: Path, assert_equal_to_source: Callable[..., None], name: str, form: str
) -> None:
    pandas = pytest.importorskip("pandas")
    shops = np.array(["corner shop", "Café", "", "kiosk", None], object)[(training[0][:, 4] % 5).astype(int)]
    labels = training[1] if "Classifier" in name else training[2]
    labels = np.where(shops == "Café", 1 - labels, labels)
    hours = pandas.Categorical(training[0][:, 4].astype(int) // 5 * 10)
    frame = pandas.DataFrame({"amount": training[0][:, 0], "shop": pandas.Categorical(shops), "hour": hours})
    estimator = getattr(ensemble, name)(max_iter=5, categorical_features="from_dtype", **SEED).fit(frame, labels)
    source: Any = estimator
    if form == "skops":
        source = tmp_path / "model"
        pytest.importorskip("skops.io").dump(estimator, source)
    model = load_model(source)
    assert model.ensemble.category_dictionary == (None, ("", "Café", "corner shop", "kiosk"), None)
    assert model.ensemble.unknown_category == "missing"
    code = {text: float(place) for place, text in enumerate(model.ensemble.category_dictionary[1] or ())}
    new = frame.head(300).copy()
    new["shop"] = new["shop"].astype(object).where(new["shop"].notna(), None)
    new.loc[:30, "shop"] = "never seen"
    rows = np.stack(
        [new["amount"], [code.get(shop, np.nan) for shop in new["shop"]], new["hour"].astype(float)], axis=1
    )
    expected = estimator._raw_predict(new).ravel()
    assert np.array_equal(model.source_margins(rows), expected)
    assert_equal_to_source(model, rows, optimise="-O1")
    moved = model.with_features(["shop", "hour", "amount"]).with_categories({0: ("new", "kiosk", "corner shop")})
    assert moved.ensemble.category_dictionary is None
    by_place = {"new": 0.0, "kiosk": 1.0, "corner shop": 2.0}
    declared = new["shop"].isin(["kiosk", "corner shop"]).to_numpy()
    places = np.array([by_place.get(shop, np.nan) for shop in new["shop"]])
    again = moved.source_margins(np.stack([places, rows[:, 2], rows[:, 0]], axis=1))
    assert np.array_equal(again[declared], expected[declared])


def test_numbers_that_are_no_codes_are_refused_as_categories(training: Any) -> None:
    for shift, category in ((2, "-2.0"), (0.5, r"0\.5")):
        rows = training[0].copy()
        rows[:, 4] -= shift if shift == 2 else -shift
        estimator = ensemble.HistGradientBoostingClassifier(max_iter=3, categorical_features=[4])
        with pytest.raises(ModelError, match=f"feature 4 has the category {category}; expected text, or whole numbers"):
            load_model(estimator.fit(rows, training[1]))


@pytest.mark.parametrize(("name", "parameters"), [CASES[i] for i in (0, 9, 16, 20)], ids=str)
def test_a_skops_file_gives_the_same_forest(training: Any, tmp_path: Path, name: str, parameters: Any) -> None:
    skops = pytest.importorskip("skops.io")
    estimator = fitted(training, name, **parameters)
    path = tmp_path / "model"
    skops.dump(estimator, path)
    model, expected = load_model(path), load_model(estimator)
    for field, value in vars(expected.ensemble).items():
        assert np.array_equal(getattr(model.ensemble, field), value), field
    rows = probe_rows(model.ensemble, 50, seed=1)
    assert np.array_equal(model.source_margins(rows), expected.source_margins(rows))


def test_damaged_skops_files_are_refused_or_sound(training: Any, tmp_path: Path) -> None:
    skops = pytest.importorskip("skops.io")
    content = skops.dumps(fitted(training, "HistGradientBoostingClassifier", max_iter=2, categorical_features=[4]))
    path = tmp_path / "model"
    for length in range(4, len(content), len(content) // 25):
        path.write_bytes(content[:length])
        with pytest.raises(ModelError):
            load_model(path)
    random = np.random.default_rng(4)
    for _ in range(40):
        altered = bytearray(content)
        altered[random.integers(4, len(content))] ^= random.integers(1, 256)
        path.write_bytes(altered)
        try:
            model = load_model(path)
            model.source_margins(probe_rows(model.ensemble, 10, seed=0))
        except ModelError:
            pass


def test_skops_that_is_not_installed_is_named_with_its_extra(
    training: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    skops = pytest.importorskip("skops.io")
    path = tmp_path / "model"
    skops.dump(fitted(training, "DecisionTreeClassifier"), path)
    monkeypatch.setitem(sys.modules, "skops.io", None)
    with pytest.raises(MissingExtraError, match=r"quickthorn\[skops\]"):
        load_model(path)


def test_types_that_no_forest_is_made_of_are_never_loaded(tmp_path: Path) -> None:
    skops = pytest.importorskip("skops.io")
    path = tmp_path / "model"
    skops.dump(ensemble.RandomForestClassifier(n_estimators=Path("elsewhere")), path)
    with pytest.raises(ModelError, match="of which no forest is made; not loaded"):
        load_model(path)


@pytest.mark.parametrize(
    ("field", "value"),
    [("left", 10**6), ("right", 0), ("feature_idx", 99), ("bitset_idx", 10**6)],
    ids=str,
)
def test_a_predictor_that_leads_nowhere_is_refused(training: Any, field: str, value: int) -> None:
    estimator = fitted(training, "HistGradientBoostingClassifier", max_iter=2, categorical_features=[4])
    nodes = estimator._predictors[1][0].nodes
    split = np.flatnonzero((nodes["is_leaf"] == 0) & (nodes["is_categorical"] == (field == "bitset_idx")))[0]
    nodes[field][split] = value
    with pytest.raises(ModelError, match="tree 1"):
        load_model(estimator)


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("children_left", 10**6, "tree 1, node 0: children"),
        ("children_left", 0, "tree 1, node 0: children"),
        ("children_right", 1, "reaches a node by two paths"),
        ("feature", 99, "tree 1 splits a feature that is not one of its 5"),
        ("threshold", np.nan, "compares with nan"),
        ("threshold", -np.inf, "compares with -inf"),
    ],
    ids=str,
)
def test_a_tree_that_leads_nowhere_is_refused(training: Any, field: str, value: float, reason: str) -> None:
    estimator = fitted(training, "RandomForestClassifier", n_estimators=2)
    getattr(estimator.estimators_[1].tree_, field)[0] = value
    with pytest.raises(ModelError, match=reason):
        load_model(estimator)
