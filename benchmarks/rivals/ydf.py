"""YDF: it reads no other library's models, so their trees are set, node by node, into a small trained model's place."""

from __future__ import annotations

import json
import math
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from benchmarks.rivals.adapter import Loaded, ModelFiles, Refused


class YDF:
    """The fastest engine YDF takes for the trees, on one thread, from Python.

    Its exported C++ replaces a missing value by one constant for all nodes, which these models' directions do not
    allow, so it is not measured.
    """

    name = "YDF"
    environment = "ydf"
    libraries = ("xgboost", "lightgbm", "catboost")
    # float32 sums.
    tolerance = 1e-4
    recipe = "trees set through ydf.tree"

    def version(self) -> str:
        try:
            return f"ydf {metadata.version('ydf')}"
        except metadata.PackageNotFoundError as error:
            raise Refused(f"{error.name} is not installed") from None

    def prepare(self, model: ModelFiles, folder: Path) -> list[Path]:
        import ydf

        trees, base = {"xgboost": _of_xgboost, "lightgbm": _of_lightgbm, "catboost": _of_catboost}[model.library](model)
        shell = _one_tree(model.features)
        for number, tree in enumerate(trees):
            taken = ydf.tree.Tree(root=tree)
            shell.set_tree(0, taken) if number == 0 else shell.add_tree(taken)
        shell.set_initial_predictions([base])
        shell.save(str(folder / "model"))
        return sorted((folder / "model").iterdir())

    def load(self, model: ModelFiles, folder: Path) -> Loaded:
        import ydf

        loaded = ydf.load_model(str(folder / "model"))

        def predict(rows: dict[str, npt.NDArray[Any]]) -> Any:
            return loaded.predict(rows, num_threads=1)

        return Loaded(
            batch=lambda rows: predict({"row": rows}),
            one_row=predict,
            row_form=lambda row: {"row": row},
            keep=loaded,
        )


def _one_tree(features: int) -> Any:
    """A model of one small tree over a feature vector named `row`, whose output is the bare sum."""
    import ydf

    random = np.random.default_rng(0)
    rows = random.normal(size=(40, features)).astype(np.float32)
    rows[0] = np.nan
    learner = ydf.GradientBoostedTreesLearner(
        label="label", num_trees=1, max_depth=2, validation_ratio=0.0, apply_link_function=False, min_examples=1
    )
    return learner.train({"row": rows, "label": np.arange(40) % 2}, verbose=0)


def _node(feature: int, threshold: np.float32, missing: bool, above: Any, below: Any) -> Any:
    """`above` where the feature is at least the threshold, or is missing and `missing` says so."""
    import ydf

    # The label stands in column 0 of the model.
    condition = ydf.tree.NumericalHigherThanCondition(
        missing=missing, score=0.0, attribute=feature + 1, threshold=float(threshold)
    )
    return ydf.tree.NonLeaf(condition=condition, pos_child=above, neg_child=below)


def _leaf(value: float) -> Any:
    import ydf

    return ydf.tree.Leaf(value=ydf.tree.RegressionValue(num_examples=1, value=value))


def _just_above(threshold: float) -> np.float32:
    """The smallest float32 above a float64: x > threshold is x >= this for every float32 x."""
    nearest = np.float32(threshold)
    return nearest if nearest > threshold else np.nextafter(nearest, np.float32(np.inf))


def _of_xgboost(model: ModelFiles) -> tuple[list[Any], float]:
    import xgboost

    learner = json.loads(xgboost.Booster(model_file=model.file).save_raw("json"))["learner"]

    def build(tree: dict[str, Any], node: int) -> Any:
        value = np.float32(tree["split_conditions"][node])
        if tree["left_children"][node] == -1:
            return _leaf(float(value))
        above, below = (build(tree, tree[side][node]) for side in ("right_children", "left_children"))
        return _node(tree["split_indices"][node], value, not tree["default_left"][node], above, below)

    base = float(learner["learner_model_param"]["base_score"].strip("[]"))
    trees = learner["gradient_booster"]["model"]["trees"]
    return [build(tree, 0) for tree in trees], math.log(base / (1 - base))


def _of_lightgbm(model: ModelFiles) -> tuple[list[Any], float]:
    import lightgbm

    def build(node: dict[str, Any]) -> Any:
        if "leaf_value" in node:
            return _leaf(node["leaf_value"])
        if node["decision_type"] != "<=" or node["missing_type"] == "Zero":
            raise Refused("a split is of a kind that is not carried over")
        # Where a feature has no missing values in training, NaN counts as 0.
        goes_left = node["threshold"] >= 0 if node["missing_type"] == "None" else node["default_left"]
        above, below = build(node["right_child"]), build(node["left_child"])
        return _node(node["split_feature"], _just_above(node["threshold"]), not goes_left, above, below)

    document = lightgbm.Booster(model_file=model.file).dump_model()
    return [build(tree["tree_structure"]) for tree in document["tree_info"]], 0.0


def _of_catboost(model: ModelFiles) -> tuple[list[Any], float]:
    import tempfile

    import catboost

    loaded = catboost.CatBoost()
    loaded.load_model(str(model.file))
    with tempfile.TemporaryDirectory() as scratch:
        loaded.save_model(f"{scratch}/model.json", format="json")
        document = json.loads(Path(f"{scratch}/model.json").read_text())
    treatment = {
        each["feature_index"]: each["nan_value_treatment"] for each in document["features_info"]["float_features"]
    }

    def build(tree: dict[str, Any], level: int, leaf: int) -> Any:
        if level < 0:
            return _leaf(tree["leaf_values"][leaf])
        split = tree["splits"][level]
        feature = split["float_feature_index"]
        above, below = build(tree, level - 1, leaf | 1 << level), build(tree, level - 1, leaf)
        return _node(feature, _just_above(split["border"]), treatment[feature] == "AsTrue", above, below)

    scale, (bias,) = document["scale_and_bias"]
    if scale != 1:
        raise Refused("the sum is scaled")
    return [build(tree, len(tree["splits"]) - 1, 0) for tree in document["oblivious_trees"]], bias


ADAPTERS = (YDF(),)
