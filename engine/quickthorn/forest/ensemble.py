"""A trained forest as plain arrays: everything an evaluator needs, and nothing of the library that trained it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from enum import IntEnum
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from quickthorn.calibration.link import Link
from quickthorn.errors import ModelError

# A row of this many float64 values (512 KiB) still fits the stack of a thread; the evaluator keeps one there.
MAX_FEATURES = 65_536


class Missing(IntEnum):
    """What a numeric split does with missing values."""

    NONE = 0
    """NaN counts as 0.0 and is compared."""
    ZERO = 1
    """NaN and 0.0 go the default way."""
    NAN = 2
    """NaN goes the default way."""


@dataclass(frozen=True)
class Ensemble:
    """A forest with one output: s splits, l leaves, t trees; arrays are read-only.

    **The input** is one float64 per feature, NaN where missing. Before the walk each value x becomes, with
    ``precision == "float32"``, the nearest float32 (overflow to infinity); with ``"float64"``, 0.0 where
    ``abs(x) <= zero_threshold`` and x elsewhere.

    **The walk** of tree i starts at ``roots[i]`` and ends at a leaf. A root or child number n is split n when n >= 0,
    else leaf ``~n``. A split's child always has a larger split number than the split itself. At split n, with x the
    prepared value of feature ``feature[n]``:

    - categorical (``categorical[n]``): NaN goes left if ``default_left[n]``, else right. Otherwise x is a category c:
      x truncated towards zero. It goes left when c is in ``categories[category_offsets[n]:category_offsets[n + 1]]``
      (sorted, not negative), else right. Values of 2**31 and more, and -1 and less, are in no set; values
      between -1 and 0 are category 0 if ``negative_fractions_truncate``, else in no set (-0.0 is always category 0).
      `missing` and `threshold` have no meaning.
    - ``missing[n] == NAN``: NaN goes left if ``default_left[n]``, else right.
    - ``missing[n] == ZERO``: NaN and zeros go left if ``default_left[n]``, else right.
    - ``missing[n] == NONE``: NaN becomes 0.0. `default_left` has no meaning.
    - whatever is left goes left when ``x operator threshold[n]``, in the ensemble's precision, else right.

    **The margin** is ``base_margin`` plus ``leaf_value`` of each tree's leaf, added one by one in tree order, every
    addition rounded to `precision`. **The score** is ``link.score(margin, link_scale)`` in float64.
    """

    source: Literal["xgboost", "lightgbm"]
    source_version: str | None
    """The version the model names: of the library (XGBoost) or of its text format (LightGBM)."""
    objective: str
    feature_count: int
    feature_names: tuple[str, ...] | None
    """None where the model was trained without names."""
    precision: Literal["float32", "float64"]
    operator: Literal["<", "<="]
    zero_threshold: float
    negative_fractions_truncate: bool

    roots: npt.NDArray[np.int32]
    """int32 [t]"""
    feature: npt.NDArray[np.int32]
    """int32 [s]"""
    threshold: npt.NDArray[Any]
    """float32 or float64 [s], by precision; 0 at categorical splits"""
    left: npt.NDArray[np.int32]
    """int32 [s]"""
    right: npt.NDArray[np.int32]
    """int32 [s]"""
    default_left: npt.NDArray[np.bool_]
    """bool [s]"""
    missing: npt.NDArray[np.uint8]
    """uint8 [s], a Missing"""
    categorical: npt.NDArray[np.bool_]
    """bool [s]"""
    category_offsets: npt.NDArray[np.int64]
    """int64 [s + 1]; a numeric split's set is empty"""
    categories: npt.NDArray[np.int32]
    """int32 [category_offsets[-1]]"""

    leaf_value: npt.NDArray[Any]
    """float32 or float64 [l], by precision"""
    leaf_id: npt.NDArray[np.int32]
    """int32 [l]: what the source library reports: XGBoost the node number, LightGBM the leaf index"""

    base_margin: float
    link: Link
    link_scale: float
    """Multiplies the margin inside the sigmoid; 1 for other links"""

    @property
    def tree_count(self) -> int:
        """How many trees the forest has."""
        return len(self.roots)

    def with_features(self, names: Sequence[str]) -> Ensemble:
        """The same forest reading a longer or differently ordered feature vector, whose features have these names.

        By name where the model has names, else by position. Raises ModelError naming the features that are missing,
        or saying both counts where a nameless model has another number of features.
        """
        columns = self.feature_columns(names)
        return replace(
            self, feature=columns[self.feature].astype(np.int32), feature_count=len(names), feature_names=tuple(names)
        )

    def feature_columns(self, names: Sequence[str]) -> npt.NDArray[np.int64]:
        """int64 [feature_count]: where each of the model's features stands in a vector of these names."""
        position = {name: column for column, name in enumerate(names)}
        if len(position) != len(names):
            twice = sorted({name for name in names if list(names).count(name) > 1})
            raise ModelError(f"features: expected each name once, got {', '.join(map(repr, twice))} more than once")
        if self.feature_names is None:
            if len(names) != self.feature_count:
                raise ModelError(
                    f"the model has no feature names and reads {self.feature_count} features by position, "
                    f"but the feature set has {len(names)}"
                )
            return np.arange(self.feature_count, dtype=np.int64)
        absent = [name for name in self.feature_names if name not in position]
        if absent:
            raise ModelError(
                f"the model reads {len(absent)} feature(s) that the feature set does not have: "
                f"{', '.join(map(repr, absent))}"
            )
        return np.array([position[name] for name in self.feature_names], dtype=np.int64)

    def __post_init__(self) -> None:
        self._check_arrays()
        self._check_walks_end()
        self._check_values()
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                frozen = value.copy()
                frozen.setflags(write=False)
                object.__setattr__(self, field.name, frozen)

    def _check_arrays(self) -> None:
        splits, leaves, value = len(self.feature), len(self.leaf_value), np.dtype(self.precision)
        expected: dict[str, tuple[int, np.dtype[Any]]] = {
            "roots": (len(self.roots), np.dtype(np.int32)),
            "feature": (splits, np.dtype(np.int32)),
            "threshold": (splits, value),
            "left": (splits, np.dtype(np.int32)),
            "right": (splits, np.dtype(np.int32)),
            "default_left": (splits, np.dtype(np.bool_)),
            "missing": (splits, np.dtype(np.uint8)),
            "categorical": (splits, np.dtype(np.bool_)),
            "category_offsets": (splits + 1, np.dtype(np.int64)),
            "categories": (len(self.categories), np.dtype(np.int32)),
            "leaf_value": (leaves, value),
            "leaf_id": (leaves, np.dtype(np.int32)),
        }
        for name, (length, dtype) in expected.items():
            array = getattr(self, name)
            if array.shape != (length,) or array.dtype != dtype:
                raise ModelError(f"ensemble.{name}: expected {dtype} [{length}], got {array.dtype} {list(array.shape)}")

    def _check_walks_end(self) -> None:
        splits, leaves = len(self.feature), len(self.leaf_value)
        if self.tree_count == 0:
            raise ModelError("the model has no trees; expected at least one")
        for name in ("roots", "left", "right"):
            numbers = getattr(self, name)
            if len(numbers) and (numbers.min() < -leaves or numbers.max() >= splits):
                raise ModelError(f"ensemble.{name}: expected splits below {splits} or leaves below {leaves}")
        parent = np.arange(splits)
        for name in ("left", "right"):
            child = getattr(self, name)
            if ((child >= 0) & (child <= parent)).any():
                raise ModelError(f"ensemble.{name}: expected every child's number to be larger than its parent's")

    def _check_values(self) -> None:
        if not 0 < self.feature_count <= MAX_FEATURES:
            raise ModelError(f"the model reads {self.feature_count} features; expected 1 to {MAX_FEATURES}")
        if self.feature_names is not None and len(self.feature_names) != self.feature_count:
            raise ModelError(f"the model names {len(self.feature_names)} features but reads {self.feature_count}")
        if len(self.feature) and (self.feature.min() < 0 or self.feature.max() >= self.feature_count):
            raise ModelError(f"ensemble.feature: expected 0 to {self.feature_count - 1}")
        if np.isnan(self.threshold).any():
            raise ModelError("a split compares with NaN; expected a number")
        if not np.isfinite(self.leaf_value).all() or not np.isfinite(self.base_margin):
            raise ModelError("a leaf value or the base margin is not finite; expected a number")
        if self.missing.size and self.missing.max() > Missing.NAN:
            raise ModelError(f"ensemble.missing: expected 0 to 2, got {self.missing.max()}")
        sizes = np.diff(self.category_offsets)
        if self.category_offsets[0] != 0 or self.category_offsets[-1] != len(self.categories) or (sizes < 0).any():
            raise ModelError("ensemble.category_offsets: expected to rise from 0 to the number of categories")
        if self.categories.size and self.categories.min() < 0:
            raise ModelError(f"ensemble.categories: expected no negative category, got {self.categories.min()}")
