"""XGBoost's old binary format: files of releases that wrote it, what those predicted, and files that are damaged."""

from __future__ import annotations

import contextlib
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quickthorn.errors import ModelError
from quickthorn.forest.importing import load_model
from quickthorn.forest.xgboost_binary import is_binary, read_binary
from quickthorn.forest.xgboost_document import read_document

from .conftest import wanted
from .test_forest_corrupt import try_to_use

FOLDER = Path(__file__).with_name("xgboost_binary")
WRITTEN = sorted(path for path in FOLDER.glob("*.model") if "gblinear" not in path.name)
# Before 1.3, XGBoost added the trees to nothing and then the base margin, so the last bits differ from what it does
# since then.
EARLY = ("0.90", "1.0.2")


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.stem)
def test_a_file_of_a_past_release_predicts_what_that_release_did(xgboost: Any, path: Path) -> None:
    assert is_binary(path.read_bytes())
    model, expected = load_model(path), np.load(path.with_suffix(".npz"))
    rows = expected["rows"].astype(np.float64)
    assert np.array_equal(model.source_leaves(rows), expected["leaves"].reshape(60, -1))
    margins = model.source_margins(rows)
    if path.name.startswith(EARLY):
        np.testing.assert_allclose(margins, expected["margins"], rtol=3e-7, atol=3e-7)
    else:
        assert np.array_equal(margins, expected["margins"])
    release = path.name.split("_")[0]
    assert model.ensemble.source_version == (None if release == "0.90" else release[:3])


@pytest.mark.parametrize("name", ["0.90_hinge", "0.90_poisson", "0.90_dart", "1.7.6_pruned", "1.7.6_forest"])
def test_it_compiles_to_its_own_leaves_and_margins(
    xgboost: Any, assert_equal_to_source: Callable[..., None], name: str
) -> None:
    assert_equal_to_source(load_model(FOLDER / f"{name}.model"), optimise="-O1")


@pytest.mark.parametrize("folder", ["treelite_mushroom", "treelite_dermatology"])
def test_real_files_are_the_documents_they_were_converted_to(shared_models: Path, folder: str) -> None:
    (path,) = (shared_models / folder).glob("*.model")
    model, converted = load_model(path), load_model(shared_models / folder / "converted.json")
    same = [name for name, value in vars(model.ensemble).items() if not _same(value, getattr(converted.ensemble, name))]
    assert same == ["source_version"], "it is from before versions were kept"
    stored = np.load(path.parent / "io.npz")
    for kind in ("real", "probe"):
        assert np.array_equal(model.source_margins(stored[f"X_{kind}"]), stored[f"raw_{kind}"].astype(np.float64))
        assert np.array_equal(model.source_leaves(stored[f"X_{kind}"]), stored[f"leaf_{kind}"])
    published = np.abs(model.source_scores(stored["X_real"]) - stored["published"]).max()
    margins = np.abs(model.source_margins(stored["X_real"]) - stored["published"]).max()
    assert min(published, margins) < 2e-7


def _same(one: Any, other: Any) -> bool:
    return np.array_equal(one, other) if isinstance(one, np.ndarray) else one == other


def test_base_margins_from_before_1_0_are_kept_to_the_bit(xgboost: Any) -> None:
    for name, base_score, link in (("logistic", 0.93, lambda p: np.log(p / (1 - p))), ("poisson", 1.3, np.log)):
        (margin,) = load_model(FOLDER / f"0.90_{name}.model").ensemble.base_margin
        learner = read_binary((FOLDER / f"0.90_{name}.model").read_bytes(), "")["learner"]
        assert margin == np.float32(learner["learner_model_param"]["base_score"])
        assert abs(margin - link(base_score)) < 1e-6


def test_a_base_margin_that_xgboost_has_no_base_score_for_is_refused(xgboost: Any, tmp_path: Path) -> None:
    content = bytearray((FOLDER / "0.90_logistic.model").read_bytes())
    content[:4] = struct.pack("<f", 30.0)
    path = tmp_path / "model"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"no base_score of XGBoost becomes the margin 30\.0"):
        load_model(path)


def test_names_of_objectives_for_training_on_a_gpu_mean_the_same() -> None:
    plain = (FOLDER / "0.90_logistic.model").read_bytes()
    length, name = struct.pack("<Q", 15), b"binary:logistic"
    named = plain.replace(length + name, struct.pack("<Q", 19) + b"gpu:" + name, 1)
    assert is_binary(named)
    assert read_document(named, "model").objective == read_document(plain, "model").objective


CASES = [
    {"objective": "binary:logistic", "booster": "dart", "rate_drop": 0.5},
    {"objective": "multi:softmax", "num_class": 3, "what": "classes"},
    {"objective": "reg:squarederror", "what": "both"},
    {"objective": "reg:absoluteerror", "num_parallel_tree": 2, "what": "targets"},
    {"objective": "survival:aft", "aft_loss_distribution": "logistic", "what": "positive"},
]


@pytest.mark.parametrize("parameters", CASES, ids=lambda parameters: parameters["objective"])
@pytest.mark.parametrize("marked", [True, False])
def test_both_forms_of_a_model_are_one_document(
    xgboost: Any, training: Any, parameters: dict[str, Any], marked: bool
) -> None:
    options = {"nthread": 1, "max_depth": 3, "gamma": 0.2, "tree_method": "exact", "base_score": 0.25}
    options |= {key: value for key, value in parameters.items() if key != "what"}
    labels = wanted(parameters.get("what", "labels"), training)
    matrix = xgboost.DMatrix(training[0], labels, nthread=1)
    if parameters["objective"] == "survival:aft":
        for bound in ("label_lower_bound", "label_upper_bound"):
            matrix.set_float_info(bound, labels)
    raw = bytes(xgboost.train(options, matrix, 3).save_raw("json"))
    document = json.loads(raw)
    written = write_binary(document, marked=marked)
    one, other = read_document(written, "model"), read_document(raw, "model")
    assert one.version == other.version[:2]
    assert one.objective.parameters == other.objective.parameters
    assert np.float32(one.objective.base_score) == np.float32(other.objective.base_score.strip("[]").split(",")[0])
    weights = (one.tree_weights, other.tree_weights)
    assert np.array_equal(*weights) if weights[1] is not None else weights[0] is None
    assert one.tree_outputs == other.tree_outputs
    for ours, theirs in zip(one.trees, other.trees, strict=True):
        assert all(_same(value, getattr(theirs, name)) for name, value in vars(ours).items())


def write_binary(document: dict[str, Any], *, marked: bool = True) -> bytes:
    """A JSON document in the old binary format, as XGBoost 2.1 would write it."""

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    learner = document["learner"]
    booster = learner["gradient_booster"]
    weights = booster.get("weight_drop", booster.get("model", {}).get("weight_drop"))
    model = booster.get("gbtree", booster)["model"]
    outputs = learner["learner_model_param"]
    base_score = float(outputs["base_score"].strip("[]").split(",")[0])
    major, minor, _ = document["version"]
    counts = (int(outputs[key]) for key in ("num_feature", "num_class"))
    parts = [
        b"binf" * marked,
        struct.pack("<fIiiiIII104x", base_score, *counts, 1, 0, major, minor, int(outputs["num_target"])),
        text(learner["objective"]["name"]) + text("gbtree" if weights is None else "dart"),
        struct.pack("<ii20xi128x", len(model["trees"]), 1, 0),
    ]
    for tree in model["trees"]:
        columns = [tree[key] for key in ("parents", "left_children", "right_children", "split_indices")]
        nodes = zip(*columns, tree["default_left"], tree["split_conditions"], strict=True)
        size, deleted = (int(tree["tree_param"][key]) for key in ("num_nodes", "num_deleted"))
        parts.append(struct.pack("<iiiiIi124x", 1, size, deleted, 0, 0, 1))
        parts += [
            struct.pack("<IiiIf", parent % 2**32, left, right, split | default << 31, value)
            for parent, left, right, split, default, value in nodes
        ]
        parts += [struct.pack("<fffi", 0, hessian, 0, 0) for hessian in tree["sum_hessian"]]
    parts.append(np.array(model["tree_info"], "<i4").tobytes())
    if weights is not None:
        parts.append(struct.pack("<Q", len(weights)) + np.array(weights, "<f4").tobytes())
    parts.append(struct.pack("<Q", 1) + text("objective") + text(json.dumps(learner["objective"])))
    return b"".join(parts)


@pytest.mark.parametrize("name", ["0.90_gblinear", "2.1.4_gblinear"])
def test_linear_boosters_are_refused(name: str) -> None:
    with pytest.raises(ModelError, match="the booster is 'gblinear'; expected trees"):
        load_model(FOLDER / f"{name}.model")


@pytest.mark.parametrize(
    "path", [FOLDER / "0.90_poisson.model", FOLDER / "2.1.4_dart.model"], ids=lambda path: path.stem
)
def test_a_truncated_or_longer_file_is_refused(path: Path) -> None:
    content = path.read_bytes()
    # The first version to keep a parameter of Poisson regression at the end followed one that did not.
    optional = struct.pack("<Q", 3) + b"0.7"
    ends = {len(content) - len(optional)} if content.endswith(optional) else set()
    for length in set(range(4, len(content))) - ends:
        with pytest.raises(ModelError, match=r"truncated or altered|not sound JSON"):
            read_document(_binary(content[:length]), "model")
    with pytest.raises(ModelError, match="1 bytes after the end of the model, expected none"):
        read_document(content + b"\0", "model")


def _binary(content: bytes) -> bytes:
    """Marked, so that what is cut off is still taken for this format."""
    return content if content.startswith(b"binf") else b"binf" + content


LEARNER, NAMES = 4, 4 + 136


@pytest.mark.parametrize(
    ("at", "layout", "value", "reason"),
    [
        (LEARNER, "f", float("nan"), "base_score: expected one number in text, got 'nan'"),
        (LEARNER + 4, "I", 2**32 - 1, "reads 4294967295 features"),
        (LEARNER + 4, "I", 1, r"trees\[0\]: split_indices: expected 0 to 0"),
        (LEARNER + 8, "i", 5, "5 classes and 1 targets do not go with the objective 'binary:logistic'"),
        (LEARNER + 28, "I", 2**31, "0 classes|2147483648 outputs"),
        (LEARNER + 12, "i", 0, "bytes after the end of the model"),
        (NAMES, "Q", 2**63, "characters of the objective's name of at least 1 bytes do not fit"),
        (NAMES + 8, "B", 0xFF, "the objective's name is not UTF-8"),
        (NAMES + 8, "B", 0x42, "the attribute 'objective' is of another objective than 'Binary:logistic'"),
        (NAMES + 37, "i", 2**31 - 1, "2147483647 trees of at least 188 bytes do not fit"),
        (NAMES + 37, "i", -1, "-1 trees"),
        (NAMES + 37, "i", 0, "truncated or altered"),
        (NAMES + 37 + 28, "i", 3, "leaves of 3 values, expected one"),
        (NAMES + 37 + 160, "i", 2, "a tree of 2 roots, expected one"),
        (NAMES + 37 + 164, "i", 2**31 - 1, "2147483647 nodes of at least 20 bytes do not fit"),
        (NAMES + 37 + 164, "i", -3, "-3 nodes"),
        (NAMES + 37 + 164, "i", 0, "truncated or altered|a tree of 0 roots"),
        (NAMES + 37 + 168, "i", 1, "another number of deleted nodes than the 1 declared"),
        (NAMES + 37 + 180, "i", 7, "leaves of 7 values, expected one"),
        (NAMES + 37 + 308 + 4, "i", 10**6, "children 1000000 and 2|the number after the left child's"),
        (NAMES + 37 + 308 + 8, "i", 1, "right_children: expected the number after the left child's"),
    ],
    ids=str,
)
def test_an_altered_number_is_refused_with_what_it_is(at: int, layout: str, value: Any, reason: str) -> None:
    content = bytearray((FOLDER / "1.7.6_logistic.model").read_bytes())
    assert content[NAMES : NAMES + 37] == _name("binary:logistic") + _name("gbtree")
    struct.pack_into(f"<{layout}", content, at, value)
    with pytest.raises(ModelError, match=reason):
        read_document(bytes(content), "model").flat_trees("model")


def _name(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def test_attributes_that_do_not_add_up_are_refused() -> None:
    content = (FOLDER / "1.7.6_logistic.model").read_bytes()
    objective = content.index(b'{"name"')
    for altered, reason in (
        (content.replace(b'{"name"', b'["name"'), "not sound JSON"),
        (content.replace(b'{"name":"binary:', b'{"name":"Binary:'), "of another objective than 'binary:logistic'"),
        (content[: objective - 8] + _name("[1]"), "of another objective|truncated or altered"),
        (content.replace(_name("note"), _name("objective")), "occurs twice|truncated or altered"),
        (content.replace(b'reg_loss_param":{', b'reg_loss_param":['), "not sound JSON"),
    ):
        with pytest.raises(ModelError, match=reason):
            read_document(altered, "model")


ALTERED = st.tuples(
    st.sampled_from(["0.90_poisson", "0.90_softprob", "1.7.6_dart", "1.7.6_pruned"]),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4),
)


def altered(name: str, changes: list[tuple[float, int]]) -> bytes:
    """A file with some of its bytes replaced, at places given as parts of its length."""
    content = bytearray(_binary((FOLDER / f"{name}.model").read_bytes()))
    for place, value in changes:
        content[4 + int(place * (len(content) - 4))] = value
    return bytes(content)


@settings(max_examples=400, deadline=None)
@given(ALTERED)
def test_altered_bytes_are_read_or_refused(given: tuple[str, list[tuple[float, int]]]) -> None:
    with contextlib.suppress(ModelError):
        read_document(altered(*given), "model").flat_trees("model")


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ALTERED)
def test_altered_bytes_never_end_the_process(
    xgboost: Any, tmp_path: Path, given: tuple[str, list[tuple[float, int]]]
) -> None:
    try_to_use(tmp_path / "model", altered(*given))
