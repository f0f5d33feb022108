"""Golden vectors: feature vectors and what the source library makes of them, held to whenever a bundle is loaded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quickthorn.bundle import GoldenShapes
from quickthorn.bundle.manifest import (
    GOLDEN_CONTRIBUTIONS,
    GOLDEN_FEATURES,
    GOLDEN_LEAVES,
    GOLDEN_MARGINS,
    GOLDEN_SCORES,
)
from quickthorn.errors import ModelError
from quickthorn.forest.explanation import explain
from quickthorn.forest.importing import LoadedModel
from quickthorn.forest.probes import probe_rows
from quickthorn.reference.contributions import contributions_of

ROWS = 512
LEAST_ROWS = 256
_SEED = 20_260_101
# Rows are explained until they have passed so many leaves, which takes a load some 20 ms; at least a few rows are.
_LEAVES_EXPLAINED = 2**23
_LEAVES_EXPLAINED_SLOWLY = 2**15
_LEAST_EXPLAINED = 4


@dataclass(frozen=True)
class GoldenVectors:
    """``vectors`` float64 (rows, features); ``margins`` and ``scores`` float64 (rows,); ``leaves`` int32 (rows, trees).

    With several outputs, ``margins`` and ``scores`` are (rows, outputs). ``contributions``, float64 (explained rows,
    outputs, features + 1), are those of the first rows, or None. Everything but the vectors was computed by the library
    that trained the model, and where it has no contributions of such a model, those by ``quickthorn.reference``.
    """

    vectors: npt.NDArray[np.float64]
    margins: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float64]
    leaves: npt.NDArray[np.int32]
    contributions: npt.NDArray[np.float64] | None = None

    @property
    def members(self) -> dict[str, bytes]:
        """The arrays as members of an archive."""
        members = {
            GOLDEN_FEATURES: self.vectors.tobytes(),
            GOLDEN_MARGINS: self.margins.tobytes(),
            GOLDEN_SCORES: self.scores.tobytes(),
            GOLDEN_LEAVES: self.leaves.tobytes(),
        }
        if self.contributions is not None:
            members[GOLDEN_CONTRIBUTIONS] = self.contributions.tobytes()
        return members

    @property
    def shapes(self) -> GoldenShapes:
        """The arrays' shapes for a manifest."""
        rows, features = self.vectors.shape
        return GoldenShapes(
            rows=rows,
            features=features,
            trees=self.leaves.shape[1],
            outputs=self.margins.size // rows,
            explained_rows=0 if self.contributions is None else len(self.contributions),
        )


def golden_vectors(
    model: LoadedModel, *, contributions: bool = False, first: npt.NDArray[np.float64] | None = None
) -> GoldenVectors:
    """Adversarial rows for this forest (on and beside its thresholds, missing, infinite) and the library's answers.

    ``first``, float64 (n, features), are rows to begin with instead of so many of those.
    """
    vectors = probe_rows(model.ensemble, ROWS - (0 if first is None else len(first)), _SEED)
    vectors = vectors if first is None else np.concatenate([first, vectors])
    margins = model.source_margins(vectors)
    # Only linear leaves carry a row's infinities into its margin, where there is no one right answer to hold to.
    finite = np.isfinite(margins).reshape(len(vectors), -1).all(axis=1)
    if finite.sum() < LEAST_ROWS:
        raise ModelError(f"model: expected finite margins for {LEAST_ROWS} probe rows, found {finite.sum()}")
    vectors, margins = vectors[finite], margins[finite]
    return GoldenVectors(
        vectors=np.ascontiguousarray(vectors, dtype="<f8"),
        margins=np.ascontiguousarray(margins, dtype="<f8"),
        scores=np.ascontiguousarray(model.source_scores(vectors), dtype="<f8"),
        leaves=np.ascontiguousarray(model.source_leaves(vectors), dtype="<i4"),
        contributions=_contributions(model, vectors) if contributions else None,
    )


def _contributions(model: LoadedModel, vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    explain(model.ensemble)  # says why, where there are none
    leaves = len(model.ensemble.leaf_id)
    found = model.source_contributions(vectors[: max(_LEAST_EXPLAINED, _LEAVES_EXPLAINED // leaves)])
    if found is None:
        rows = vectors[: max(_LEAST_EXPLAINED, _LEAVES_EXPLAINED_SLOWLY // leaves)]
        found = np.array([contributions_of(model.ensemble, row.tolist()) for row in rows])
    return np.ascontiguousarray(found, dtype="<f8")
