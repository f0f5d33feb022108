"""Golden vectors: feature vectors and what the source library makes of them, held to whenever a bundle is loaded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quickthorn.bundle.manifest import GOLDEN_FEATURES, GOLDEN_LEAVES, GOLDEN_MARGINS, GOLDEN_SCORES
from quickthorn.errors import ModelError
from quickthorn.forest.importing import LoadedModel
from quickthorn.forest.probes import probe_rows

ROWS = 512
LEAST_ROWS = 256
_SEED = 20_260_101


@dataclass(frozen=True)
class GoldenVectors:
    """``vectors`` float64 (rows, features); ``margins`` and ``scores`` float64 (rows,); ``leaves`` int32 (rows, trees).

    With several outputs, ``margins`` and ``scores`` are (rows, outputs). Everything but the vectors was computed by the
    library that trained the model.
    """

    vectors: npt.NDArray[np.float64]
    margins: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float64]
    leaves: npt.NDArray[np.int32]

    @property
    def members(self) -> dict[str, bytes]:
        """The arrays as members of an archive."""
        return {
            GOLDEN_FEATURES: self.vectors.tobytes(),
            GOLDEN_MARGINS: self.margins.tobytes(),
            GOLDEN_SCORES: self.scores.tobytes(),
            GOLDEN_LEAVES: self.leaves.tobytes(),
        }


def golden_vectors(model: LoadedModel) -> GoldenVectors:
    """Adversarial rows for this forest (on and beside its thresholds, missing, infinite) and the library's answers."""
    vectors = probe_rows(model.ensemble, ROWS, _SEED)
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
    )
