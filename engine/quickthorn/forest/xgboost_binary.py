"""XGBoost's old binary format, which its releases wrote until 3.0 and those from 3.1 on no longer read.

It is a dump of C structures, little-endian and without marks between them: the learner's parameters, the names of
objective and booster, the trees (parameters, nodes, statistics), which output each tree adds to, and, as the version
has them, dropout weights, attributes, and leftovers of the training. Every count is held against the bytes that are
left before anything is read, so that no file makes the reader allocate more than the file itself.
"""

from __future__ import annotations

import json
import re
import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from quickthorn.errors import ModelError

_MARK = b"binf"

# Before 1.3 the format had no mark: numbers in 136 bytes, then the length of the objective's name and the name.
_UNMARKED = re.compile(rb".{136}[\x04-\x40]\0{7}[a-z]+:[a-z:]+", re.DOTALL)

# base_score, features, classes, whether attributes and metrics follow, major and minor version, targets; reserved.
_LEARNER = struct.Struct("<fIiiiIII104x")
# trees, parallel trees or roots, 5 numbers of no consequence (one of 8 bytes), leaf vectors; reserved.
_FOREST = struct.Struct("<ii20xi128x")
# roots, nodes, deleted nodes, depth, features, leaf vectors; reserved.
_TREE = struct.Struct("<iiiiIi124x")
_COUNT = struct.Struct("<Q")

# A node's split index carries the default direction in its highest bit.
_NODE = np.dtype([("parent", "<i4"), ("left", "<i4"), ("right", "<i4"), ("split", "<u4"), ("value", "<f4")])
_STATISTICS = np.dtype([("loss_change", "<f4"), ("hessian", "<f4"), ("weight", "<f4"), ("leaves", "<i4")])

# What a version that does not keep the objective's parameters would train with; no prediction depends on them.
_DEFAULT_PARAMETERS = {
    "count:poisson": {"poisson_regression_param": {"max_delta_step": "0.7"}},
    "reg:tweedie": {"tweedie_regression_param": {"tweedie_variance_power": "1.5"}},
}


def is_binary(data: bytes) -> bool:
    """Whether a file's bytes look like the old binary format."""
    return data.startswith(_MARK) or _UNMARKED.match(data) is not None


def read_binary(data: bytes, where: str) -> dict[str, Any]:
    """The model as the document that XGBoost would write as JSON, with NumPy arrays for columns.

    Members that no reader of documents here asks for are left out. The version has two numbers, and none before 1.0,
    when base_score was kept as the margin that it becomes. Raises ModelError when the bytes are not exactly one
    model, or its booster is not made of trees.
    """
    reader = _Reader(data, where, len(_MARK) if data.startswith(_MARK) else 0)
    base_score, features, classes, has_attributes, has_metrics, major, minor, targets = reader.unpack(_LEARNER)
    objective, booster = reader.text("the objective's name"), reader.text("the booster's name")
    if booster not in ("gbtree", "dart"):
        raise ModelError(f"{where}: the booster is {booster!r}; expected trees, 'gbtree' or 'dart'")
    model = _read_trees(reader, names_vectors=major >= 2)
    gradient_booster: dict[str, Any] = {"name": "gbtree", "model": model}
    if booster == "dart":
        weights = reader.array("tree weights", np.dtype("<f4")) if len(model["trees"]) else np.empty(0, np.float32)
        gradient_booster = {"name": "dart", "gbtree": gradient_booster, "weight_drop": weights}
    attributes = _read_attributes(reader) if has_attributes else {}
    if major == 0:
        _skip_leftovers(reader, poisson=objective == "count:poisson", metrics=has_metrics != 0)
    reader.expect_end()
    return {
        "learner": {
            "attributes": attributes,
            "gradient_booster": gradient_booster,
            "learner_model_param": {
                "base_score": str(np.float32(base_score)),
                "num_class": str(max(classes, 0)),
                "num_feature": str(features),
                # Versions before 1.6 know no targets.
                "num_target": str(targets or 1),
            },
            "objective": _objective(objective, classes, attributes.get("objective"), where),
        },
        "version": np.array([major, minor] if major else [], np.int64),
    }


class _Reader:
    """The bytes of a file and how far they are read."""

    def __init__(self, data: bytes, where: str, at: int) -> None:
        self.data = data
        self.where = where
        self.at = at

    def error(self, problem: str) -> ModelError:
        return ModelError(f"{self.where}: byte {self.at}: {problem}; this XGBoost binary is truncated or altered")

    def require(self, count: int, size: int, what: str) -> None:
        """Refuse a count of things, of so many bytes each at least, that the rest of the file cannot hold."""
        left = len(self.data) - self.at
        if count < 0 or count * size > left:
            raise self.error(f"{count} {what} of at least {size} bytes do not fit the {left} bytes left")

    def unpack(self, layout: struct.Struct) -> tuple[Any, ...]:
        self.require(1, layout.size, "structure")
        values = layout.unpack_from(self.data, self.at)
        self.at += layout.size
        return values

    def columns(self, count: int, dtype: np.dtype[Any], what: str) -> npt.NDArray[Any]:
        self.require(count, dtype.itemsize, what)
        values = np.frombuffer(self.data, dtype, count, self.at)
        self.at += count * dtype.itemsize
        return values

    def count(self, size: int, what: str) -> int:
        count = int(self.unpack(_COUNT)[0])
        self.require(count, size, what)
        return count

    def array(self, what: str, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        return self.columns(self.count(dtype.itemsize, what), dtype, what)

    def text(self, what: str) -> str:
        length = self.count(1, f"characters of {what}")
        raw = self.data[self.at : self.at + length]
        try:
            found = raw.decode("utf-8")
        except UnicodeDecodeError:
            raise self.error(f"{what} is not UTF-8") from None
        self.at += length
        return found

    def expect_end(self) -> None:
        if self.at != len(self.data):
            raise self.error(f"{len(self.data) - self.at} bytes after the end of the model, expected none")


def _read_trees(reader: _Reader, *, names_vectors: bool) -> dict[str, Any]:
    count, _, vectors = reader.unpack(_FOREST)
    reader.require(count, _TREE.size + _NODE.itemsize + _STATISTICS.itemsize + 4, "trees")
    trees = [_read_tree(reader, names_vectors=names_vectors) for _ in range(count)]
    if vectors not in (0, 1):
        raise reader.error(f"leaves of {vectors} values, expected one")
    return {
        "gbtree_model_param": {"num_trees": str(count)},
        "trees": trees,
        "tree_info": reader.columns(count, np.dtype("<i4"), "outputs of trees"),
    }


def _read_tree(reader: _Reader, *, names_vectors: bool) -> dict[str, Any]:
    """One tree; from 2.0 on the length of a leaf's vector is 1 where it used to be 0."""
    roots, size, deleted, _, _, vectors = reader.unpack(_TREE)
    if roots != 1:
        raise reader.error(f"a tree of {roots} roots, expected one")
    if vectors not in ((0, 1) if names_vectors else (0,)):
        raise reader.error(f"leaves of {vectors} values, expected one")
    nodes = reader.columns(size, _NODE, "nodes")
    statistics = reader.columns(size, _STATISTICS, "statistics")
    if int((nodes["split"][1:] == 2**32 - 1).sum()) != deleted:
        raise reader.error(f"a tree of another number of deleted nodes than the {deleted} declared")
    return {
        "left_children": nodes["left"].astype(np.int32),
        "right_children": nodes["right"].astype(np.int32),
        "split_indices": (nodes["split"] & 0x7FFF_FFFF).astype(np.int32),
        "split_conditions": nodes["value"].astype(np.float32),
        "default_left": (nodes["split"] >> 31).astype(np.uint8),
        "sum_hessian": statistics["hessian"].astype(np.float32),
        "tree_param": {"num_nodes": str(size), "size_leaf_vector": str(vectors)},
    }


def _read_attributes(reader: _Reader) -> dict[str, str]:
    attributes: dict[str, str] = {}
    for _ in range(reader.count(2 * _COUNT.size, "attributes")):
        key = reader.text("an attribute's name")
        if key in attributes:
            raise reader.error(f"the attribute {key!r} occurs twice")
        attributes[key] = reader.text(f"the attribute {key!r}")
    return attributes


def _skip_leftovers(reader: _Reader, *, poisson: bool, metrics: bool) -> None:
    """What versions before 1.0 wrote last: a parameter of Poisson regression (not the first), and names of metrics."""
    if poisson and reader.at != len(reader.data):
        reader.text("max_delta_step")
    if metrics:
        for _ in range(reader.count(_COUNT.size, "metrics")):
            reader.text("a metric's name")


def _objective(name: str, classes: int, kept: str | None, where: str) -> dict[str, Any]:
    """The objective's member of the document, which from 1.0 on is an attribute of JSON."""
    if kept is not None:
        try:
            found = json.loads(kept)
        except (ValueError, RecursionError) as error:
            raise ModelError(f"{where}: the attribute 'objective' is not sound JSON: {error}") from None
        # reg:linear is the old name of reg:squarederror, and there goes by the new one.
        if not isinstance(found, dict) or (found.get("name") != name and name != "reg:linear"):
            raise ModelError(f"{where}: the attribute 'objective' is of another objective than {name!r}")
        return found
    # Until 1.0 some objectives had a second name for training on a GPU.
    name = name.removeprefix("gpu:")
    if name.startswith("multi:"):
        return {"name": name, "softmax_multiclass_param": {"num_class": str(classes)}}
    return {"name": name, **_DEFAULT_PARAMETERS.get(name, {})}
