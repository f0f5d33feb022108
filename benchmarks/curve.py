"""Forests made to look for cliffs: many features, many trees, many thresholds in one feature, one tree, one leaf.

They are not trained but drawn: complete trees of random splits, in XGBoost's own format, so that every number on an
axis is exact. XGBoost says what their margins are.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from importlib import metadata
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from benchmarks.models import kept, rows_of, write
from benchmarks.rivals.adapter import ModelFiles

ROWS = 2_000
# Thresholds of every feature but the first.
THRESHOLDS = 64


@dataclass(frozen=True)
class Point:
    """One forest of a line: `value` is where it stands on the line's axis."""

    line: str
    value: int
    features: int = 100
    trees: int = 200
    depth: int = 6
    first_feature_thresholds: int = THRESHOLDS
    rows: int = ROWS

    @property
    def name(self) -> str:
        """As results are filed."""
        return f"{self.line} {self.value}"


LINES = {
    "features": "features in a row, 200 trees of depth 6",
    "trees": "trees of depth 6, 100 features",
    "thresholds": "thresholds in one feature, which half of the splits of 400 trees of depth 6 ask for",
    "leaves": "leaves in each of 200 complete trees",
}


def points(small: bool = False) -> tuple[Point, ...]:
    """Every forest of the curve, or a single one where `small`."""
    found = [
        *(Point("features", n, features=n) for n in (10, 100, 250, 300, 600, 1000)),
        *(Point("trees", n, trees=n) for n in (1, 8, 100, 1000, 2500, 5000)),
        *(Point("thresholds", n, trees=400, first_feature_thresholds=n) for n in (100, 250, 260, 1000, 4000, 10_000)),
        *(Point("leaves", 2**depth, depth=depth) for depth in (0, 1, 3, 6, 8, 10)),
    ]
    if not small:
        return tuple(found)
    return (Point("leaves", 1, depth=0, trees=5, rows=100),)


def make(point: Point, directory: Path) -> ModelFiles:
    """The point's forest in files under `directory`, drawn once."""
    version = metadata.version("xgboost")
    digest = hashlib.sha256(f"{point}{version}".encode()).hexdigest()[:12]
    return kept(directory / f"{point.line}-{point.value}-{digest}", lambda folder: _draw(point, version, folder))


def _draw(point: Point, version: str, folder: Path) -> None:
    import xgboost

    random = np.random.default_rng(point.value)
    # The format's outer parts are as this version of XGBoost writes them: taken from a model of one row.
    one_row = xgboost.DMatrix(np.zeros((1, point.features)), label=[0.5])
    shell = xgboost.train({"objective": "binary:logistic", "base_score": 0.5, "max_depth": 1}, one_row, 1)
    document = json.loads(shell.save_raw("json"))
    model = document["learner"]["gradient_booster"]["model"]
    thresholds = _thresholds(point, random)
    # In turns, so that every threshold is asked for.
    turns = [cycle(each) for each in thresholds]
    model["trees"] = [_tree(point, number, turns, random) for number in range(point.trees)]
    model["tree_info"] = [0] * point.trees
    model["iteration_indptr"] = list(range(point.trees + 1))
    model["gbtree_model_param"]["num_trees"] = str(point.trees)
    booster = xgboost.Booster(model_file=bytearray(json.dumps(document).encode()))
    booster.save_model(folder / "model.ubj")
    rows = rows_of(point.rows, seed=point.value + 1, features=point.features)
    margins = booster.inplace_predict(rows, predict_type="margin")
    card = asdict(point) | {"name": point.name, "library": "xgboost", "file": "model.ubj", "version": version}
    write(folder, card | {"shape": LINES[point.line]}, rows, margins, [2**point.depth] * point.trees)


def _thresholds(point: Point, random: np.random.Generator) -> list[npt.NDArray[np.float32]]:
    """Distinct thresholds by feature, in no order."""
    counts = [point.first_feature_thresholds, *[THRESHOLDS] * (point.features - 1)]
    return [np.unique(random.normal(size=2 * count).astype(np.float32))[random.permutation(count)] for count in counts]


def _tree(
    point: Point, number: int, thresholds: list[cycle[np.float32]], random: np.random.Generator
) -> dict[str, Any]:
    """A complete tree, breadth first, as XGBoost's JSON has it."""
    inner, nodes = 2**point.depth - 1, 2 ** (point.depth + 1) - 1
    feature = random.integers(0, point.features, inner)
    if point.line == "thresholds":
        feature[random.random(inner) < 0.5] = 0
    chosen = [next(thresholds[each]) for each in feature]
    leaves = (random.normal(size=nodes - inner) / 100).astype(np.float32)
    values = [float(value) for value in [*chosen, *leaves]]
    children = np.arange(inner)
    return {
        "base_weights": [0.0] * nodes,
        "categories": [],
        "categories_nodes": [],
        "categories_segments": [],
        "categories_sizes": [],
        "default_left": [int(left) for left in random.integers(0, 2, inner)] + [0] * (nodes - inner),
        "id": number,
        "left_children": [int(child) for child in 2 * children + 1] + [-1] * (nodes - inner),
        "right_children": [int(child) for child in 2 * children + 2] + [-1] * (nodes - inner),
        "parents": [2147483647] + [(node - 1) // 2 for node in range(1, nodes)],
        "split_conditions": values,
        "split_indices": [int(each) for each in feature] + [0] * (nodes - inner),
        "split_type": [0] * nodes,
        "loss_changes": [1.0] * inner + [0.0] * (nodes - inner),
        "sum_hessian": [1.0] * nodes,
        "tree_param": {
            "num_deleted": "0",
            "num_feature": str(point.features),
            "num_nodes": str(nodes),
            "size_leaf_vector": "1",
        },
    }
