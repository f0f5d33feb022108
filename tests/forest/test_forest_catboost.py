"""CatBoost models trained here: what the compiled forest says is what CatBoost says."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quickthorn.calibration.link import Link
from quickthorn.errors import MissingExtraError, ModelError
from quickthorn.forest.catboost_document import read_document
from quickthorn.forest.importing import load_model
from quickthorn.forest.probes import probe_rows

from .conftest import wanted

catboost = pytest.importorskip("catboost")

QUIET = {"iterations": 13, "depth": 4, "verbose": 0, "thread_count": 1, "allow_writing_files": False}


def fitted(training: Any, what: str = "labels", category: bool = False, **parameters: Any) -> Any:
    rows, *_ = training
    if category:
        rows = rows.astype(object)
        rows[:, 4] = training[0][:, 4].astype(int)
        parameters["cat_features"] = [4]
    return catboost.CatBoost(QUIET | {"loss_function": "Logloss"} | parameters).fit(rows, wanted(what, training))


CASES = [
    {},
    {"nan_mode": "Max"},
    {"depth": 9, "iterations": 3},
    {"iterations": 50, "border_count": 254, "depth": 6},
    {"loss_function": "Focal:focal_alpha=0.5;focal_gamma=2"},
    {"loss_function": "RMSE", "what": "targets"},
    {"loss_function": "Quantile:alpha=0.3", "what": "targets"},
    {"loss_function": "Poisson", "what": "positive"},
    {"loss_function": "Tweedie:variance_power=1.5", "what": "positive"},
    {"loss_function": "MultiClass", "what": "classes"},
    {"loss_function": "MultiClassOneVsAll", "what": "classes"},
    {"loss_function": "MultiRMSE", "what": "both"},
    {"loss_function": "MultiLogloss", "what": "tags"},
    {"grow_policy": "Depthwise"},
    {"grow_policy": "Lossguide", "max_leaves": 20, "depth": 9},
    {"grow_policy": "Lossguide", "loss_function": "MultiClass", "what": "classes"},
    {"category": True, "one_hot_max_size": 64},
    {"category": True, "one_hot_max_size": 64, "grow_policy": "Lossguide", "nan_mode": "Max"},
]


@pytest.mark.parametrize("parameters", CASES, ids=str)
def test_a_model_compiles_to_its_own_leaves_and_margins(
    training: Any, assert_equal_to_source: Callable[..., None], parameters: dict[str, Any]
) -> None:
    model = load_model(fitted(training, **parameters))
    assert model.ensemble.source == "catboost"
    assert (model.ensemble.precision, model.ensemble.sum_precision) == ("float32", "float64")
    assert model.ensemble.categorical.any() == ("category" in parameters)
    assert_equal_to_source(model, training[0], optimise="-O1")
    rows = training[0][:50]
    linked = [model.ensemble.link.scores(list(row)) for row in model.source_margins(rows).reshape(50, -1)]
    assert np.allclose(np.reshape(linked, model.source_scores(rows).shape), model.source_scores(rows), rtol=1e-14)


def test_the_source_is_the_public_interface(training: Any) -> None:
    rows, labels, _ = training
    estimator = catboost.CatBoostClassifier(**QUIET).fit(rows, labels)
    model = load_model(estimator)
    raw = [estimator.predict(row[np.newaxis], prediction_type="RawFormulaVal")[0] for row in rows[:50]]
    assert np.array_equal(model.source_margins(rows[:50]), raw)
    assert np.array_equal(model.source_scores(rows), estimator.predict_proba(rows)[:, 1])
    assert np.array_equal(model.source_leaves(rows), estimator.calc_leaf_indexes(rows))
    assert model.ensemble.link is Link.SIGMOID


def test_scale_and_bias_come_last(training: Any, assert_equal_to_source: Callable[..., None]) -> None:
    estimator = fitted(training)
    estimator.set_scale_and_bias(0.37, 0.123)
    model = load_model(estimator)
    assert (model.ensemble.scale, model.ensemble.base_margin.tolist()) == (0.37, [0.123])
    assert_equal_to_source(model, training[0], optimise="-O1")


@pytest.mark.parametrize("ending", ["cbm", "json"])
@pytest.mark.parametrize("parameters", [CASES[14], CASES[16]], ids=str)
def test_a_file_gives_what_catboost_computes_from_it(
    training: Any, tmp_path: Path, assert_equal_to_source: Callable[..., None], ending: str, parameters: dict[str, Any]
) -> None:
    estimator = fitted(training, **parameters)
    path = tmp_path / "model"
    estimator.save_model(str(path), format=ending)
    model = load_model(path)
    assert_equal_to_source(model, training[0], optimise="-O1")
    # CatBoost rounds the numbers of a JSON file a little off as it reads them, so only a .cbm keeps every bit.
    margins, expected = model.source_margins(training[0]), load_model(estimator).source_margins(training[0])
    assert np.array_equal(margins, expected) if ending == "cbm" else np.allclose(margins, expected, rtol=0, atol=1e-13)


def test_features_have_the_names_of_the_data_frame(training: Any, assert_equal_to_source: Callable[..., None]) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(training[0], columns=list("abcde")).astype({"e": int})
    estimator = catboost.CatBoostClassifier(**QUIET, cat_features=["e"], one_hot_max_size=64).fit(frame, training[1])
    model = load_model(estimator)
    assert model.ensemble.feature_names == tuple("abcde")
    assert model.ensemble.categorical.any()
    assert_equal_to_source(model.with_features(["unused", *"edcba"]), optimise="-O1")


def test_odd_borders(tmp_path: Path, assert_equal_to_source: Callable[..., None]) -> None:
    odd = [-3.4028234663852886e38, -1.0, -1e-36, -1e-45, 0.0, 1e-45, 1e-36, 0.1, 16777216.0, 3.4028234663852886e38]
    borders = [float(np.float32(border)) for border in odd]
    random = np.random.default_rng(6)
    features = [
        {"feature_index": index, "flat_feature_index": index, "feature_id": "", "borders": borders,
         "has_nans": treatment != "AsIs", "nan_value_treatment": treatment}
        for index, treatment in enumerate(("AsIs", "AsFalse", "AsTrue"))
    ]  # fmt: skip
    trees = []
    for _ in range(30):
        chosen = random.integers(0, (3, len(borders)), (3, 2)).tolist()
        splits = [
            {"split_type": "FloatFeature", "float_feature_index": feature, "border": borders[border],
             "split_index": feature * len(borders) + border}
            for feature, border in chosen
        ]  # fmt: skip
        trees.append({"leaf_values": random.normal(size=8).tolist(), "splits": splits})
    document = {
        "features_info": {"float_features": features},
        "model_info": {"params": {"loss_function": {"type": "RMSE"}}},
        "oblivious_trees": trees,
        "scale_and_bias": [1, [0.25]],
    }
    path = tmp_path / "model"
    path.write_text(json.dumps(document))
    model = load_model(path)
    assert set(model.ensemble.threshold) <= set(np.array(odd, np.float32))
    assert_equal_to_source(model, random.choice([*odd, np.nan, -0.0, np.inf, -np.inf], (500, 3)), optimise="-O1")


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"category": True}, r"target statistics \(CTR\) of the categorical feature\(s\) 'number 4'"),
        ({"loss_function": "RMSEWithUncertainty", "what": "targets"}, "unknown objective 'RMSEWithUncertainty'"),
    ],
    ids=str,
)
def test_models_that_cannot_be_honoured(training: Any, parameters: dict[str, Any], reason: str) -> None:
    with pytest.raises(ModelError, match=reason):
        load_model(fitted(training, **parameters))


SHOPS = ["corner shop", "Café Ünï", "", "kiosk ", "nan"]


@pytest.fixture(scope="module")
def shops(training: Any) -> Any:
    """A frame of amounts, shops by name (one of them called as a missing value is) and hours; and labels."""
    pandas = pytest.importorskip("pandas")
    rows = training[0]
    codes = rows[:, 4].astype(int)
    frame = pandas.DataFrame(
        {"amount": rows[:, 0], "shop": [SHOPS[code % 5] for code in codes], "hour": codes // 5 * 1000}
    )
    return frame, (np.nan_to_num(rows[:, 0]) > 0.4) ^ (codes % 5 == 1) ^ (codes % 5 == 4) ^ (codes // 5 == 2)


def fitted_to(shops: Any, **parameters: Any) -> Any:
    options = QUIET | {"cat_features": ["shop", "hour"], "one_hot_max_size": 64} | parameters
    return catboost.CatBoostClassifier(**options).fit(*shops)


@pytest.mark.parametrize("parameters", [{}, {"grow_policy": "Lossguide"}, {"loss_function": "MultiClass"}], ids=str)
@pytest.mark.parametrize("form", ["estimator", "cbm", "json", "json with its pool"])
def test_text_is_compared_as_catboost_does(
    shops: Any, tmp_path: Path, assert_equal_to_source: Callable[..., None], parameters: dict[str, Any], form: str
) -> None:
    estimator = fitted_to(shops, **parameters)
    source: Any = estimator
    texts: dict[str | int, list[str]] = {"shop": ["never seen", *SHOPS]}
    if form != "estimator":
        source = tmp_path / "model"
        pool = catboost.Pool(*shops, cat_features=["shop", "hour"]) if "pool" in form else None
        estimator.save_model(str(source), format=form[:4].strip(), pool=pool)
        texts = {} if pool else texts
    model = load_model(source, categories=texts)
    levels = model.ensemble.category_dictionary
    assert levels is not None
    assert levels[0] is levels[2] is None, "the hours are their own codes"
    assert levels[1] is not None
    assert {"Café Ünï", "nan"} < set(levels[1]) <= set(SHOPS)
    frame = shops[0].head(200)
    place = {text: float(code) for code, text in enumerate(levels[1])}
    # What is in no dictionary, such as a shop that no split asks for, is no category.
    rows = np.stack([frame["amount"], [place.get(shop, -1.0) for shop in frame["shop"]], frame["hour"]], axis=1)
    raw = estimator.predict(frame, prediction_type="RawFormulaVal")
    np.testing.assert_allclose(model.source_margins(rows), raw, rtol=0, atol=1e-13 if "json" in form else 0)
    assert np.array_equal(model.source_leaves(rows), estimator.calc_leaf_indexes(frame)) or "json" in form
    missing = rows.copy()
    missing[:, 1] = np.where(frame["shop"] == "nan", np.nan, rows[:, 1])
    assert np.array_equal(model.source_margins(missing), model.source_margins(rows))
    if form == "estimator":
        assert_equal_to_source(model, np.concatenate([rows, missing]), optimise="-O1")


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        ({}, r"'shop' was trained on text, of which the model keeps hashes alone, and (\d) of \1 are of no text"),
        ({"shop": SHOPS[:2]}, r"'shop' was trained on text.*and \d of \d are of no text that is known; expected all"),
        ({"hour": SHOPS}, "'shop' was trained on text"),
        ({"shop": SHOPS, "hour": ["0", "2000", "1000"]}, "the category '2000', which may be that text or the place"),
    ],
    ids=str,
)
def test_text_that_is_not_known_is_refused_by_the_features_name(
    shops: Any, texts: dict[str | int, list[str]], reason: str
) -> None:
    with pytest.raises(ModelError, match=reason):
        load_model(fitted_to(shops), categories=texts)


def test_missing_values_are_the_category_of_their_text_among_numbers_too(
    training: Any, assert_equal_to_source: Callable[..., None]
) -> None:
    rows = np.stack([training[0][:, 4] % 4, np.nan_to_num(training[0][:, 0])], axis=1).astype(object)
    rows[:, 0] = ["nan" if code == 3 else str(int(code)) for code in rows[:, 0]]
    labels = (rows[:, 0] == "nan") ^ (rows[:, 1].astype(float) > 0)
    estimator = catboost.CatBoostClassifier(**QUIET, cat_features=[0], one_hot_max_size=64).fit(rows, labels)
    model = load_model(estimator)
    assert model.ensemble.category_dictionary is None
    assert (model.ensemble.categorical & model.ensemble.default_left).any()
    seen = np.array([[np.nan if code == "nan" else float(code), x] for code, x in rows], np.float64)
    assert np.array_equal(model.source_margins(seen), estimator.predict(rows, prediction_type="RawFormulaVal"))
    assert_equal_to_source(model, seen, optimise="-O1")


def test_catboost_that_is_not_installed_is_named_with_its_extra(
    training: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model"
    fitted(training, iterations=2).save_model(str(path), format="cbm")
    monkeypatch.setitem(sys.modules, "catboost", None)
    with pytest.raises(MissingExtraError, match=r"quickthorn\[catboost\]"):
        load_model(path)


def test_trees_without_weights_that_catboost_cannot_export_do_not_end_the_process(
    export: Callable[[bool], dict[str, Any]], tmp_path: Path
) -> None:
    def weightless(node: dict[str, Any]) -> dict[str, Any]:
        sides = {side: weightless(node[side]) for side in ("left", "right") if side in node}
        return {key: value for key, value in node.items() if key != "weight"} | sides

    document = export(True)
    document["trees"] = [weightless(tree) for tree in document["trees"]]
    path = tmp_path / "model"
    path.write_text(json.dumps(document))
    for source in (path, catboost.CatBoost().load_model(str(path), format="json")):
        with pytest.raises(ModelError, match="CatBoost cannot load the file: its process ended with -"):
            load_model(source)


def test_a_model_that_is_not_fitted_is_refused() -> None:
    with pytest.raises(ModelError, match="not fitted"):
        load_model(catboost.CatBoostClassifier())


def test_truncated_files_are_refused(training: Any, tmp_path: Path) -> None:
    estimator = fitted(training, iterations=3)
    path, saved = tmp_path / "model", tmp_path / "saved"
    estimator.save_model(str(saved), format="cbm")
    content = saved.read_bytes()
    for length in range(4, len(content), len(content) // 50):
        path.write_bytes(content[:length])
        with pytest.raises(ModelError, match="truncated"):
            load_model(path)
    estimator.save_model(str(saved), format="json")
    content = saved.read_bytes()
    for length in range(40, len(content.rstrip()), len(content) // 50):
        path.write_bytes(content[:length])
        with pytest.raises(ModelError, match="not a sound JSON document"):
            load_model(path)


@pytest.mark.parametrize("ending", ["cbm", "json"])
def test_altered_files_never_end_the_process(training: Any, tmp_path: Path, ending: str) -> None:
    path = tmp_path / "model"
    fitted(training, iterations=3, grow_policy="Lossguide").save_model(str(path), format=ending)
    content = path.read_bytes()
    random = np.random.default_rng(8)
    for _ in range(3):
        altered = bytearray(content)
        for _ in range(3):
            altered[random.integers(24, len(content))] = random.choice([0x30, 0x39, 0xFF])
        path.write_bytes(altered)
        try:
            model = load_model(path)
            model.source_margins(probe_rows(model.ensemble, 10, seed=0))
        except ModelError:
            pass


@pytest.fixture(scope="module")
def export(training: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[[bool], dict[str, Any]]:
    path = tmp_path_factory.mktemp("export") / "model"
    texts = []
    for policy in ("SymmetricTree", "Lossguide"):
        fitted(training, iterations=2, grow_policy=policy).save_model(str(path), format="json")
        texts.append(path.read_text())
    return lambda nested: json.loads(texts[nested])


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        (["scale_and_bias"], [1], "scale_and_bias"),
        (["scale_and_bias"], [10**400, [0]], "within float64"),
        (["features_info", "float_features"], [], "expected 1 to"),
        (["features_info", "float_features", 0, "flat_feature_index"], 1, "each at its own place"),
        (["features_info", "float_features", 0, "feature_index"], 1, "two features have one feature_index"),
        (["features_info", "float_features", 0, "flat_feature_index"], 10**9, "expected 1 to"),
        (["features_info", "float_features", 0, "nan_value_treatment"], "Perhaps", "unknown nan_value_treatment"),
        (["features_info", "text_features"], [{}], "the model reads text features"),
        (["model_info"], None, "does not say what it was trained for"),
        (["oblivious_trees"], [], "no trees"),
        (["oblivious_trees", 1, "splits"], 3, "tree 1: expected an object with a list of splits"),
        (["oblivious_trees", 1, "splits", 0, "split_type"], "OnlineCtr", "tree 1: unknown split 'OnlineCtr'"),
        (["oblivious_trees", 1, "splits", 0, "float_feature_index"], 9, "tree 1: a split reads no feature"),
        (["oblivious_trees", 1, "splits", 0, "float_feature_index"], [0], "tree 1: a split reads no feature"),
        (["oblivious_trees", 1, "splits", 0, "border"], 1e300, "compares with no number"),
        (["oblivious_trees", 1, "leaf_values"], [1.0], "tree 1: expected 16 leaves of 1"),
        (["oblivious_trees", 1, "leaf_values", 0], "1", "tree 1: expected 16 leaves of 1"),
        (["oblivious_trees", 1, "leaf_values", 0], 10**400, "within float64"),
        (["trees", 1], 7, "tree 1: node 0: expected an object"),
        (["trees", 1, "left"], None, "tree 1: node 1: expected an object"),
        (["trees", 1, "split"], None, "tree 1: unknown split None"),
        (["trees", 1, "right"], {"value": [1, 2]}, "tree 1: expected 1 leaves of 1"),
    ],
    ids=str,
)
def test_an_altered_export_is_refused(
    export: Callable[[bool], dict[str, Any]], place: list[Any], value: Any, reason: str
) -> None:
    document = export(place[0] == "trees")
    holder: Any = document
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = value
    with pytest.raises(ModelError, match=reason):
        read_document(json.dumps(document).encode(), "model.json")


def test_an_export_that_is_no_json_is_refused() -> None:
    for content, reason in ((b"[1]", "JSON object"), (b'{"a": NaN}', "NaN"), (b"{" + b'"a":[' * 10**5, "deeper|sound")):
        with pytest.raises(ModelError, match=reason):
            read_document(content, "model.json")
