"""One tree of an XGBoost model document, and the reading of a document's members that both share."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
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

    The four category columns are per categorical node, and `categories` holds all their sets. A leaf's value is its
    split condition, or where leaves are vectors, the row `leaf_row` of `leaf_weights`, float32 [leaves, outputs].
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
    leaf_row: npt.NDArray[np.int32] | None = None
    leaf_weights: npt.NDArray[np.float32] | None = None
    sum_hessian: npt.NDArray[np.float32] | None = None
    """None where the document has none"""

    @classmethod
    def zero(cls, vector_length: int | None) -> XGBoostTree:
        """The tree that is one leaf of 0, or of a vector of zeros."""
        one, none = np.zeros(1, np.int32), np.empty(0, np.int64)
        vector = vector_length is not None
        return cls(
            left_children=one - 1,
            right_children=one - 1,
            split_indices=one,
            split_conditions=np.zeros(1, np.float32),
            default_left=one.astype(np.uint8),
            split_type=one.astype(np.uint8),
            categories_nodes=none.astype(np.int32),
            categories_segments=none,
            categories_sizes=none,
            categories=none.astype(np.int32),
            leaf_row=one if vector else None,
            leaf_weights=np.zeros((1, vector_length or 0), np.float32) if vector else None,
        )

    def leaf_values(self, nodes: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """float32 [leaves], or [leaves, outputs]: the values of the leaves of these numbers."""
        if self.leaf_weights is None or self.leaf_row is None:
            return self.split_conditions[nodes]
        return self.leaf_weights[self.leaf_row[nodes]]

    def with_scalar_leaves(self) -> XGBoostTree:
        """The same splits with leaves of one value, which means nothing where they were vectors."""
        return replace(self, leaf_row=None, leaf_weights=None)

    def document(self, number: int, feature_count: int) -> dict[str, Any]:
        """The tree as a member of a model document; statistics, which predictions do not depend on, are zero.

        Of the hessians, XGBoost's explanations depend: they are kept where they are known.
        """
        size = len(self.left_children)
        # XGBoost looks at the parent of every node but the root, also of those that pruning cut off.
        parents = np.zeros(size, np.int32)
        parents[0] = _ROOT_PARENT if self.leaf_weights is None else -1
        for children in (self.left_children, self.right_children):
            split = children >= 0
            parents[children[split]] = np.flatnonzero(split)
        nothing = np.zeros(size, np.float32)
        deleted = (self.split_indices == _DELETED) & (self.default_left != 0)
        columns = {field.name: getattr(self, field.name) for field in fields(self)}
        leaf_row, leaf_weights = columns.pop("leaf_row"), columns.pop("leaf_weights")
        hessians = columns.pop("sum_hessian")
        length = 1
        if leaf_weights is not None:
            length = leaf_weights.shape[1]
            columns["leaf_weights"] = leaf_weights.reshape(-1)
            # XGBoost keeps the leaf's row where a split has its right child.
            columns["right_children"] = np.where(self.left_children < 0, leaf_row, self.right_children).astype(np.int32)
        return {
            **columns,
            "base_weights": np.zeros(size * length, np.float32),
            "id": number,
            "loss_changes": nothing,
            "parents": parents,
            "sum_hessian": nothing if hessians is None else hessians,
            "tree_param": {
                "num_deleted": str(int(deleted[1:].sum())),
                "num_feature": str(feature_count),
                "num_nodes": str(size),
                "size_leaf_vector": str(length),
            },
        }


def read_tree(tree: Any, feature_count: int, output_count: int, where: str) -> XGBoostTree:
    """A document's tree, checked column by column; that the children make a tree is flatten_trees's to check."""
    parameters = mapping(tree, where, "tree_param")
    length = whole(parameters, where, "size_leaf_vector")
    if length not in (0, 1, output_count):
        raise ModelError(f"{where}: leaves hold {length} values; expected 1 or one for each of {output_count} outputs")
    size = whole(parameters, where, "num_nodes")

    def column(key: str, dtype: Any) -> npt.NDArray[Any]:
        values = integers(tree, where, key)
        if len(values) != size:
            raise ModelError(f"{where}: {key}: expected {size} values, one per node, got {len(values)}")
        return _narrowed(values, dtype, where, key)

    left, right = column("left_children", np.int32), column("right_children", np.int32)
    leaf_row = leaf_weights = None
    if length > 1:
        leaf_weights = _read_vectors(tree, right[left < 0], length, where)
        leaf_row, right = np.where(left < 0, right, 0).astype(np.int32), np.where(left < 0, -1, right).astype(np.int32)
    if (right != np.where(left >= 0, left + 1, -1)).any():
        # XGBoost steps to the left child's number, plus one for the right; it does not read the right one.
        raise ModelError(f"{where}: right_children: expected the number after the left child's at every split")
    split_indices = column("split_indices", np.int32)
    used = split_indices[left >= 0]
    if (used < 0).any() or (used >= feature_count).any():
        raise ModelError(f"{where}: split_indices: expected 0 to {feature_count - 1}")
    conditions = singles(tree, where, "split_conditions")
    if len(conditions) != size:
        raise ModelError(f"{where}: split_conditions: expected {size} values, one per node, got {len(conditions)}")
    hessians = singles(tree, where, "sum_hessian") if "sum_hessian" in tree else None
    if hessians is not None and len(hessians) != size:
        raise ModelError(f"{where}: sum_hessian: expected {size} values, one per node, got {len(hessians)}")
    split_type = column("split_type", np.uint8) if "split_type" in tree else np.zeros(size, np.uint8)
    return XGBoostTree(
        left_children=left,
        right_children=right,
        split_indices=split_indices,
        split_conditions=conditions,
        default_left=column("default_left", np.uint8),
        split_type=split_type,
        leaf_row=leaf_row,
        leaf_weights=leaf_weights,
        sum_hessian=hessians,
        **_read_categories(tree, np.flatnonzero((split_type == 1) & (left >= 0)), size, where),
    )


def _read_vectors(
    tree: dict[str, Any], rows: npt.NDArray[np.int32], length: int, where: str
) -> npt.NDArray[np.float32]:
    """The table of leaf vectors; `rows` are the numbers of its rows that leaves name."""
    if "leaf_weights" not in tree:
        raise ModelError(
            f"{where}: the vectors of the leaves are not where XGBoost 3.1 and later keep them; "
            "train the model again with such a version"
        )
    values = singles(tree, where, "leaf_weights")
    if len(values) % length or (len(rows) and (rows.min() < 0 or rows.max() >= len(values) // length)):
        raise ModelError(f"{where}: leaf_weights: {len(values)} values do not hold the leaves' vectors of {length}")
    return values.reshape(-1, length)


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


def singles(holder: Any, where: str, key: str) -> npt.NDArray[np.float32]:
    """A member that is a list of numbers, as the float32 nearest to what is written."""
    values = listed(holder, where, key)
    if isinstance(values, np.ndarray) and values.dtype == np.float32:
        return values
    # Only NaN, which older versions write at categorical splits, and infinities come as float.
    if not isinstance(values, list) or not all(type(value) in (DecimalText, int, float) for value in values):
        raise ModelError(f"{where}: {key}: expected a list of numbers")
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
