"""A trained forest as plain arrays: everything an evaluator needs, and nothing of the library that trained it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from enum import IntEnum
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from quickthorn.calibration.link import Link
from quickthorn.errors import ModelError

# A row of this many float64 values (512 KiB) still fits the stack of a thread; the evaluator keeps one there, and
# beside it one sum per output.
MAX_FEATURES = 65_536
MAX_OUTPUTS = 16_384

Source = Literal["xgboost", "lightgbm", "catboost", "sklearn"]
SOURCES: tuple[str, ...] = get_args(Source)

# What tree_output says of a tree whose leaves hold a value for every output.
EVERY_OUTPUT = -1


class Missing(IntEnum):
    """What a numeric split does with missing values."""

    NONE = 0
    """NaN counts as 0.0 and is compared."""
    ZERO = 1
    """NaN and 0.0 go the default way."""
    NAN = 2
    """NaN goes the default way."""


@dataclass(frozen=True)
class LinearLeaves:
    """Linear models in the leaves of a forest; arrays are read-only.

    Leaf n's terms are at ``offsets[n]:offsets[n + 1]`` of `feature` and `coefficient`. What it adds is
    ``constant[n]``, to which each ``coefficient * x`` is added in order, x being the feature's prepared value, and
    every operation rounded to float64. If an x is NaN, it adds ``leaf_value[n]`` instead.
    """

    constant: npt.NDArray[np.float64]
    """float64 [l]"""
    offsets: npt.NDArray[np.int64]
    """int64 [l + 1]"""
    feature: npt.NDArray[np.int32]
    """int32 [offsets[-1]]"""
    coefficient: npt.NDArray[np.float64]
    """float64 [offsets[-1]]"""

    def __post_init__(self) -> None:
        _freeze(self)

    def check(self, leaves: int, feature_count: int) -> None:
        """Raise ModelError unless these are models of that many leaves over that many features."""
        terms = len(self.feature)
        expected: dict[str, tuple[int, npt.DTypeLike]] = {
            "constant": (leaves, np.float64),
            "offsets": (leaves + 1, np.int64),
            "feature": (terms, np.int32),
            "coefficient": (terms, np.float64),
        }
        for name, (length, kind) in expected.items():
            array, dtype = getattr(self, name), np.dtype(kind)
            if array.shape != (length,) or array.dtype != dtype:
                raise ModelError(f"linear.{name}: expected {dtype} [{length}], got {array.dtype} {list(array.shape)}")
        if self.offsets[0] != 0 or self.offsets[-1] != terms or (np.diff(self.offsets) < 0).any():
            raise ModelError(f"linear.offsets: expected to rise from 0 to {terms}")
        if terms and (self.feature.min() < 0 or self.feature.max() >= feature_count):
            raise ModelError(f"linear.feature: expected 0 to {feature_count - 1}")
        if not np.isfinite(self.constant).all() or not np.isfinite(self.coefficient).all():
            raise ModelError("a linear leaf's constant or coefficient is not finite; expected a number")


@dataclass(frozen=True, kw_only=True)
class Ensemble:
    """A forest of one output or several: s splits, l leaves, t trees, k outputs; arrays are read-only.

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
      With ``whole_categories`` no value with a fraction is in any set.
      `missing` and `threshold` have no meaning.
    - ``missing[n] == NAN``: NaN goes left if ``default_left[n]``, else right.
    - ``missing[n] == ZERO``: NaN and zeros go left if ``default_left[n]``, else right.
    - ``missing[n] == NONE``: NaN becomes 0.0. `default_left` has no meaning.
    - whatever is left goes left when ``x operator threshold[n]``, in the ensemble's precision, else right. Where a
      library compares float32 values with float64 thresholds, each threshold is the largest float32 that is not above
      the library's, which changes no ``<=``.

    **The margins**, one per output, are computed in `sum_precision`, every operation rounded to it. Output j starts at
    ``base_margin[j]`` (at 0 if ``base_last``). Tree by tree, in order, ``leaf_value[leaf]`` is added to the output
    ``tree_output[i]`` (what `linear` makes of it, where there are linear leaves); where the leaves are vectors,
    ``leaf_value[leaf, j]`` is added to every output j. Then, if
    `average`, the sum is divided by the number of trees that added to it; it is multiplied by `scale`; and if
    ``base_last``, ``base_margin[j]`` is added.

    **The scores** are ``link.scores(margins, link_scale)`` in float64.
    """

    source: Source
    source_version: str | None
    """The version the model names: of the library, or of its text format (LightGBM)"""
    objective: str
    feature_count: int
    feature_names: tuple[str, ...] | None
    """None where the model was trained without names."""
    precision: Literal["float32", "float64"]
    """Of the inputs and thresholds"""
    sum_precision: Literal["float32", "float64"]
    """Of the leaves, the base margin and the sums"""
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

    output_count: int
    tree_output: npt.NDArray[np.int32]
    """int32 [t]: the output each tree adds to; all EVERY_OUTPUT where leaves are vectors"""
    leaf_value: npt.NDArray[Any]
    """float32 or float64 by sum_precision, [l], or [l, output_count] where leaves are vectors"""
    leaf_id: npt.NDArray[np.int32]
    """int32 [l]: what the source library reports: XGBoost the node number, LightGBM the leaf index"""

    split_cover: npt.NDArray[np.float64] | None = None
    """float64 [s]: how much of the training data passed through each split, as the library's own TreeSHAP weighs it:
    rows (LightGBM, scikit-learn's histograms), their weights (CatBoost, scikit-learn) or hessians (XGBoost). A split's
    is about the sum of its children's, and exactly that where the library keeps it so. None where the model does not
    say"""
    leaf_cover: npt.NDArray[np.float64] | None = None
    """float64 [l]: the same of each leaf; None where `split_cover` is None"""

    linear: LinearLeaves | None = None
    """Linear models in the leaves, where the forest is float64 throughout; None where leaves are constant"""

    base_margin: npt.NDArray[Any]
    """float32 or float64 by sum_precision, [output_count]"""
    base_last: bool = False
    scale: float = 1.0
    average: bool = False
    link: Link
    link_scale: float
    """Multiplies the margin inside the sigmoid; 1 for other links"""
    whole_categories: bool = False
    category_dictionary: tuple[tuple[str | float, ...] | None, ...] | None = None
    """Per feature, the categories the model was trained on, in the order of their codes 0, 1, 2…, None for a numeric
    feature; None where the model keeps no dictionary, or every category is its own code. Rows hold codes: nothing here
    applies it"""

    @property
    def tree_count(self) -> int:
        """How many trees the forest has."""
        return len(self.roots)

    @property
    def unknown_category(self) -> Literal["missing", "refused", "unmatched"]:
        """What the source library does with a category that is not in its dictionary.

        XGBoost refuses it (3.2 misses some, and takes them for the next category in order of text). To CatBoost it is
        another category than those of all splits, which its missing values need not be. The others take it for a
        missing value.
        """
        if self.source == "catboost":
            return "unmatched"
        return "refused" if self.source == "xgboost" else "missing"

    @property
    def vector_leaves(self) -> bool:
        """Whether a leaf holds one value per output."""
        return self.leaf_value.ndim == 2

    def require_single_output(self) -> None:
        """Raise ModelError unless the forest has one output with a link that a decision can be made from."""
        if self.output_count != 1:
            raise ModelError(
                f"the model has {self.output_count} outputs (objective {self.objective!r}); a decision needs a model "
                "with one, such as a binary classifier"
            )
        if not self.link.decides:
            raise ModelError(
                f"the objective {self.objective!r} has the link {self.link.value!r}, which makes no score that a "
                "decision can be made from"
            )

    def with_features(self, names: Sequence[str]) -> Ensemble:
        """The same forest reading a longer or differently ordered feature vector, whose features have these names.

        By name where the model has names, else by position. Raises ModelError naming the features that are missing,
        or saying both counts where a nameless model has another number of features.
        """
        columns = self.feature_columns(names)
        dictionary = self.category_dictionary
        if dictionary is not None:
            moved: list[tuple[str | float, ...] | None] = [None] * len(names)
            for column, levels in zip(columns, dictionary, strict=True):
                moved[column] = levels
            dictionary = tuple(moved)
        linear = self.linear
        if linear is not None:
            linear = replace(linear, feature=columns[linear.feature].astype(np.int32))
        return replace(
            self,
            linear=linear,
            feature=columns[self.feature].astype(np.int32),
            feature_count=len(names),
            feature_names=tuple(names),
            category_dictionary=dictionary,
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
        self._check_sums()
        self._check_cover()
        if self.linear is not None:
            if self.precision != "float64" or self.sum_precision != "float64" or self.vector_leaves:
                raise ModelError("linear leaves need a forest of float64 with one value per leaf")
            self.linear.check(len(self.leaf_id), self.feature_count)
        _freeze(self)

    def _check_arrays(self) -> None:
        if not 0 < self.output_count <= MAX_OUTPUTS:
            raise ModelError(f"the model has {self.output_count} outputs; expected 1 to {MAX_OUTPUTS}")
        splits, leaves, trees, sums = len(self.feature), len(self.leaf_id), len(self.roots), self.sum_precision
        if not trees:
            raise ModelError("the model has no trees; expected at least one")
        expected: dict[str, tuple[tuple[int, ...], npt.DTypeLike]] = {
            "roots": ((trees,), np.int32),
            "feature": ((splits,), np.int32),
            "threshold": ((splits,), self.precision),
            "left": ((splits,), np.int32),
            "right": ((splits,), np.int32),
            "default_left": ((splits,), np.bool_),
            "missing": ((splits,), np.uint8),
            "categorical": ((splits,), np.bool_),
            "category_offsets": ((splits + 1,), np.int64),
            "categories": ((len(self.categories),), np.int32),
            "tree_output": ((trees,), np.int32),
            "leaf_value": ((leaves, self.output_count) if self.vector_leaves else (leaves,), sums),
            "leaf_id": ((leaves,), np.int32),
            "base_margin": ((self.output_count,), sums),
        }
        for name, (shape, kind) in expected.items():
            array, dtype = getattr(self, name), np.dtype(kind)
            if array.shape != shape or array.dtype != dtype:
                raise ModelError(
                    f"ensemble.{name}: expected {dtype} {list(shape)}, got {array.dtype} {list(array.shape)}"
                )

    def _check_walks_end(self) -> None:
        splits, leaves = len(self.feature), len(self.leaf_id)
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
        if self.missing.size and self.missing.max() > Missing.NAN:
            raise ModelError(f"ensemble.missing: expected 0 to 2, got {self.missing.max()}")
        if self.category_dictionary is not None and len(self.category_dictionary) != self.feature_count:
            raise ModelError(
                f"the dictionary of categories has {len(self.category_dictionary)} entries for "
                f"{self.feature_count} features"
            )
        sizes = np.diff(self.category_offsets)
        if self.category_offsets[0] != 0 or self.category_offsets[-1] != len(self.categories) or (sizes < 0).any():
            raise ModelError("ensemble.category_offsets: expected to rise from 0 to the number of categories")
        if self.categories.size and self.categories.min() < 0:
            raise ModelError(f"ensemble.categories: expected no negative category, got {self.categories.min()}")

    def _check_sums(self) -> None:
        if self.source not in SOURCES:
            raise ModelError(f"ensemble.source: expected one of {', '.join(SOURCES)}, got {self.source!r}")
        lowest, highest = (EVERY_OUTPUT, EVERY_OUTPUT) if self.vector_leaves else (0, self.output_count - 1)
        if self.tree_output.min() < lowest or self.tree_output.max() > highest:
            raise ModelError(f"ensemble.tree_output: expected {lowest} to {highest}")
        if self.average and not self.vector_leaves and not np.bincount(self.tree_output, minlength=highest + 1).all():
            raise ModelError("the trees of each output are averaged, but an output has no trees")
        numbers = (self.leaf_value, self.base_margin, np.float64(self.scale))
        if not all(np.isfinite(values).all() for values in numbers):
            raise ModelError("a leaf value, the scale or the base margin is not finite; expected a number")

    def _check_cover(self) -> None:
        if (self.split_cover is None) != (self.leaf_cover is None):
            raise ModelError("the cover of splits or of leaves is missing; expected both or neither")
        for name, cover, length in (
            ("split_cover", self.split_cover, len(self.feature)),
            ("leaf_cover", self.leaf_cover, len(self.leaf_id)),
        ):
            if cover is None:
                continue
            if cover.shape != (length,) or cover.dtype != np.float64:
                raise ModelError(f"ensemble.{name}: expected float64 [{length}], got {cover.dtype} {list(cover.shape)}")
            if not is_cover(cover):
                raise ModelError(f"ensemble.{name}: expected finite numbers that are not negative")


def is_cover(weights: npt.NDArray[Any]) -> bool:
    """Whether these can be the weights of nodes: a custom objective's hessians may be negative or not even finite."""
    return bool((np.isfinite(weights) & (weights >= 0)).all())


def _freeze(record: Any) -> None:
    """Put a read-only copy in the place of every array of a dataclass."""
    for field in fields(record):
        value = getattr(record, field.name)
        if isinstance(value, np.ndarray):
            frozen = value.copy()
            frozen.setflags(write=False)
            object.__setattr__(record, field.name, frozen)
