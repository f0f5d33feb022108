"""How much of the training data passed through each node: the numbers that the libraries' own explanations use."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from quickthorn.errors import ModelError
from quickthorn.forest.ensemble import Ensemble
from quickthorn.forest.importing import load_model


def covers_of(ensemble: Ensemble) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The cover of splits and of leaves."""
    assert ensemble.split_cover is not None
    assert ensemble.leaf_cover is not None
    return ensemble.split_cover, ensemble.leaf_cover


def expected_margins(ensemble: Ensemble) -> npt.NDArray[np.float64]:
    """float64 [outputs]: the mean margin of the training data, by cover: where every explanation starts."""
    cover, leaf_cover = covers_of(ensemble)
    values = ensemble.leaf_value.astype(np.float64).reshape(len(leaf_cover), -1)
    total = values * leaf_cover[:, np.newaxis]
    of_split = np.zeros((len(cover), values.shape[1]))
    for split in reversed(range(len(cover))):
        for child in (ensemble.left[split], ensemble.right[split]):
            of_split[split] += of_split[child] if child >= 0 else total[~child]
    expected = np.zeros(ensemble.output_count)
    for root, output in zip(ensemble.roots, ensemble.tree_output, strict=True):
        mean = of_split[root] / cover[root] if root >= 0 else values[~root]
        expected[slice(None) if output < 0 else slice(output, output + 1)] += mean
    margins: npt.NDArray[np.float64] = expected * ensemble.scale + ensemble.base_margin
    return margins


def assert_sums(ensemble: Ensemble, tolerance: float = 0.0) -> None:
    cover, leaf_cover = covers_of(ensemble)
    below = [
        np.where(child >= 0, cover[np.maximum(child, 0)], leaf_cover[np.maximum(~child, 0)])
        for child in (ensemble.left, ensemble.right)
    ]
    np.testing.assert_allclose(below[0] + below[1], cover, rtol=tolerance)


@pytest.mark.parametrize("objective", ["binary:logistic", "multi:softprob", "reg:squarederror"])
def test_xgboost_sums_hessians(xgboost: Any, training: Any, objective: str) -> None:
    rows, labels, targets = training
    wanted = {"binary:logistic": labels, "multi:softprob": labels + (targets > 1.5)}.get(objective, targets)
    parameters = {"objective": objective, "max_depth": 4, "nthread": 1, "base_score": 0.5}
    parameters |= {"num_class": 3} if objective.startswith("multi") else {}
    data = xgboost.DMatrix(rows, wanted)
    booster = xgboost.train(parameters, data, 6)
    ensemble = load_model(booster).ensemble
    frame = booster.trees_to_dataframe()
    leaves = frame[frame.Feature == "Leaf"].sort_values(["Tree", "Node"])
    np.testing.assert_allclose(np.sort(covers_of(ensemble)[1]), np.sort(leaves.Cover), rtol=1e-5)
    bias = booster.predict(data, pred_contribs=True)[0].reshape(ensemble.output_count, -1)[:, -1]
    np.testing.assert_allclose(expected_margins(ensemble), bias, atol=1e-5)
    assert_sums(ensemble, 1e-5)


def test_xgboost_without_usable_hessians(xgboost: Any, training: Any) -> None:
    data = xgboost.DMatrix(training[0], training[1])
    booster = xgboost.train({"max_depth": 3, "nthread": 1}, data, 2, obj=lambda margin, _: (margin - 1, 0 * margin - 1))
    ensemble = load_model(booster).ensemble
    assert (ensemble.split_cover, ensemble.leaf_cover) == (None, None)


@pytest.mark.parametrize("parameters", [{}, {"linear_tree": True}, {"num_class": 3, "objective": "multiclass"}])
def test_lightgbm_counts_rows(lightgbm: Any, training: Any, parameters: dict[str, Any]) -> None:
    rows, labels, targets = training
    wanted = labels + (targets > 1.5) if "num_class" in parameters else labels
    parameters = {"objective": "binary", "verbosity": -1, "num_threads": 1, **parameters}
    categorical = [] if "linear_tree" in parameters else [4]
    booster = lightgbm.train(parameters, lightgbm.Dataset(rows, wanted, categorical_feature=categorical), 5)
    ensemble = load_model(booster).ensemble
    frame = booster.trees_to_dataframe()
    frame = frame[frame.left_child.isna()]
    index = frame.node_index.str.extract(r"^(\d+)-L?S?(\d+)").astype(int)
    frame = frame.assign(leaf=index[1], tree=index[0]).sort_values(["tree", "leaf"])
    owner = trees_of_leaves(ensemble)
    np.testing.assert_array_equal(covers_of(ensemble)[1][np.lexsort((ensemble.leaf_id, owner))], frame["count"])
    assert_sums(ensemble)
    if "linear_tree" not in parameters:
        bias = booster.predict(rows[:1], pred_contrib=True).reshape(ensemble.output_count, -1)[:, -1]
        np.testing.assert_allclose(expected_margins(ensemble), bias, rtol=1e-12)


def trees_of_leaves(ensemble: Ensemble) -> npt.NDArray[np.int64]:
    """int64 [l]: each leaf's tree."""
    owner = np.empty(len(ensemble.leaf_id), np.int64)
    for tree, root in enumerate(ensemble.roots.tolist()):
        waiting = [root]
        while waiting:
            node = waiting.pop()
            if node < 0:
                owner[~node] = tree
            else:
                waiting += [int(ensemble.left[node]), int(ensemble.right[node])]
    return owner


def test_a_lightgbm_text_without_counts(lightgbm: Any, training: Any, tmp_path: Any) -> None:
    parameters = {"objective": "binary", "verbosity": -1, "num_threads": 1}
    text = lightgbm.train(parameters, lightgbm.Dataset(*training[:2]), 2).model_to_string()
    lines = text.split("\n")
    path = tmp_path / "model.txt"
    path.write_text("\n".join(line for line in lines if not line.startswith(("leaf_count", "tree_sizes"))))
    assert load_model(path).ensemble.leaf_cover is None
    path.write_text("\n".join("leaf_count=1 2" if line.startswith("leaf_count") else line for line in lines))
    with pytest.raises(ModelError, match="leaf_count"):
        load_model(path)


@pytest.mark.parametrize("policy", ["SymmetricTree", "Lossguide"])
@pytest.mark.parametrize("loss", ["Logloss", "MultiClass"])
def test_catboost_sums_the_weights_of_leaves(training: Any, policy: str, loss: str) -> None:
    catboost = pytest.importorskip("catboost")
    rows, labels, targets = training
    wanted = labels if loss == "Logloss" else labels + (targets > 1.5)
    parameters = {"iterations": 6, "depth": 3, "verbose": 0, "thread_count": 1, "allow_writing_files": False}
    model = catboost.CatBoost(parameters | {"loss_function": loss, "grow_policy": policy})
    model.fit(rows, wanted, sample_weight=1 + labels)
    ensemble = load_model(model).ensemble
    shap = model.get_feature_importance(catboost.Pool(rows[:1]), type="ShapValues")
    np.testing.assert_allclose(expected_margins(ensemble), shap[0].reshape(ensemble.output_count, -1)[:, -1], atol=1e-9)
    np.testing.assert_allclose(covers_of(ensemble)[0][ensemble.roots], (1 + labels).sum())
    # CatBoost gives the weights of other models in no order, or not at all.
    if (policy, loss) == ("SymmetricTree", "Logloss"):
        np.testing.assert_array_equal(ensemble.leaf_cover, model.get_leaf_weights())
    assert_sums(ensemble)


def test_scikit_learn_sums_weights(training: Any) -> None:
    ensembles = pytest.importorskip("sklearn.ensemble")
    rows, labels, _ = training
    estimator = ensembles.RandomForestClassifier(6, max_depth=5, random_state=0)
    estimator.fit(rows, labels, sample_weight=np.arange(len(labels)) / 7)
    ensemble = load_model(estimator).ensemble
    owner = trees_of_leaves(ensemble)
    expected = [
        estimator.estimators_[t].tree_.weighted_n_node_samples[n] for t, n in zip(owner, ensemble.leaf_id, strict=True)
    ]
    np.testing.assert_array_equal(ensemble.leaf_cover, expected)
    assert_sums(ensemble, 1e-12)
    estimator = ensembles.HistGradientBoostingClassifier(max_iter=4).fit(rows, labels)
    ensemble = load_model(estimator).ensemble
    owner = trees_of_leaves(ensemble)
    expected = [estimator._predictors[t][0].nodes["count"][n] for t, n in zip(owner, ensemble.leaf_id, strict=True)]
    np.testing.assert_array_equal(ensemble.leaf_cover, expected)
    assert_sums(ensemble)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"split_cover": None}, "expected both or neither"),
        ({"leaf_cover": np.ones(2)}, r"leaf_cover: expected float64 \["),
        ({"split_cover": -1.0}, "split_cover: expected finite numbers"),
        ({"leaf_cover": np.nan}, "leaf_cover: expected finite numbers"),
    ],
    ids=str,
)
def test_what_is_no_cover_is_refused(xgboost: Any, training: Any, change: dict[str, Any], reason: str) -> None:
    ensemble = load_model(xgboost.train({"nthread": 1}, xgboost.DMatrix(*training[:2]), 2)).ensemble
    for name, value in change.items():
        whole = np.full_like(getattr(ensemble, name), value) if isinstance(value, float) else value
        with pytest.raises(ModelError, match=reason):
            replace(ensemble, **{name: whole})
