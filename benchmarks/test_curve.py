"""The drawn forests are what their axes say, and XGBoost reads them so."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import xgboost
from benchmarks import curve
from benchmarks.curve import Point
from benchmarks.rivals.tl2cgen import entries


@pytest.mark.parametrize(
    "point",
    [
        Point("features", 30, features=30, trees=40, depth=5, rows=20),
        Point("thresholds", 300, features=8, trees=40, depth=5, first_feature_thresholds=300, rows=20),
        Point("leaves", 1, features=3, trees=4, depth=0, rows=20),
    ],
    ids=lambda point: point.name,
)
def test_a_drawn_forest_is_what_its_axis_says(point: Point, tmp_path: Path) -> None:
    model = curve.make(point, tmp_path)
    booster = xgboost.Booster(model_file=model.file)
    trees = json.loads(booster.save_raw("json"))["learner"]["gradient_booster"]["model"]["trees"]
    inner = 2**point.depth - 1
    assert (booster.num_features(), len(trees)) == (point.features, point.trees)
    assert {sum(left == -1 for left in tree["left_children"]) for tree in trees} == {inner + 1}
    asked: dict[int, set[float]] = {}
    for tree in trees:
        for feature, threshold in zip(tree["split_indices"][:inner], tree["split_conditions"][:inner], strict=True):
            asked.setdefault(feature, set()).add(threshold)
    if point.line == "thresholds":
        assert len(asked[0]) == point.value
    if point.line == "features":
        assert len(asked) == point.value
    assert model.rows().shape == (point.rows, point.features)
    np.testing.assert_array_equal(model.margins(), booster.inplace_predict(model.rows(), predict_type="margin"))


def test_a_point_is_drawn_once_and_the_same_everywhere(tmp_path: Path) -> None:
    point = Point("trees", 3, features=4, trees=3, depth=2, rows=10)
    first, second = curve.make(point, tmp_path / "a"), curve.make(point, tmp_path / "b")
    assert first.file.read_bytes() == second.file.read_bytes()
    np.testing.assert_array_equal(first.margins(), second.margins())
    first.file.write_bytes(b"kept")
    assert curve.make(point, tmp_path / "a").file.read_bytes() == b"kept"


@pytest.mark.parametrize("doubles", [False, True])
def test_missing_values_are_minus_one_in_an_entry(doubles: bool) -> None:
    given = np.array([[1.5, np.nan]], dtype=np.float32)
    taken = entries(given, doubles)
    size = 8 if doubles else 4
    assert (taken.dtype.itemsize, taken[0, 0], np.isnan(given[0, 1])) == (size, 1.5, True)
    assert taken.tobytes()[size : size + 4] == b"\xff\xff\xff\xff"
