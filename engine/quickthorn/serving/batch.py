"""What the engine says about many events at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from quickthorn.calibration.aligned import NONE, aligned_score
from quickthorn.decision import STATUSES

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class Batch:
    """One entry per event, in the events' order.

    ``scores``         float64 (n,), NaN where the event is invalid
    ``margins``        float64 (n,), NaN where the event is invalid
    ``outcome_codes``  uint8 (n,): place in ``outcome_names``, the policy's, mildest first
    ``rule_codes``     int32 (n,): place in ``rule_names`` of what decided; -1 where the policy's thresholds did
    ``propensities``   float64 (n,): the chance that the event had of its outcome; 1.0 where nothing was left to chance
    ``reason_codes``   int16 (n, most): places among the reasons of the bundle's map, the weightiest first, -1 where
                       there are no more; (0, 0) where the bundle has no reasons
    ``status_codes``   uint8 (n,): place in ("ok", "capped", "late", "duplicate", "invalid")
    ``errors``         (row, message) of every invalid event, in order
    """

    scores: npt.NDArray[np.float64]
    margins: npt.NDArray[np.float64]
    outcome_codes: npt.NDArray[np.uint8]
    rule_codes: npt.NDArray[np.int32]
    propensities: npt.NDArray[np.float64]
    reason_codes: npt.NDArray[np.int16]
    status_codes: npt.NDArray[np.uint8]
    errors: tuple[tuple[int, str], ...]
    outcome_names: tuple[str, ...]
    rule_names: tuple[str, ...]
    scores_are_probabilities: bool

    @property
    def aligned_scores(self) -> npt.NDArray[np.int16]:
        """Scores from 0 to 999 on the curve that all model versions share, int16 (n,); -1 where there is none."""
        import numpy as np

        if not self.scores_are_probabilities:
            return np.full(len(self), NONE, dtype=np.int16)
        return np.fromiter(map(aligned_score, self.scores.tolist()), dtype=np.int16, count=len(self))

    @property
    def outcomes(self) -> npt.NDArray[Any]:
        """Outcomes as strings, shape (n,)."""
        return _named(self.outcome_names, self.outcome_codes)

    @property
    def rules(self) -> npt.NDArray[Any]:
        """What decided, as strings, shape (n,): as ``Decision.rule``, and "" where that is None."""
        return _named((*self.rule_names, ""), self.rule_codes)

    @property
    def statuses(self) -> npt.NDArray[Any]:
        """Statuses as strings, shape (n,)."""
        return _named(STATUSES, self.status_codes)

    def __len__(self) -> int:
        return len(self.status_codes)

    def __repr__(self) -> str:
        counts = {name: int((self.outcome_codes == code).sum()) for code, name in enumerate(self.outcome_names)}
        parts = ", ".join(f"{count} {name}" for name, count in counts.items())
        return f"Batch({len(self)} events: {parts}; {len(self.errors)} invalid)"


def _named(names: tuple[str, ...], codes: npt.NDArray[Any]) -> npt.NDArray[Any]:
    import numpy as np

    named: npt.NDArray[Any] = np.array(names)[codes]
    return named
