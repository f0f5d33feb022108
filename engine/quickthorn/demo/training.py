"""From replayed features to a model and a policy, with nothing that was not known at the time of training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from quickthorn.calibration import Calibration, fit
from quickthorn.demo.measures import Thresholds
from quickthorn.demo.payments import DAY_US, START_US
from quickthorn.demo.progress import Advance
from quickthorn.demo.stream import LABEL_MATURITY_DAYS
from quickthorn.errors import CalibrationError, SimulationError
from quickthorn.extras import require

if TYPE_CHECKING:
    import pyarrow as pa

SHORTEST_DEMO_DAYS = 60
LONGEST_LIVE_DAYS = 10

# The share of all payments that people can look at, and how sure a decline without a look has to be.
ALERT_RATE = 0.01
DECLINE_PRECISION = 0.95


@dataclass(frozen=True)
class Timeline:
    """The stretches of a stream, as days since its start; each ends where the next begins.

    The first days only fill the windows. Then come the days the model is fitted on, those its thresholds are chosen on,
    the days whose labels are still out at the time of training, and from `live_day` on the days that are decided live.
    Training happens at the start of `live_day`.
    """

    fit_day: int
    validation_day: int
    unlabelled_day: int
    live_day: int
    end_day: int


def plan_timeline(days: int) -> Timeline:
    """Divide a stream of `days` days; SimulationError where it is too short to train on."""
    if days < SHORTEST_DEMO_DAYS:
        raise SimulationError(
            f"days: expected at least {SHORTEST_DEMO_DAYS} (labels take {LABEL_MATURITY_DAYS} to arrive), got {days}"
        )
    live_day = days - min(LONGEST_LIVE_DAYS, days // 6)
    unlabelled_day = live_day - LABEL_MATURITY_DAYS
    return Timeline(
        fit_day=unlabelled_day // 6,
        validation_day=unlabelled_day - unlabelled_day // 5,
        unlabelled_day=unlabelled_day,
        live_day=live_day,
        end_day=days,
    )


def rows_between(table: pa.Table, first_day: int, end_day: int) -> slice:
    """The rows of a stream from the start of `first_day` up to the start of `end_day`."""
    first, end = np.searchsorted(event_times_us(table), START_US + np.array([first_day, end_day]) * DAY_US)
    return slice(int(first), int(end))


def stretch_between(table: pa.Table, first_day: int, end_day: int) -> pa.Table:
    """The part of a stream from the start of `first_day` up to the start of `end_day`, without copying."""
    rows = rows_between(table, first_day, end_day)
    return table.slice(rows.start, rows.stop - rows.start)


def event_times_us(table: pa.Table) -> npt.NDArray[np.int64]:
    """The event times of a stream, int64 microseconds UTC, shape (n,)."""
    times: npt.NDArray[np.int64] = table["at"].cast("int64").to_numpy()
    return times


def known_labels(events: pa.Table, rows: slice, now_us: int) -> npt.NDArray[np.bool_]:
    """The labels of `rows`; SimulationError where one of them is not known at `now_us` (microseconds UTC).

    Only whole stretches are taken, never the part of a stretch whose labels happen to be in: frauds become known before
    genuine payments do, so such a part would hold too many of them.
    """
    available_at_us = events["label_available_at"][rows].cast("int64").to_numpy()
    too_early = int(np.count_nonzero(available_at_us > now_us))
    if too_early:
        raise SimulationError(f"labels: expected all of them known at the time of training, {too_early} are not")
    fraud: npt.NDArray[np.bool_] = events["fraud"][rows].to_numpy() == 1
    return fraud


def feature_matrix(replayed: pa.Table, names: tuple[str, ...], rows: slice) -> npt.NDArray[np.float64]:
    """The feature vectors of `rows`, shape (n, features), float64, NaN where missing."""
    return np.column_stack([replayed[name][rows].to_numpy() for name in names])


def fit_model(
    matrix: npt.NDArray[np.float64],
    fraud: npt.NDArray[np.bool_],
    names: tuple[str, ...],
    *,
    trees: int,
    seed: int,
    advance: Advance,
) -> Any:
    """Fit an xgboost.Booster of `trees` trees of depth 6 on `matrix` and `fraud`; `advance` hears of every tree."""
    xgboost = require("xgboost", "demo", "training the demo's model")
    data = xgboost.QuantileDMatrix(matrix, label=fraud, feature_names=list(names), nthread=2)
    settings = {
        "objective": "binary:logistic",
        "tree_method": "hist",
        "max_depth": 6,
        "learning_rate": 0.1,
        "min_child_weight": 5.0,
        "subsample": 0.8,
        "colsample_bytree": 0.8,
        "nthread": 2,
        "seed": seed,
    }
    model = xgboost.Booster(settings, [data])
    for tree in range(trees):
        model.update(data, tree)
        advance(1)
    return model


def model_margins(model: Any, matrix: npt.NDArray[np.float64], names: tuple[str, ...]) -> npt.NDArray[np.float64]:
    """The model's own margins, shape (n,)."""
    xgboost = require("xgboost", "demo", "scoring with the demo's model")
    margins = model.predict(xgboost.DMatrix(matrix, feature_names=list(names), nthread=2), output_margin=True)
    return np.asarray(margins, dtype=np.float64)


def fit_calibration(margins: npt.NDArray[np.float64], fraud: npt.NDArray[np.bool_]) -> Calibration:
    """What the margins mean, learnt from payments that the model was not trained on; both arrays have shape (n,).

    SimulationError where there are too few frauds to learn it from.
    """
    try:
        return fit(margins, fraud, method="sigmoid")
    except CalibrationError as error:
        raise SimulationError(f"days x customers: expected enough payments to calibrate on, got: {error}") from error


def calibrated_scores(calibration: Calibration, margins: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The probabilities of fraud, shape (n,)."""
    return np.array([calibration.score(margin) for margin in margins.tolist()])


def write_policy(thresholds: Thresholds, path: Path) -> None:
    """Write the policy file with these thresholds; events that cannot be scored go to review."""
    path.write_text(
        f"# Chosen on the validation stretch: review alerts {ALERT_RATE:.0%} of the payments,\n"
        f"# decline begins where {DECLINE_PRECISION:.0%} of them are frauds.\n"
        "[thresholds]\n"
        f"review = {thresholds.review!r}\n"
        f"decline = {thresholds.decline!r}\n"
        "\n"
        "[fallback]\n"
        'invalid = "review"\n',
        encoding="utf-8",
    )
