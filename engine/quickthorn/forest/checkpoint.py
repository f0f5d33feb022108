"""A trained forest as a Treelite checkpoint: in Treelite's own terms what those can say of it, the rest as attributes.

Treelite's evaluator makes the same margins of it, to rounding, for rows of ordinary values. What it cannot say is in
the model's ``attributes``, as JSON text under the key "quickthorn", so that the forest comes back exactly: how values
are prepared and missing ones treated at each split, in which order and precision margins are summed, the leaf numbers
of the source library, linear models in leaves (of which Treelite has only the constant that stands in for missing
values), and the dictionary of categories.
"""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from quickthorn.calibration.link import Link
from quickthorn.errors import ModelError
from quickthorn.extras import require
from quickthorn.forest.ensemble import EVERY_OUTPUT, Ensemble, LinearLeaves, Missing

CHECKPOINT_LIMIT_BYTES: Final = 1 << 31
_KEY = "quickthorn"
_VERSION = 1
_PURPOSE = "the model's Treelite checkpoint"
_GZIP = 16 + zlib.MAX_WBITS
_LEVEL = 6
_CATEGORICAL_NODE = 2  # Treelite's number for the kind
_POSTPROCESSORS = {
    Link.SIGMOID: "sigmoid",
    Link.EXP: "exponential",
    Link.LOG1P_EXP: "logarithm_one_plus_exp",
    Link.SIGNED_SQUARE: "signed_square",
}
# What an ensemble says of itself as a whole, by the names of its fields.
_PLAIN = (
    "source", "source_version", "objective", "feature_names", "precision", "sum_precision", "operator",
    "zero_threshold", "negative_fractions_truncate", "base_last", "scale", "average", "link_scale", "whole_categories",
    "category_dictionary",
)  # fmt: skip


def write_checkpoint(ensemble: Ensemble) -> tuple[bytes, int]:
    """A forest of one output as the gzipped bytes of a Treelite checkpoint, and how many those are unpacked."""
    if ensemble.output_count != 1:
        raise ModelError(f"checkpoint: expected a model of one output, found one of {ensemble.output_count}")
    model = _Trees(ensemble).build()
    unpacked: bytes = model.serialize_bytes()
    return gzip.compress(unpacked, _LEVEL, mtime=0), len(unpacked)


def unpack_checkpoint(packed: bytes | memoryview, size: int, where: str) -> bytes:
    """The checkpoint's own bytes, exactly ``size``; ModelError where it is anything else."""
    unzip = zlib.decompressobj(_GZIP)
    try:
        unpacked = unzip.decompress(bytes(packed), min(size, CHECKPOINT_LIMIT_BYTES) + 1)
    except zlib.error as error:
        raise ModelError(f"{where}: expected a gzipped checkpoint, found: {error}") from None
    if len(unpacked) != size or not unzip.eof or unzip.unused_data:
        raise ModelError(f"{where}: expected {size} bytes once unpacked, found others")
    return unpacked


def read_checkpoint(unpacked: bytes, where: str) -> Ensemble:
    """The forest in the bytes of a checkpoint that ``write_checkpoint`` made.

    Treelite does not look where numbers of an altered checkpoint lead: the bytes are to be known by their digest.
    """
    treelite = require("treelite", "compile", _PURPOSE)
    try:
        model = treelite.Model.deserialize_bytes(unpacked)
        kept = json.loads(json.loads(model.get_header_accessor().get_field("attributes"))[_KEY])
        if kept["version"] != _VERSION:
            raise ModelError(f"{where}: expected version {_VERSION} of its attributes, found {kept['version']!r}")
        return _ensemble(model, kept)
    except (treelite.TreeliteError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{where}: expected a checkpoint written by quickthorn, found: {error!r}") from None


class _Trees:
    """An ensemble's nodes, tree by tree: its splits, then its leaves, in the ensemble's order."""

    def __init__(self, ensemble: Ensemble) -> None:
        self.ensemble = ensemble
        self.splits: list[list[int]] = []
        self.leaves: list[list[int]] = []
        left, right = ensemble.left.tolist(), ensemble.right.tolist()
        for root in ensemble.roots.tolist():
            splits, leaves, reached = [], [], [root]
            for node in reached:
                if node < 0:
                    leaves.append(~node)
                else:
                    splits.append(node)
                    reached += (left[node], right[node])
            self.splits.append(sorted(splits))
            self.leaves.append(sorted(leaves))

    def build(self) -> Any:
        """The Treelite model."""
        require("treelite", "compile", _PURPOSE)
        from treelite.model_builder import Metadata, ModelBuilder, PostProcessorFunc, TreeAnnotation

        ensemble, trees = self.ensemble, len(self.splits)
        kind = "float32" if (ensemble.precision, ensemble.sum_precision) == ("float32", "float32") else "float64"
        processor = PostProcessorFunc(name=_POSTPROCESSORS.get(ensemble.link, "identity"))
        if ensemble.link is Link.SIGMOID:
            processor = PostProcessorFunc(name="sigmoid", sigmoid_alpha=ensemble.link_scale)
        builder = ModelBuilder(
            threshold_type=kind,
            leaf_output_type=kind,
            metadata=Metadata(
                num_feature=ensemble.feature_count,
                task_type="kBinaryClf" if ensemble.link is Link.SIGMOID else "kRegressor",
                average_tree_output=ensemble.average,
                num_target=1,
                num_class=[1],
                leaf_vector_shape=(1, 1),
            ),
            tree_annotation=TreeAnnotation(num_tree=trees, target_id=[0] * trees, class_id=[0] * trees),
            postprocessor=processor,
            base_scores=[self._base()],
            # A text in it: Treelite's own reading of numbers in attributes is off by a bit now and then.
            attributes={_KEY: json.dumps(self._attributes(), separators=(",", ":"))},
        )
        self._add_nodes(builder)
        return builder.commit()

    def _base(self) -> float:
        base = float(self.ensemble.base_margin[0])
        if self.ensemble.base_last:
            return base
        return base * self.ensemble.scale / (len(self.splits) if self.ensemble.average else 1)

    def _add_nodes(self, builder: Any) -> None:
        ensemble = self.ensemble
        values = (ensemble.leaf_value.reshape(-1) * ensemble.leaf_value.dtype.type(ensemble.scale)).tolist()
        left, right, feature = ensemble.left.tolist(), ensemble.right.tolist(), ensemble.feature.tolist()
        threshold, default_left = ensemble.threshold.tolist(), self._default_left().tolist()
        for splits, leaves in zip(self.splits, self.leaves, strict=True):
            key = {node: place for place, node in enumerate([*splits, *(~leaf for leaf in leaves)])}
            builder.start_tree()
            for split in splits:
                builder.start_node(key[split])
                children = {"left_child_key": key[left[split]], "right_child_key": key[right[split]]}
                if ensemble.categorical[split]:
                    begin, end = ensemble.category_offsets[split : split + 2]
                    builder.categorical_test(
                        feature[split],
                        default_left=default_left[split],
                        category_list=ensemble.categories[begin:end].tolist(),
                        category_list_right_child=False,
                        **children,
                    )
                else:
                    builder.numerical_test(
                        feature[split],
                        threshold[split],
                        default_left=default_left[split],
                        opname=ensemble.operator,
                        **children,
                    )
                if ensemble.split_cover is not None:
                    builder.sum_hess(float(ensemble.split_cover[split]))
                builder.end_node()
            for leaf in leaves:
                builder.start_node(key[~leaf])
                builder.leaf(values[leaf])
                if ensemble.leaf_cover is not None:
                    builder.sum_hess(float(ensemble.leaf_cover[leaf]))
                builder.end_node()
            builder.end_tree()

    def _default_left(self) -> npt.NDArray[np.bool_]:
        """Where missing values go: of splits that take them for 0.0, where that goes."""
        ensemble = self.ensemble
        zero_left = ensemble.threshold > 0.0 if ensemble.operator == "<" else ensemble.threshold >= 0.0
        compared = (ensemble.missing == Missing.NONE) & ~ensemble.categorical
        return np.where(compared, zero_left, ensemble.default_left)

    def _attributes(self) -> dict[str, Any]:
        ensemble = self.ensemble
        splits = [split for splits in self.splits for split in splits]
        leaves = [leaf for leaves in self.leaves for leaf in leaves]
        return {
            "version": _VERSION,
            **{name: getattr(ensemble, name) for name in _PLAIN},
            "link": ensemble.link.value,
            "base_margin": float(ensemble.base_margin[0]),
            "vector_leaves": ensemble.vector_leaves,
            "missing": "".join(map(str, ensemble.missing[splits].tolist())),
            "default_left": "".join(map(str, ensemble.default_left[splits].astype(int).tolist())),
            "leaf_id": ensemble.leaf_id[leaves].tolist(),
            "has_cover": ensemble.split_cover is not None,
            "leaf_value": ensemble.leaf_value.reshape(-1)[leaves].tolist() if ensemble.scale != 1.0 else None,
            "linear": _linear_attributes(ensemble.linear, leaves) if ensemble.linear is not None else None,
        }


def _linear_attributes(linear: LinearLeaves, leaves: list[int]) -> list[dict[str, Any]]:
    terms = [slice(*linear.offsets[leaf : leaf + 2].tolist()) for leaf in leaves]
    return [
        {
            "constant": float(linear.constant[leaf]),
            "feature": linear.feature[of].tolist(),
            "coefficient": linear.coefficient[of].tolist(),
        }
        for leaf, of in zip(leaves, terms, strict=True)
    ]


def _linear(leaves: list[dict[str, Any]]) -> LinearLeaves:
    return LinearLeaves(
        constant=np.array([leaf["constant"] for leaf in leaves], np.float64),
        offsets=np.cumsum([0, *(len(leaf["feature"]) for leaf in leaves)]).astype(np.int64),
        feature=np.array([number for leaf in leaves for number in leaf["feature"]], np.int32),
        coefficient=np.array([number for leaf in leaves for number in leaf["coefficient"]], np.float64),
    )


class _Read:
    """One tree's nodes as an ensemble numbers them, from the first split and leaf of the tree on."""

    def __init__(self, tree: Any, first_split: int, first_leaf: int) -> None:
        left, right = tree.get_field("cleft").astype(np.int64), tree.get_field("cright").astype(np.int64)
        self.is_split = left >= 0
        splits = int(self.is_split.sum())
        number = np.concatenate([first_split + np.arange(splits), ~(first_leaf + np.arange(len(left) - splits))])
        self.root = number[0]
        self.left, self.right = number[left[:splits]], number[right[:splits]]
        self.splits, self.leaves = splits, len(left) - splits
        self.tree = tree

    def of_splits(self, name: str) -> npt.NDArray[Any]:
        """A field of the tree's splits."""
        values: npt.NDArray[Any] = self.tree.get_field(name)[: self.splits]
        return values

    def of_leaves(self, name: str) -> npt.NDArray[Any]:
        """A field of its leaves."""
        values: npt.NDArray[Any] = self.tree.get_field(name)[self.splits :]
        return values

    def categories(self) -> list[npt.NDArray[Any]]:
        """The sets of its splits, empty for numeric ones."""
        begin, end = self.of_splits("category_list_begin").tolist(), self.of_splits("category_list_end").tolist()
        every = self.tree.get_field("category_list")
        return [every[first:last] for first, last in zip(begin, end, strict=True)]


def _ensemble(model: Any, kept: dict[str, Any]) -> Ensemble:
    trees: list[_Read] = []
    first_split, first_leaf = 0, 0
    for index in range(model.num_tree):
        trees.append(_Read(model.get_tree_accessor(index), first_split, first_leaf))
        first_split, first_leaf = first_split + trees[-1].splits, first_leaf + trees[-1].leaves
    value = np.dtype(kept["sum_precision"])
    leaf_value = (
        np.concatenate([tree.of_leaves("leaf_value") for tree in trees])
        if kept["leaf_value"] is None
        else np.array(kept["leaf_value"])
    ).astype(value)
    sets = [categories for tree in trees for categories in tree.categories()]
    dictionary = kept["category_dictionary"]

    def splits(name: str, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        return np.concatenate([tree.of_splits(name) for tree in trees]).astype(dtype)

    cover = kept["has_cover"]
    plain = {name: kept[name] for name in _PLAIN}
    return Ensemble(
        **{
            **plain,
            "feature_names": None if kept["feature_names"] is None else tuple(kept["feature_names"]),
            "category_dictionary": None
            if dictionary is None
            else tuple(None if levels is None else tuple(levels) for levels in dictionary),
        },
        feature_count=model.num_feature,
        link=Link(kept["link"]),
        roots=np.array([tree.root for tree in trees], np.int32),
        left=np.concatenate([tree.left for tree in trees]).astype(np.int32),
        right=np.concatenate([tree.right for tree in trees]).astype(np.int32),
        feature=splits("split_index", np.int32),
        threshold=splits("threshold", kept["precision"]),
        default_left=np.array(list(map(int, kept["default_left"])), np.bool_),
        missing=np.array(list(map(int, kept["missing"])), np.uint8),
        categorical=splits("node_type", np.int8) == _CATEGORICAL_NODE,
        category_offsets=np.cumsum([0, *map(len, sets)]).astype(np.int64),
        categories=np.concatenate([np.empty(0), *sets]).astype(np.int32),
        output_count=1,
        tree_output=np.full(len(trees), EVERY_OUTPUT if kept["vector_leaves"] else 0, np.int32),
        leaf_value=leaf_value.reshape(-1, 1) if kept["vector_leaves"] else leaf_value,
        leaf_id=np.array(kept["leaf_id"], np.int32),
        split_cover=splits("sum_hess", np.float64) if cover else None,
        leaf_cover=np.concatenate([tree.of_leaves("sum_hess") for tree in trees]).astype(np.float64) if cover else None,
        linear=None if kept["linear"] is None else _linear(kept["linear"]),
        base_margin=np.array([kept["base_margin"]], value),
    )
