"""What the engine says about many events at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from quickthorn.decision import OUTCOMES

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

STATUSES = ("ok", "capped", "late", "duplicate", "invalid")


@dataclass(frozen=True, eq=False)
class Batch:
    """One entry per event, in the events' order.

    ``scores``         float64 (n,), NaN where the event is invalid
    ``margins``        float64 (n,), NaN where the event is invalid
    ``outcome_codes``  uint8 (n,): place in ("approve", "review", "decline")
    ``status_codes``   uint8 (n,): place in ("ok", "capped", "late", "duplicate", "invalid")
    ``errors``         (row, message) of every invalid event, in order
    """

    scores: npt.NDArray[np.float64]
    margins: npt.NDArray[np.float64]
    outcome_codes: npt.NDArray[np.uint8]
    status_codes: npt.NDArray[np.uint8]
    errors: tuple[tuple[int, str], ...]

    @property
    def outcomes(self) -> npt.NDArray[Any]:
        """Outcomes as strings, shape (n,)."""
        return _named(OUTCOMES, self.outcome_codes)

    @property
    def statuses(self) -> npt.NDArray[Any]:
        """Statuses as strings, shape (n,)."""
        return _named(STATUSES, self.status_codes)

    def __len__(self) -> int:
        return len(self.status_codes)

    def __repr__(self) -> str:
        counts = {name: int((self.outcome_codes == code).sum()) for code, name in enumerate(OUTCOMES)}
        parts = ", ".join(f"{count} {name}" for name, count in counts.items())
        return f"Batch({len(self)} events: {parts}; {len(self.errors)} invalid)"


def _named(names: tuple[str, ...], codes: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
    import numpy as np

    return np.array(names)[codes]
