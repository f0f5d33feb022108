"""``Forest``: one compiled model that scores feature vectors."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Self

from quickthorn.bundle import ForestFile, ForestManifest, read_forest, write_forest
from quickthorn.bundle.manifest import (
    GOLDEN_CONTRIBUTIONS,
    GOLDEN_FEATURES,
    GOLDEN_LEAVES,
    GOLDEN_MARGINS,
    GOLDEN_SCORES,
    library_member,
)
from quickthorn.errors import BundleError, RowError
from quickthorn.native import _native
from quickthorn.serving.target import choose_target

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class Forest(_native.Forest):
    """One compiled model: a feature vector in, its score out, in one call.

    A row is a ``Row`` made by ``row()``, or a contiguous vector of float32 or float64 values: a numpy array or any
    other buffer. Features stand in the model's own order and NaN is missing. Nothing is copied, converted or guessed:
    what is no such row raises RowError.

    ``score(row)``         the model's prediction, a float: what ``predict`` (a regressor) or the positive class's
                           column of ``predict_proba`` (a binary classifier) gives for it
    ``margin(row)``        the forest's own sum, a float, bit-equal to the source library's
    ``scores(row)``        the same for every output, float64 [outputs]: one row of ``predict_proba`` of a model with
                           several classes; ``out=`` takes an array to write to
    ``margins(row)``       likewise
    ``leaves(row)``        int32 [trees]: the leaf that the row comes to in every tree, as the source library numbers it
    ``row()``              a row of missing values: ``row["name"] = x``, ``row[3] = x`` or ``row.values[...] = array``
    ``score_batch(rows)``  float64 [n], or [n, outputs]: of a float32 or float64 array [n, features] with any strides;
                           ``out=`` takes an array to write to
    ``margin_batch(rows)`` likewise

    ``contributions(row)`` what every feature adds to the margin, and last the margin that is to be expected of no row:
                           float64 [features + 1], or [outputs, features + 1]; ``out=`` takes an array to write to
    ``contributions_batch(rows)``  likewise, [n, features + 1] or [n, outputs, features + 1]

    Contributions are the Shapley values of path-dependent TreeSHAP and add up to the margin, both within rounding
    (docs/EXPLANATIONS.md has the figures). They are for forests compiled with ``contributions=True``; without, they
    raise BundleError.

    ``score`` and ``margin`` are for models of one output; with several they raise RowError. A forest keeps no state: it
    may be called from any number of threads at once, and the calls over many rows let other threads run meanwhile.

    Made by ``compile_model`` or ``Forest.load``. ``manifest`` is the forest file's own description, ``forest_id`` its
    identity.
    """

    manifest: ForestManifest
    forest_id: str
    _file: ForestFile

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, target: str | None = None) -> Self:
        """Read, verify and map a forest file; its golden vectors are held to before the forest is handed out.

        ``target``  the file's library to use, by CPU level; by default the best that this processor runs

        Needs no compiler and no library that trains. Raises BundleError for a file that is damaged, altered, of another
        format, compiled for another processor or not what its golden vectors say.
        """
        return cls.open(read_forest(path), os.fspath(path), target)

    @classmethod
    def open(cls, file: ForestFile, origin: str, target: str | None = None) -> Self:
        """Map a forest file that was read already; ``origin`` opens the messages. Raises as ``load`` does."""
        manifest, members = file.manifest, file.members
        try:
            forest = cls(
                library=members[library_member(choose_target(manifest.targets, target, origin))],
                link=manifest.forest.link.value,
                link_scale=manifest.forest.link_scale,
                shape=(manifest.features, manifest.forest.trees, manifest.outputs),
                feature_names=manifest.feature_names,
                categories=manifest.categories,
                unknown_category=manifest.unknown_category,
            )
        except BundleError as error:
            raise BundleError(f"{origin}: {error}") from error
        disagreement = forest._verify_golden(
            members[GOLDEN_FEATURES],
            members[GOLDEN_MARGINS],
            members[GOLDEN_SCORES],
            members[GOLDEN_LEAVES],
            members.get(GOLDEN_CONTRIBUTIONS),
        )
        if disagreement is not None:
            raise BundleError(f"{origin}: {disagreement}")
        forest.manifest = manifest
        forest.forest_id = file.forest_id
        forest._file = file
        return forest

    def save(self, path: str | os.PathLike[str]) -> str:
        """Write the forest file, whole or not at all, and return its id; BundleError where it cannot be written."""
        return write_forest(path, self.manifest, self._file.members)

    @property
    def explains(self) -> bool:
        """Whether the forest was compiled with contributions."""
        return self.manifest.golden.explained_rows > 0

    @property
    def expected_value(self) -> float:
        """The margin that is to be expected of no row: what contributions start from; in a forest of one output."""
        if self.output_count != 1:
            raise RowError(
                f"forest.expected_value: expected a forest of one output, found one of {self.output_count}; "
                "forest.expected_values gives one for each"
            )
        return float(self.expected_values[0])

    @property
    def expected_values(self) -> npt.NDArray[np.float64]:
        """The same for every output, float64 [outputs]."""
        # It is the same for every row, such as the one of missing values.
        return self.contributions(self.row()).reshape(self.output_count, -1)[:, -1].copy()

    @property
    def feature_names(self) -> tuple[str, ...] | None:
        """The features' names in order; None where the model was trained without names."""
        return self.manifest.feature_names

    @property
    def feature_count(self) -> int:
        """How many values a row has."""
        return self.manifest.features

    @property
    def output_count(self) -> int:
        """How many margins and scores a row has."""
        return self.manifest.outputs

    @property
    def tree_count(self) -> int:
        """How many trees the forest has."""
        return self.manifest.forest.trees

    def __repr__(self) -> str:
        outputs = f", {self.output_count} outputs" if self.output_count != 1 else ""
        return f"Forest({self.manifest.forest.source}, {self.feature_count} features, {self.tree_count} trees{outputs})"
