"""Damaged model files: one clear error or a sound model, and never the end of the process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quickthorn.errors import ModelError
from quickthorn.forest.importing import load_model
from quickthorn.forest.probes import probe_rows


@pytest.fixture(scope="module")
def sound(xgboost: Any, lightgbm: Any, training: Any) -> dict[str, bytes]:
    """A small model with numeric and categorical splits in each format."""
    rows = training[0]
    labels = (rows[:, 4] % 3 == 0) ^ (np.nan_to_num(rows[:, 0]) > 0.5)
    matrix = xgboost.DMatrix(rows, training[1], feature_types=["float"] * 4 + ["c"], enable_categorical=True, nthread=1)
    parameters = {"max_depth": 3, "nthread": 1, "objective": "binary:logistic", "max_cat_to_onehot": 2}
    booster = xgboost.train(parameters, matrix, 2)
    dataset = lightgbm.Dataset(rows, labels, categorical_feature=[4])
    quiet = {"num_leaves": 6, "min_data_per_group": 5, "verbosity": -1, "num_threads": 1, "objective": "binary"}
    text = lightgbm.train(quiet, dataset, 2).model_to_string()
    plain = {"json": bytes(booster.save_raw("json")), "ubj": bytes(booster.save_raw("ubj")), "txt": text.encode()}
    return plain | _several_outputs(xgboost, lightgbm, rows)


def _several_outputs(xgboost: Any, lightgbm: Any, rows: Any) -> dict[str, bytes]:
    """Models of several outputs: dropout in JSON, leaf vectors in UBJSON, linear leaves in text."""
    classes = rows[:, 4] % 3
    dart = {"booster": "dart", "rate_drop": 0.5, "objective": "multi:softprob", "num_class": 3}
    vectors = {"multi_strategy": "multi_output_tree"}
    small = {"max_depth": 2, "nthread": 1}
    dropout = xgboost.train(small | dart, xgboost.DMatrix(rows, classes, nthread=1), 2)
    targets = xgboost.DMatrix(rows, np.stack([classes, -classes], axis=1), nthread=1)
    linear = {"linear_tree": True}
    dataset = lightgbm.Dataset(rows, classes, params=linear)
    quiet = {"num_leaves": 4, "verbosity": -1, "num_threads": 1, "objective": "multiclass", "num_class": 3}
    return {
        "dropout.json": bytes(dropout.save_raw("json")),
        "vectors.ubj": bytes(xgboost.train(small | vectors, targets, 2).save_raw("ubj")),
        "linear.txt": lightgbm.train(quiet | linear, dataset, 2).model_to_string().encode(),
    }


def try_to_use(path: Path, content: bytes) -> bool:
    """Load and, if that works, predict; whether it was refused."""
    path.write_bytes(content)
    try:
        model = load_model(path)
        rows = probe_rows(model.ensemble, 20, seed=0)
        model.source_leaves(rows)
        model.source_margins(rows)
    except ModelError:
        return True
    return False


@pytest.mark.parametrize("ending", ["json", "ubj", "txt", "dropout.json", "vectors.ubj", "linear.txt"])
def test_a_truncated_file_is_refused(sound: dict[str, bytes], tmp_path: Path, ending: str) -> None:
    content = sound[ending]
    # After the trees LightGBM writes statistics and parameters, on which no prediction depends.
    essential = content.find(b"end of trees") if ending.endswith("txt") else len(content)
    for length in range(0, essential, max(1, essential // 150)):
        assert try_to_use(tmp_path / "model", content[:length]), f"the first {length} bytes were taken for a model"


@pytest.mark.parametrize("ending", ["json", "ubj", "txt", "dropout.json", "vectors.ubj", "linear.txt"])
def test_altered_bytes_never_end_the_process(sound: dict[str, bytes], tmp_path: Path, ending: str) -> None:
    random = np.random.default_rng(3)
    refused = 0
    for _ in range(150):
        content = bytearray(sound[ending])
        for _ in range(random.integers(1, 4)):
            content[random.integers(len(content))] = random.choice([0x30, 0x2D, 0x39, 0xFF, random.integers(256)])
        refused += try_to_use(tmp_path / "model", bytes(content))
    assert refused > 20


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("left_children", 10**6),
        ("left_children", -5),
        ("left_children", 0),
        ("right_children", 2**40),
        # The second node of the root becomes its first: node 1 is out of reach, and what it splits too.
        ("left_children", 3),
        ("split_indices", 5),
        ("split_indices", -1),
        ("split_conditions", "x"),
        ("split_conditions", float("nan")),
        ("default_left", None),
        ("default_left", 300),
    ],
    ids=str,
)
def test_a_node_that_leads_nowhere_is_refused(sound: dict[str, bytes], tmp_path: Path, member: str, value: Any) -> None:
    document = json.loads(sound["json"])
    tree = document["learner"]["gradient_booster"]["model"]["trees"][0]
    assert tree["left_children"][0] == 1
    assert tree["split_type"][0] == 0
    tree[member][0] = value
    assert try_to_use(tmp_path / "model", json.dumps(document).encode())


def test_a_cycle_is_refused(sound: dict[str, bytes], tmp_path: Path) -> None:
    document = json.loads(sound["json"])
    tree = document["learner"]["gradient_booster"]["model"]["trees"][1]
    leaf = tree["left_children"].index(-1)
    tree["left_children"][leaf], tree["right_children"][leaf] = 1, 2
    path = tmp_path / "model"
    path.write_text(json.dumps(document))
    with pytest.raises(ModelError, match="tree 1 reaches a node by two paths"):
        load_model(path)


@pytest.mark.parametrize(
    ("line", "replacement"),
    [
        ("num_leaves=", "num_leaves=1000000000"),
        ("left_child=", "left_child=0 0 0 0 0"),
        ("left_child=", "left_child=1 2 3 4 99"),
        ("split_feature=", "split_feature=9 9 9 9 9"),
        ("decision_type=", "decision_type=64 2 2 2 2"),
        ("cat_boundaries=", "cat_boundaries=0 -5"),
        ("cat_boundaries=", "cat_boundaries=0 900000"),
        ("threshold=", "threshold=nan 0 0 0 0"),
        ("leaf_value=", "leaf_value=1_0 0 0 0 0 0"),
        ("leaf_value=", "leaf_value=inf 0 0 0 0 0"),
        ("max_feature_idx=", "max_feature_idx=4000000000"),
        ("num_tree_per_iteration=", "num_tree_per_iteration=0"),
    ],
)
def test_an_altered_line_of_text_is_refused(
    sound: dict[str, bytes], tmp_path: Path, line: str, replacement: str
) -> None:
    lines = sound["txt"].decode().split("\n")
    index = next(number for number, text in enumerate(lines) if text.startswith(line))
    lines[index] = replacement
    assert try_to_use(tmp_path / "model", "\n".join(lines).encode())


def test_parameters_and_tree_sizes_cannot_mislead_lightgbm(sound: dict[str, bytes], tmp_path: Path) -> None:
    text = sound["txt"].decode()
    head, _, rest = text.partition("tree_sizes=")
    first, _, rest = rest.partition("\n")
    sizes = " ".join("999999999" for _ in first.split())
    altered = f"{head}tree_sizes={sizes}\n{rest}".replace("[boosting: gbdt]", "[boosting: \x01]")
    path = tmp_path / "model"
    path.write_text(altered)
    model = load_model(path)
    path.write_text(text)
    rows = probe_rows(model.ensemble, 50, seed=0)
    assert np.array_equal(model.source_margins(rows), load_model(path).source_margins(rows))
