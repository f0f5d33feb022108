"""LightGBM's model text: parsed and checked.

The text is read here rather than by Treelite, which drops what exactness needs: whether a split takes zero as missing,
and each leaf's index. Once those are read, the rest is a few more columns of the same tree. LightGBM's own reader runs
past the end of a truncated text, so this is also the guard in front of it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from quickthorn.errors import ModelError
from quickthorn.forest.ensemble import MAX_FEATURES
from quickthorn.forest.lightgbm_objective import LightGBMObjective, read_objective

# The second form is that of old versions (text format v2).
_END_OF_TREES = re.compile(r"^(?:end of trees|feature importances:)$", re.MULTILINE)

# LightGBM reads at most this many lines as one tree.
_MAX_TREE_LINES = 22

# The fields a prediction or an explanation depends on, of the header and of a tree.
_HEAD_FIELDS = ("version", "num_class", "num_tree_per_iteration", "max_feature_idx", "objective", "feature_names")
_TREE_FIELDS = (
    *("num_leaves", "num_cat", "split_feature", "threshold", "decision_type", "left_child", "right_child"),
    *("leaf_value", "cat_boundaries", "cat_threshold", "internal_count", "leaf_count"),
    *("is_linear", "leaf_const", "num_features", "leaf_features", "leaf_coeff"),
)

_WHOLE = re.compile(r"-?[0-9]{1,10}")
_WHOLE_LIST = re.compile(r"(?:-?[0-9]{1,10}(?: -?[0-9]{1,10})*)? ?")
_DECIMAL_LIST = re.compile(r"[-+.0-9eEinf ]*")


@dataclass(frozen=True)
class LinearColumns:
    """The linear models in a tree's leaves: n constants, and the coefficients that each leaf has."""

    leaf_const: npt.NDArray[np.float64]
    num_features: npt.NDArray[np.int64]
    leaf_features: npt.NDArray[np.int64]
    leaf_coeff: npt.NDArray[np.float64]


@dataclass(frozen=True)
class LightGBMTree:
    """One tree's columns, n leaves and n - 1 splits, as LightGBM names and numbers them."""

    left_child: npt.NDArray[np.int64]
    right_child: npt.NDArray[np.int64]
    split_feature: npt.NDArray[np.int64]
    decision_type: npt.NDArray[np.int64]
    threshold: npt.NDArray[np.float64]
    leaf_value: npt.NDArray[np.float64]
    cat_boundaries: npt.NDArray[np.int64]
    cat_threshold: npt.NDArray[np.int64]
    linear: LinearColumns | None
    counts: npt.NDArray[np.float64] | None
    """float64 [2n - 1]: how many training rows passed each split, then each leaf; None where the text does not say"""


@dataclass(frozen=True)
class LightGBMText:
    """What a sound model text says."""

    version: str | None
    objective: LightGBMObjective
    average: bool
    """Whether the trees of an output are averaged (boosting type rf)"""
    feature_count: int
    feature_names: tuple[str, ...]
    pandas_categories: tuple[tuple[Any, ...], ...]
    """The category values of a data frame's categorical columns, in column order; codes are positions in them"""
    categorical_features: tuple[int, ...] | None
    """The features that were trained on as categorical, in order; None where the text does not say"""
    trees: tuple[LightGBMTree, ...]
    checked: str
    """The same model as text again, of checked fields alone, for LightGBM to read"""

    @property
    def linear(self) -> bool:
        """Whether the leaves of any tree are linear models."""
        return any(tree.linear is not None for tree in self.trees)


def parse(text: str, where: str) -> LightGBMText:
    """Read a model text; raises ModelError when it is incomplete, or says what cannot be honoured."""
    head, blocks, tail = _split(text, where)
    classes, per_iteration = _whole(head, "num_class", where), _whole(head, "num_tree_per_iteration", where)
    feature_count = _whole(head, "max_feature_idx", where) + 1
    if not 0 < feature_count <= MAX_FEATURES:
        raise ModelError(f"{where}: the model reads {feature_count} features; expected 1 to {MAX_FEATURES}")
    names = tuple(name for name in _field(head, "feature_names", where).split(" ") if name)
    if len(names) != feature_count:
        raise ModelError(f"{where}: {len(names)} feature names for {feature_count} features")
    objective = read_objective(head.get("objective", ""), classes, per_iteration, where)
    if not blocks:
        raise ModelError(f"{where}: the model has no trees; expected at least one")
    if len(blocks) % objective.output_count:
        raise ModelError(
            f"{where}: {len(blocks)} trees for {objective.output_count} classes; expected as many for each, so the "
            "text is truncated or altered"
        )
    return LightGBMText(
        version=head.get("version"),
        objective=objective,
        average="average_output" in head,
        feature_count=feature_count,
        feature_names=names,
        pandas_categories=_pandas_categories(tail, where),
        categorical_features=_categorical_features(tail, feature_count),
        trees=tuple(_tree(block, feature_count, f"{where}: Tree={index}") for index, block in enumerate(blocks)),
        checked=_checked_text(head, blocks, feature_count),
    )


def _checked_text(head: dict[str, str], blocks: list[list[str]], feature_count: int) -> str:
    """The model without what was not checked: tree sizes, by which LightGBM jumps in the text, statistics, parameters.

    LightGBM crashes on altered ones, and its predictions depend on none of them.
    """
    lines = ["tree", *(f"{key}={head[key]}" for key in _HEAD_FIELDS if key in head)]
    lines += ["average_output"] if "average_output" in head else []
    lines += ["label_index=0", "feature_infos=" + " ".join(["none"] * feature_count), ""]
    for index, block in enumerate(blocks):
        lines += [f"Tree={index}", *(line for line in block if line.partition("=")[0] in _TREE_FIELDS), "", ""]
    return "\n".join([*lines, "end of trees", ""])


def _split(text: str, where: str) -> tuple[dict[str, str], list[list[str]], list[str]]:
    """The header's fields, each tree's lines, and the lines after the trees."""
    if "\r" in text:
        raise ModelError(f"{where}: the lines end in carriage returns; expected a model text as LightGBM saved it")
    end = _END_OF_TREES.search(text)
    # The last line may have lost its line end in an editor; where it is the dictionary, that is checked as JSON.
    last_line = text.rpartition("\n")[2]
    if end is None or (last_line and not last_line.startswith("pandas_categorical:")):
        raise ModelError(f"{where}: the text does not end as LightGBM ends it, so it is truncated")
    head_text, _, trees_text = text[: end.start()].partition("\nTree=")
    head: dict[str, str] = {}
    for line in head_text.split("\n"):
        key, _, value = line.partition("=")
        if key in head and key:
            raise ModelError(f"{where}: {key} occurs twice; expected one")
        head[key] = value
    chunks = [f"Tree={chunk}" for chunk in re.split(r"^Tree=", trees_text, flags=re.MULTILINE)] if trees_text else []
    if "tree_sizes" in head:
        _column(head, "tree_sizes", len(chunks), where)
    tail = text[end.end() :].split("\n")
    if "parameters:" in tail and "end of parameters" not in tail:
        raise ModelError(f"{where}: 'end of parameters' is missing, so the text is truncated")
    return head, [chunk.rstrip("\n").split("\n") for chunk in chunks], tail


def _tree(lines: list[str], feature_count: int, where: str) -> LightGBMTree:
    if len(lines) - 1 > _MAX_TREE_LINES:
        raise ModelError(f"{where}: {len(lines) - 1} lines; expected at most {_MAX_TREE_LINES}")
    if not all("=" in line for line in lines):
        raise ModelError(f"{where}: a line has no '='; the text is truncated or altered")
    fields = dict(line.split("=", 1) for line in lines[1:])
    if len(fields) != len(lines) - 1:
        raise ModelError(f"{where}: a field occurs twice; expected one")
    if fields.get("is_linear", "0") not in ("0", "1"):
        raise ModelError(f"{where}: is_linear: expected 0 or 1, got {fields['is_linear'][:40]!r}")
    leaves = _whole(fields, "num_leaves", where)
    sets = _whole(fields, "num_cat", where)
    if leaves < 1 or sets < 0:
        raise ModelError(f"{where}: {leaves} leaves and {sets} category sets; expected at least 1 and 0")
    leaf_value = _decimals(_field(fields, "leaf_value", where), leaves, f"{where}: leaf_value")
    linear = _linear(fields, leaves, feature_count, where) if fields.get("is_linear") == "1" else None
    splits = leaves - 1
    counts = _counts(fields, leaves, where)
    none = np.empty(0, np.int64)
    if not splits:
        return LightGBMTree(none, none, none, none, np.empty(0), leaf_value, none, none, linear, counts)
    tree = LightGBMTree(
        left_child=_column(fields, "left_child", splits, where),
        right_child=_column(fields, "right_child", splits, where),
        split_feature=_column(fields, "split_feature", splits, where),
        decision_type=_column(fields, "decision_type", splits, where),
        threshold=_decimals(_field(fields, "threshold", where), splits, f"{where}: threshold"),
        leaf_value=leaf_value,
        cat_boundaries=_column(fields, "cat_boundaries", sets + 1, where) if sets else none,
        cat_threshold=_column(fields, "cat_threshold", None, where) if sets else none,
        linear=linear,
        counts=counts,
    )
    _check_tree(tree, feature_count, sets, where)
    return tree


def _counts(fields: dict[str, str], leaves: int, where: str) -> npt.NDArray[np.float64] | None:
    if not {"internal_count", "leaf_count"} <= fields.keys():
        return None
    if leaves == 1 and not fields["leaf_count"]:
        # Old versions do not say how many rows a tree of one leaf was given.
        return np.zeros(1)
    counts = np.concatenate(
        [_column(fields, "internal_count", leaves - 1, where), _column(fields, "leaf_count", leaves, where)]
    )
    if counts.min() < 0:
        raise ModelError(f"{where}: internal_count, leaf_count: expected no negative count, got {counts.min()}")
    return counts.astype(np.float64)


def _linear(fields: dict[str, str], leaves: int, feature_count: int, where: str) -> LinearColumns:
    """The linear models of the leaves, which LightGBM's reader believes without a look."""
    counts = _column(fields, "num_features", leaves, where)
    if counts.min() < 0:
        raise ModelError(f"{where}: num_features: expected no negative count, got {counts.min()}")
    total = int(counts.sum())
    # LightGBM ends each leaf's list with a space of its own.
    spaced = {"leaf_features": " ".join(_field(fields, "leaf_features", where).split())}
    features = _column(spaced, "leaf_features", total, where)
    if total and (features.min() < 0 or features.max() >= feature_count):
        raise ModelError(f"{where}: leaf_features: expected 0 to {feature_count - 1}")
    if leaves == 1 and not all(key in fields for key in ("left_child", "right_child", "split_feature", "threshold")):
        raise ModelError(f"{where}: a linear tree has no lines for its splits, so the text is truncated or altered")
    return LinearColumns(
        leaf_const=_decimals(_field(fields, "leaf_const", where), leaves, f"{where}: leaf_const"),
        num_features=counts,
        leaf_features=features,
        leaf_coeff=_decimals(_field(fields, "leaf_coeff", where), total, f"{where}: leaf_coeff"),
    )


def _check_tree(tree: LightGBMTree, feature_count: int, sets: int, where: str) -> None:
    leaves = len(tree.leaf_value)
    for name in ("left_child", "right_child"):
        child = getattr(tree, name)
        if child.min() < -leaves or child.max() >= leaves - 1:
            raise ModelError(f"{where}: {name}: expected {-leaves} to {leaves - 2}")
    if tree.split_feature.min() < 0 or tree.split_feature.max() >= feature_count:
        raise ModelError(f"{where}: split_feature: expected 0 to {feature_count - 1}")
    # Bit 0 categorical, bit 1 default left, bits 2 and 3 the missing type 0 to 2.
    if tree.decision_type.min() < 0 or tree.decision_type.max() >= 12:
        raise ModelError(f"{where}: decision_type: expected 0 to 11")
    if sets:
        rises = tree.cat_boundaries[0] == 0 and (np.diff(tree.cat_boundaries) >= 0).all()
        if not rises or tree.cat_boundaries[-1] != len(tree.cat_threshold):
            raise ModelError(f"{where}: cat_boundaries does not divide the {len(tree.cat_threshold)} category words")
        if tree.cat_threshold.size and not 0 <= tree.cat_threshold.min() <= tree.cat_threshold.max() < 2**32:
            raise ModelError(f"{where}: cat_threshold: expected 0 to {2**32 - 1}")
    categorical = tree.threshold[(tree.decision_type & 1) == 1]
    if not np.isin(categorical, np.arange(sets)).all():
        raise ModelError(f"{where}: threshold: a categorical split has no set among the {sets}")


def _pandas_categories(tail: list[str], where: str) -> tuple[tuple[Any, ...], ...]:
    """The category values of a data frame's categorical columns, in column order; codes are positions in them."""
    lines = [line for line in tail if line.startswith("pandas_cat")]
    if not lines:
        return ()
    try:
        value = json.loads(lines[-1].removeprefix("pandas_categorical:"))
    except (ValueError, RecursionError):
        raise ModelError(f"{where}: the line pandas_categorical is truncated or altered") from None
    if value is not None and not (isinstance(value, list) and all(isinstance(item, list) for item in value)):
        raise ModelError(f"{where}: pandas_categorical: expected a list of lists")
    return tuple(tuple(item) for item in value or ())


def _categorical_features(tail: list[str], feature_count: int) -> tuple[int, ...] | None:
    """The features that the parameters call categorical."""
    opening = "[categorical_feature:"
    line = next((line for line in tail if line.startswith(opening) and line.endswith("]")), None)
    if line is None:
        return None
    numbers = [text.strip() for text in line[len(opening) : -1].split(",") if text.strip()]
    if not all(number.isdecimal() and int(number) < feature_count for number in numbers):
        return None
    return tuple(sorted({int(number) for number in numbers}))


def _field(fields: dict[str, str], key: str, where: str) -> str:
    if key not in fields:
        raise ModelError(f"{where}: {key} is missing, so the text is truncated or altered")
    return fields[key]


def _whole(fields: dict[str, str], key: str, where: str) -> int:
    text = _field(fields, key, where)
    if not _WHOLE.fullmatch(text):
        raise ModelError(f"{where}: {key}: expected a whole number, got {text[:40]!r}")
    return int(text)


def _column(fields: dict[str, str], key: str, length: int | None, where: str) -> npt.NDArray[np.int64]:
    text = _field(fields, key, where)
    words = text.split()
    if not _WHOLE_LIST.fullmatch(text):
        raise ModelError(f"{where}: {key}: expected whole numbers")
    if length is not None and len(words) != length:
        raise ModelError(f"{where}: {key}: expected {length} values, got {len(words)}")
    return np.array(list(map(int, words)), dtype=np.int64)


def _decimals(text: str, length: int, where: str) -> npt.NDArray[np.float64]:
    """Numbers as correctly rounded float64, which is how LightGBM reads thresholds and leaves."""
    words = text.split()
    if len(words) != length:
        raise ModelError(f"{where}: expected {length} values, got {len(words)}")
    try:
        if _DECIMAL_LIST.fullmatch(text):
            return np.array(list(map(float, words)), dtype=np.float64)
    except ValueError:
        pass
    raise ModelError(f"{where}: expected numbers")
