"""One tree of an XGBoost model document, and the reading of a document's members that both share."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from quickthorn.errors import ModelError

# XGBoost writes this split index, and a default to the left, at nodes that pruning removed.
_DELETED = 2**31 - 1
_ROOT_PARENT = 2**31 - 1


class DecimalText(str):
    """A number of a JSON document, kept as its text: rounding it to float64 first could end on another float32."""

    __slots__ = ()


@dataclass(frozen=True)
class XGBoostTree:
    """A tree's columns over its n nodes as XGBoost names them; children are -1 at leaves and removed nodes.

    The four category columns are per categorical node, and `categories` holds all their sets.
    """

    left_children: npt.NDArray[np.int32]
    right_children: npt.NDArray[np.int32]
    split_indices: npt.NDArray[np.int32]
    split_conditions: npt.NDArray[np.float32]
    default_left: npt.NDArray[np.uint8]
    split_type: npt.NDArray[np.uint8]
    categories_nodes: npt.NDArray[np.int32]
    categories_segments: npt.NDArray[np.int64]
    categories_sizes: npt.NDArray[np.int64]
    categories: npt.NDArray[np.int32]

    @classmethod
    def leaf(cls, value: float) -> XGBoostTree:
        """The tree that is one leaf."""
        one, none = np.zeros(1, np.int32), np.empty(0, np.int64)
        return cls(
            left_children=one - 1,
            right_children=one - 1,
            split_indices=one,
            split_conditions=np.array([value], np.float32),
            default_left=one.astype(np.uint8),
            split_type=one.astype(np.uint8),
            categories_nodes=none.astype(np.int32),
            categories_segments=none,
            categories_sizes=none,
            categories=none.astype(np.int32),
        )

    def document(self, number: int, feature_count: int) -> dict[str, Any]:
        """The tree as a member of a model document; statistics, which predictions do not depend on, are zero."""
        size = len(self.left_children)
        parents = np.full(size, _ROOT_PARENT, np.int32)
        for children in (self.left_children, self.right_children):
            split = children >= 0
            parents[children[split]] = np.flatnonzero(split)
        nothing = np.zeros(size, np.float32)
        deleted = (self.split_indices == _DELETED) & (self.default_left != 0)
        return {
            **vars(self),
            "base_weights": nothing,
            "id": number,
            "loss_changes": nothing,
            "parents": parents,
            "sum_hessian": nothing,
            "tree_param": {
                "num_deleted": str(int(deleted[1:].sum())),
                "num_feature": str(feature_count),
                "num_nodes": str(size),
                "size_leaf_vector": "1",
            },
        }


def read_tree(tree: Any, feature_count: int, where: str) -> XGBoostTree:
    """A document's tree, checked column by column; that the children make a tree is flatten_trees's to check."""
    parameters = mapping(tree, where, "tree_param")
    if whole(parameters, where, "size_leaf_vector") > 1:
        raise ModelError(f"{where}: leaves hold vectors; expected a model with one output")
    size = whole(parameters, where, "num_nodes")

    def column(key: str, dtype: Any) -> npt.NDArray[Any]:
        values = integers(tree, where, key)
        if len(values) != size:
            raise ModelError(f"{where}: {key}: expected {size} values, one per node, got {len(values)}")
        return _narrowed(values, dtype, where, key)

    left, right = column("left_children", np.int32), column("right_children", np.int32)
    if (right != np.where(left >= 0, left + 1, -1)).any():
        # XGBoost steps to the left child's number, plus one for the right; it does not read the right one.
        raise ModelError(f"{where}: right_children: expected the number after the left child's at every split")
    split_indices = column("split_indices", np.int32)
    used = split_indices[left >= 0]
    if (used < 0).any() or (used >= feature_count).any():
        raise ModelError(f"{where}: split_indices: expected 0 to {feature_count - 1}")
    conditions = _singles(listed(tree, where, "split_conditions"), where)
    if len(conditions) != size:
        raise ModelError(f"{where}: split_conditions: expected {size} values, one per node, got {len(conditions)}")
    split_type = column("split_type", np.uint8) if "split_type" in tree else np.zeros(size, np.uint8)
    return XGBoostTree(
        left_children=left,
        right_children=right,
        split_indices=split_indices,
        split_conditions=conditions,
        default_left=column("default_left", np.uint8),
        split_type=split_type,
        **_read_categories(tree, np.flatnonzero((split_type == 1) & (left >= 0)), size, where),
    )


def _read_categories(
    tree: dict[str, Any], categorical: npt.NDArray[np.int64], size: int, where: str
) -> dict[str, npt.NDArray[Any]]:
    """The category columns; `categorical` are the nodes that need a set."""
    keys = {"categories_nodes": np.int32, "categories_segments": np.int64, "categories_sizes": np.int64}
    columns = {
        # Documents from before categorical splits do not have these members.
        key: _narrowed(integers(tree, where, key) if key in tree else np.empty(0, np.int64), dtype, where, key)
        for key, dtype in (*keys.items(), ("categories", np.int32))
    }
    nodes, begin, length, categories = (columns[key] for key in (*keys, "categories"))
    if not len(begin) == len(length) == len(nodes):
        raise ModelError(f"{where}: {len(nodes)} categorical nodes, {len(begin)} segments and {len(length)} sizes")
    if len(nodes) and (nodes.min() < 0 or nodes.max() >= size or (np.diff(nodes) <= 0).any()):
        raise ModelError(f"{where}: categories_nodes: expected rising node numbers below {size}")
    if not np.isin(categorical, nodes).all():
        raise ModelError(f"{where}: categories_nodes: a categorical split has no categories")
    if (begin < 0).any() or (length < 1).any() or (begin > len(categories) - length).any():
        raise ModelError(f"{where}: categories_segments: outside the {len(categories)} categories")
    # Inputs are float32, which holds whole numbers up to here; XGBoost treats larger ones as no category at all.
    if (categories < 0).any() or (categories >= 2**24).any():
        raise ModelError(f"{where}: categories: expected 0 to {2**24 - 1}")
    return columns


def member(value: Any, where: str, *path: str) -> Any:
    """The member at a path of keys."""
    for key in path:
        if not isinstance(value, dict) or key not in value:
            raise ModelError(f"{where}: the member {'.'.join(path)!r} is missing, so the model is incomplete")
        value = value[key]
    return value


def mapping(value: Any, where: str, *path: str) -> dict[str, Any]:
    """The member at a path, which has members itself."""
    found = member(value, where, *path)
    if not isinstance(found, dict):
        raise ModelError(f"{where}: {'.'.join(path)}: expected an object, got {type(found).__name__}")
    return found


def listed(holder: Any, where: str, key: str) -> Any:
    """A member that is a list, or the NumPy array that stands for one in UBJSON."""
    value = member(holder, where, key)
    if not isinstance(value, (list, np.ndarray)):
        raise ModelError(f"{where}: {key}: expected a list, got {type(value).__name__}")
    return value


def whole(holder: Any, where: str, key: str) -> int:
    """A whole number that XGBoost writes as text."""
    text = member(holder, where, key)
    if not isinstance(text, str) or not text.isascii() or not text.isdigit() or len(text) > 10:
        raise ModelError(f"{where}: {key}: expected a whole number in text, got {text!r}")
    return int(text)


def integers(holder: Any, where: str, key: str) -> npt.NDArray[np.int64]:
    """A member that is a list of whole numbers (or of booleans)."""
    values = listed(holder, where, key)
    if isinstance(values, np.ndarray) and values.dtype.kind in "iu":
        return values.astype(np.int64)
    if isinstance(values, list) and all(type(value) in (int, bool) for value in values):
        try:
            return np.array(values, dtype=np.int64)
        except OverflowError:
            pass
    raise ModelError(f"{where}: {key}: expected a list of whole numbers")


def _narrowed(values: npt.NDArray[np.int64], dtype: Any, where: str, key: str) -> npt.NDArray[Any]:
    limits = np.iinfo(dtype)
    if len(values) and (values.min() < limits.min or values.max() > limits.max):
        raise ModelError(f"{where}: {key}: expected {limits.min} to {limits.max}")
    return values.astype(dtype)


def _singles(values: Any, where: str) -> npt.NDArray[np.float32]:
    """Numbers as the float32 nearest to what is written."""
    if isinstance(values, np.ndarray) and values.dtype == np.float32:
        return values
    # Only NaN, which older versions write at categorical splits, and infinities come as float.
    if not isinstance(values, list) or not all(type(value) in (DecimalText, int, float) for value in values):
        raise ModelError(f"{where}: split_conditions: expected a list of numbers")
    with np.errstate(over="ignore", invalid="ignore"):
        wide = np.array([float(value) for value in values], np.float64)
        near = wide.astype(np.float32)
    # A text beside the middle of two float32 may become that very middle in float64, and then round the wrong way.
    other = np.nextafter(near, np.where(wide > near, np.inf, -np.inf).astype(np.float32))
    middle = (wide != near) & (wide - near == other.astype(np.float64) - wide)
    for index in np.flatnonzero(middle):
        written, between = Fraction(values[index]), Fraction(float(wide[index]))
        if written != between:
            near[index] = max(near[index], other[index]) if written > between else min(near[index], other[index])
    return near
