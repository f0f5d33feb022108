"""Whether two bundles give the same reasons for the same events."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.int64]


class ReasonStability(msgspec.Struct, frozen=True, kw_only=True):
    """Reasons compared over the events that both bundles give any.

    ``events``            how many those are; ``old_only`` and ``new_only`` are events that only one gives reasons for
    ``first_same_share``  share of them whose first reason is the same; NaN where there are none, as is the next
    ``mean_overlap``      mean of |both| / |either| over the sets of reasons (Jaccard), 1.0 where all are the same
    ``shifts``            reason code to the shares of these events that have it, old and new, where they are not the
                          same; those that rose or fell most come first
    """

    events: int
    old_only: int
    new_only: int
    first_same_share: float
    mean_overlap: float
    shifts: dict[str, tuple[float, float]]


def reason_stability(
    old: npt.NDArray[np.int16],
    new: npt.NDArray[np.int16],
    old_codes: Sequence[str],
    new_codes: Sequence[str],
) -> ReasonStability:
    """Compare what two bundles say of the same events.

    ``old``, ``new``              int16 (n, most), as ``Batch.reason_codes``; each bundle has a ``most`` of its own
    ``old_codes``, ``new_codes``  the codes of the bundles' reasons, by place
    """
    codes = tuple(dict.fromkeys((*old_codes, *new_codes)))
    before, after = _numbered(old, old_codes, codes), _numbered(new, new_codes, codes)
    explained = [side[:, 0] >= 0 for side in (before, after)]
    both = explained[0] & explained[1]
    before, after = before[both], after[both]
    events = len(before)
    shared = np.zeros(events)
    for place in range(before.shape[1]):
        code = before[:, place : place + 1]
        shared += ((after == code) & (code >= 0)).any(axis=1)
    either = (before >= 0).sum(axis=1) + (after >= 0).sum(axis=1) - shared
    shares = [np.bincount(side[side >= 0], minlength=len(codes)) / max(events, 1) for side in (before, after)]
    order = np.argsort(-np.abs(shares[1] - shares[0]), kind="stable")
    return ReasonStability(
        events=events,
        old_only=int((explained[0] & ~both).sum()),
        new_only=int((explained[1] & ~both).sum()),
        first_same_share=float(np.mean(before[:, 0] == after[:, 0])) if events else float("nan"),
        mean_overlap=float(np.mean(shared / either)) if events else float("nan"),
        shifts={
            codes[code]: (float(shares[0][code]), float(shares[1][code]))
            for code in order
            if shares[0][code] != shares[1][code]
        },
    )


def _numbered(places: npt.NDArray[np.int16], own: Sequence[str], codes: Sequence[str]) -> Codes:
    """The same with places among ``codes``; at least one column wide."""
    number = {code: place for place, code in enumerate(codes)}
    # The last entry is what -1 finds.
    table = np.array([*(number[code] for code in own), -1], dtype=np.int64)
    if not places.shape[1]:
        return np.full((len(places), 1), -1, dtype=np.int64)
    return table[places]
