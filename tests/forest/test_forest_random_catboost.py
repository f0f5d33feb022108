"""Random small CatBoost forests no trainer would grow: odd borders, missing values either way, one-hot categories."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quickthorn.forest.importing import LoadedModel, load_model

from .test_forest_random import assert_reference_equals_source, few, many, numbers, shapes

catboost = pytest.importorskip("catboost")

CATEGORIES = ["0", "1", "7", "65535", "nan", "a text"]
LEAVES = st.floats(-9, 9, allow_subnormal=False)


@pytest.fixture(scope="module")
def hashes(tmp_path_factory: pytest.TempPathFactory) -> list[int]:
    """CatBoost's hashes of the categories, signed as it writes them, from the table of an export."""
    path = tmp_path_factory.mktemp("hashes") / "model"
    pool = catboost.Pool(np.array([[text] for text in CATEGORIES], object), list(range(6)), cat_features=[0])
    options = {"iterations": 1, "depth": 1, "one_hot_max_size": 9, "verbose": 0, "allow_writing_files": False}
    catboost.CatBoost(options).fit(pool).save_model(str(path), format="json", pool=pool)
    table = json.loads(path.read_text())["features_info"]["cat_features_hash"]
    found = {entry["value"]: entry["hash"] for entry in table}
    return [found[text] - 2**32 * (found[text] >= 2**31) for text in CATEGORIES]


@st.composite
def documents(draw: st.DrawFn) -> Callable[[list[int]], str]:
    """An export of random trees, once the hashes of the categories are given."""
    borders = [sorted(draw(st.sets(numbers(32).map(np.float32).map(float), min_size=1, max_size=6))) for _ in range(2)]
    treatments = draw(st.lists(st.sampled_from(["AsIs", "AsFalse", "AsTrue"]), min_size=2, max_size=2))
    categories = draw(st.lists(st.integers(0, 5), min_size=1, max_size=6, unique=True))
    outputs, nested = draw(st.sampled_from([1, 1, 3])), draw(st.sampled_from([False, False, True]))
    choices = [(feature, place) for feature in (0, 1) for place in range(len(borders[feature]))]
    choices += [(2, category) for category in categories]

    def leaf(node: dict[str, Any]) -> dict[str, Any]:
        values = [draw(LEAVES) for _ in range(outputs)]
        return node | {"value": values if outputs > 1 else values[0], "weight": 1.0}

    def grown(shape: list[tuple[int, int]], split: int) -> dict[str, Any]:
        if split < 0:
            return leaf({})
        left, right = shape[split]
        return {"split": draw(st.sampled_from(choices)), "left": grown(shape, left), "right": grown(shape, right)}

    trees: list[dict[str, Any]] = []
    for _ in range(draw(st.integers(1, 8))):
        if nested:
            shape = draw(shapes())
            trees.append(grown(shape, 0 if shape else -1))
        else:
            splits = draw(st.lists(st.sampled_from(choices), max_size=4))
            trees.append({"splits": splits, "leaf_values": [draw(LEAVES) for _ in range(outputs << len(splits))]})
    scale = draw(st.sampled_from([1.0, 0.37]))
    bias = [draw(st.sampled_from([0.0, 0.25, -1e-3])) for _ in range(outputs)]

    def written(hashes: list[int]) -> str:
        values = sorted(hashes[category] for category in categories)

        def split(chosen: tuple[int, int]) -> dict[str, Any]:
            feature, place = chosen
            if feature == 2:
                index = len(borders[0]) + len(borders[1]) + values.index(hashes[place])
                return {"split_type": "OneHotFeature", "cat_feature_index": 0, "value": hashes[place],
                        "split_index": index}  # fmt: skip
            return {"split_type": "FloatFeature", "float_feature_index": feature, "border": borders[feature][place],
                    "split_index": place + (len(borders[0]) if feature else 0)}  # fmt: skip

        def tree(node: dict[str, Any]) -> dict[str, Any]:
            if "splits" in node:
                return node | {"splits": [split(chosen) for chosen in node["splits"]]}
            if "value" in node:
                return node
            return {"split": split(node["split"]), "left": tree(node["left"]), "right": tree(node["right"])}

        features = [
            {"feature_index": index, "flat_feature_index": index, "feature_id": "", "borders": borders[index],
             "has_nans": treatments[index] != "AsIs", "nan_value_treatment": treatments[index]}
            for index in (0, 1)
        ]  # fmt: skip
        categorical = {"feature_index": 0, "flat_feature_index": 2, "feature_id": "", "values": values}
        document = {
            "features_info": {"float_features": features, "categorical_features": [categorical]},
            "model_info": {"params": {"loss_function": {"type": "RMSE" if outputs == 1 else "MultiRMSE"}}},
            "trees" if nested else "oblivious_trees": [tree(node) for node in trees],
            "scale_and_bias": [scale, bias],
        }
        return json.dumps(document)

    return written


def read(text: str, hashes: list[int]) -> LoadedModel:
    # Where all that splits ask for are numbers, texts that are numbers too would have two meanings.
    categories: dict[str | int, list[str]] = {2: CATEGORIES} if f'"value": {hashes[5]}' in text else {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        path.write_text(text)
        # A file is tried in a process of its own first, which takes its time.
        return load_model(catboost.CatBoost().load_model(str(path), format="json"), categories=categories)


@settings(many, max_examples=25)
@given(document=documents())
def test_the_reference_reads_random_catboost_forests(document: Callable[[list[int]], str], hashes: list[int]) -> None:
    assert_reference_equals_source(read(document(hashes), hashes))


@few
@given(document=documents())
def test_random_catboost_forests(
    document: Callable[[list[int]], str], hashes: list[int], assert_equal_to_source: Callable[..., None]
) -> None:
    assert_equal_to_source(read(document(hashes), hashes), optimise="-O1")
