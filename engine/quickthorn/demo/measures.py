"""How good a ranking of payments is: average precision, recall at an alert rate, and thresholds chosen from both.

A ranking is to be measured by margins: calibrated scores have ties where a curve is level, and an aligned score is
rounded.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Thresholds:
    """Scores from which a payment is reviewed and declined; `review` <= `decline`, both within 0..1."""

    review: float
    decline: float


def average_precision(fraud: Booleans, scores: Numbers) -> float:
    """Precision averaged over the frauds in the order of falling score; NaN without a fraud.

    Both arrays have shape (n,). Payments of equal score are alerted together.
    """
    alerts, caught = _cumulated(fraud, scores)
    if not len(caught) or caught[-1] == 0:
        return float("nan")
    newly_caught = np.diff(caught, prepend=0)
    return float(np.sum(newly_caught * caught / alerts) / caught[-1])


def alerted(scores: Numbers, alert_rate: float) -> Booleans:
    """The highest-scored share `alert_rate` of the payments, at least one of them, as a mask of shape (n,).

    Where equal scores straddle the limit, the earlier payments are taken.
    """
    mask = np.zeros(len(scores), dtype=np.bool_)
    if len(scores):
        most = max(int(len(scores) * alert_rate), 1)
        mask[np.argsort(-scores, kind="stable")[:most]] = True
    return mask


def recall(fraud: Booleans, alerts: Booleans) -> float:
    """The share of the frauds that are among the alerts; NaN without a fraud. Both arrays have shape (n,)."""
    frauds = int(np.count_nonzero(fraud))
    return float(np.count_nonzero(fraud & alerts) / frauds) if frauds else float("nan")


def choose_thresholds(fraud: Booleans, scores: Numbers, *, alert_rate: float, decline_precision: float) -> Thresholds:
    """Thresholds for a policy, from scores in 0..1 whose truth is known; both arrays have shape (n,), n > 0.

    `review` is the score that alerts a share `alert_rate` of the payments. `decline` is the lowest score, not below
    `review`, from which at least `decline_precision` of the payments are frauds; 1 where no score reaches that.
    """
    review = float(scores[alerted(scores, alert_rate)].min())
    alerts, caught = _cumulated(fraud, scores)
    levels = np.unique(scores)[::-1]
    sure = levels[(caught / alerts >= decline_precision) & (levels >= review)]
    return Thresholds(review=review, decline=float(sure[-1]) if len(sure) else 1.0)


def _cumulated(fraud: Booleans, scores: Numbers) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Per distinct score, from the highest down: payments alerted and frauds caught so far."""
    _, level = np.unique(-scores, return_inverse=True)
    alerts = np.cumsum(np.bincount(level)) if len(scores) else np.zeros(0, dtype=np.int64)
    caught = np.cumsum(np.bincount(level, weights=fraud)).astype(np.int64) if len(scores) else alerts
    return alerts, caught
