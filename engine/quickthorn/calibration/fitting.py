"""Fits calibrations, with scikit-learn where it has the method, and tabulates what was fitted."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias, get_args

from quickthorn.calibration.knots import MARGIN_LIMIT, MOST_KNOTS, Calibration, Method, check_sampling_rate, corrected
from quickthorn.errors import CalibrationError
from quickthorn.extras import require

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Numbers: TypeAlias = npt.NDArray[np.float64]
    Curve: TypeAlias = Callable[[Numbers], Numbers]

METHODS: Final[tuple[str, ...]] = tuple(method for method in get_args(Method) if method != "prior")
LEAST_OF_A_CLASS: Final = 10

# How far a line may be from a fitted curve: this much, and where the probability is small a thousandth of it.
TOLERANCE: Final = 1e-6
_RELATIVE_TOLERANCE: Final = 1e-3
# Curves are followed out to where they have come this close to 0 and 1, and are level beyond.
_END: Final = 1e-9
_FIRST_INTERVALS: Final = 64
_LONGEST_REACH: Final = 2.0**60


def fit(margins: Any, labels: Any, *, method: str = "isotonic", sampling_rate: float = 1.0) -> Calibration:
    """Learn what a forest's margins mean from events that it was not trained on.

    ``margins``        float64 (n,): the forest's own sums, as ``Forest.margin_batch`` or a ``Batch`` gives them
    ``labels``         (n,): truths, as booleans or 0 and 1; 1 is fraud
    ``method``         "sigmoid": scikit-learn's Platt scaling (Platt, 1999); "isotonic": its isotonic regression
                       (Zadrozny and Elkan, 2002); "temperature": its temperature scaling (Guo, Pleiss, Sun and
                       Weinberger, 2017); "beta": beta calibration of the margin's logistic probability (Kull, Silva
                       Filho and Flach, 2017)
    ``sampling_rate``  the share of legitimate events that were kept in these; 1 where none were left out

    Raises CalibrationError for arrays of different lengths, margins that are not finite, labels that are not truths,
    fewer than 10 events of either class, and a fit that does not rise with the margin.
    """
    if method not in METHODS:
        raise CalibrationError(f"method: expected one of {', '.join(METHODS)}, found {method!r}")
    rate = check_sampling_rate(sampling_rate)
    given, truths = _checked(margins, labels)
    curve, breaks = _FITS[method](given, truths)
    x, y = _tabulated(lambda at: corrected(curve(at), rate), breaks, bends=method != "isotonic" or rate < 1.0)
    if not y[0] < y[-1]:
        raise CalibrationError(
            f"{method}: expected margins that rise with fraud, found a curve that falls or does not rise"
        )
    exact = method == "isotonic" and rate == 1.0
    return Calibration(
        method,  # type: ignore[arg-type]  # one of METHODS, as was checked
        tuple(x.tolist()),
        tuple(y.tolist()),
        rate,
        0.0 if exact else TOLERANCE,
    )


def prior_correction(sampling_rate: float) -> Calibration:
    """What a logistic model's margins mean when it was trained on this share of the legitimate events and all frauds.

    Only the odds are moved; whether the model's own probabilities are right is left to it. CalibrationError where the
    rate is not above 0 and at most 1.
    """
    rate = check_sampling_rate(sampling_rate)
    x, y = _tabulated(lambda at: corrected(_logistic(at), rate), _reach(_logistic, -1.0, 1.0), bends=True)
    return Calibration("prior", tuple(x.tolist()), tuple(y.tolist()), rate, TOLERANCE)


def _checked(margins: Any, labels: Any) -> tuple[Numbers, npt.NDArray[np.int64]]:
    import numpy as np

    given, truths = np.asarray(margins), np.asarray(labels)
    for name, array, kinds in (("margins", given, "fiu"), ("labels", truths, "biuf")):
        if array.ndim != 1 or array.dtype.kind not in kinds:
            raise CalibrationError(
                f"{name}: expected a vector of numbers, found {array.dtype} of shape {tuple(array.shape)}"
            )
    if len(given) != len(truths):
        raise CalibrationError(f"labels: expected {len(given)}, one for each margin, found {len(truths)}")
    given = given.astype(np.float64)
    wrong = np.flatnonzero(~(np.abs(given) <= MARGIN_LIMIT))
    if len(wrong):
        raise CalibrationError(f"margins[{wrong[0]}]: expected a finite number, found {given[wrong[0]]!r}")
    wrong = np.flatnonzero((truths != 0) & (truths != 1))
    if len(wrong):
        raise CalibrationError(f"labels[{wrong[0]}]: expected 0 or 1, found {truths[wrong[0]]!r}")
    frauds = int(np.count_nonzero(truths))
    if min(frauds, len(truths) - frauds) < LEAST_OF_A_CLASS:
        raise CalibrationError(
            f"labels: expected at least {LEAST_OF_A_CLASS} frauds and as many legitimate events, "
            f"found {frauds} and {len(truths) - frauds}"
        )
    return given, truths.astype(np.int64)


def _logistic(at: Numbers) -> Numbers:
    import numpy as np

    # Of the two forms, the one whose exponential cannot overflow.
    power = np.exp(-np.abs(at))
    return np.asarray(np.where(at >= 0, 1.0, power) / (1.0 + power))


def _reach(curve: Curve, low: float, high: float) -> Numbers:
    """Margins from where the curve is nearly 0 to where it is nearly 1, at even distances."""
    import numpy as np

    step = max(high - low, 1e-3)
    for _ in range(80):
        below, above = curve(np.array([low, high]))
        if (below <= _END and above >= 1.0 - _END) or step > _LONGEST_REACH:
            break
        low, high = (low - step if below > _END else low), (high + step if above < 1.0 - _END else high)
        step *= 2.0
    return np.linspace(low, high, _FIRST_INTERVALS + 1)


def _with_scikit_learn(method: str) -> Callable[[Numbers, npt.NDArray[np.int64]], tuple[Curve, Numbers]]:
    """A fit by the method of that name of scikit-learn's CalibratedClassifierCV."""

    def fitted(margins: Numbers, labels: npt.NDArray[np.int64]) -> tuple[Curve, Numbers]:
        calibration = require("sklearn.calibration", "train", "fitting a calibration")
        frozen = require("sklearn.frozen", "train", "fitting a calibration")
        model = calibration.CalibratedClassifierCV(frozen.FrozenEstimator(_margins_as_they_are()), method=method)
        model.fit(margins.reshape(-1, 1), labels)

        def curve(at: Numbers) -> Numbers:
            probabilities: Numbers = model.predict_proba(at.reshape(-1, 1))[:, 1]
            return probabilities

        return curve, _reach(curve, float(margins.min()), float(margins.max()))

    return fitted


def _margins_as_they_are() -> Any:
    """What scikit-learn takes for a fitted classifier: its decision function is the margin it is given."""
    import numpy as np

    base = require("sklearn.base", "train", "fitting a calibration")

    class Margins(base.ClassifierMixin, base.BaseEstimator):  # type: ignore[name-defined,misc]  # untyped
        classes_ = np.array([0, 1])

        def fit(self, margins: Any, labels: Any) -> Any:
            self.fitted_ = True
            return self

        def decision_function(self, margins: Any) -> Any:
            return margins[:, 0]

        def predict(self, margins: Any) -> Any:
            return (margins[:, 0] > 0).astype(np.int64)

    return Margins().fit(None, None)


def _isotonic(margins: Numbers, labels: npt.NDArray[np.int64]) -> tuple[Curve, Numbers]:
    isotonic = require("sklearn.isotonic", "train", "fitting a calibration")
    model = isotonic.IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(margins, labels)
    return model.predict, model.X_thresholds_


def _beta(margins: Numbers, labels: npt.NDArray[np.int64]) -> tuple[Curve, Numbers]:
    """Logistic regression on ln p and −ln(1 − p) of the margin's logistic p, neither with a weight below 0."""
    import numpy as np

    linear = require("sklearn.linear_model", "train", "fitting a calibration")

    def features(at: Numbers, kept: list[int]) -> Numbers:
        return np.column_stack([-np.logaddexp(0.0, -at), np.logaddexp(0.0, at)])[:, kept]

    def model_of(kept: list[int]) -> Any:
        model = linear.LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-9, max_iter=1000)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                return model.fit(features(margins, kept), labels)
            except Warning as warning:
                raise CalibrationError(
                    "beta: expected margins of frauds and legitimate events that overlap, found a fit without an end; "
                    'method="sigmoid" bears that'
                ) from warning

    kept = [0, 1]
    model = model_of(kept)
    if (model.coef_[0] < 0.0).any() and not (model.coef_[0] < 0.0).all():
        kept = [int(np.argmax(model.coef_[0]))]
        model = model_of(kept)

    def curve(at: Numbers) -> Numbers:
        return _logistic(features(at, kept) @ model.coef_[0] + model.intercept_[0])

    return curve, _reach(curve, float(margins.min()), float(margins.max()))


_FITS: Final[dict[str, Callable[..., tuple[Any, Any]]]] = {
    "sigmoid": _with_scikit_learn("sigmoid"),
    "isotonic": _isotonic,
    "temperature": _with_scikit_learn("temperature"),
    "beta": _beta,
}


def _tabulated(curve: Curve, breaks: Numbers, *, bends: bool) -> tuple[Numbers, Numbers]:
    """Knots at ``breaks`` and, where the curve bends between them, wherever a line would leave it too far."""
    import numpy as np

    x: Numbers = np.unique(breaks.astype(np.float64))
    while bends:
        y = curve(x)
        worst = np.zeros(len(x) - 1, dtype=np.bool_)
        for share in (0.25, 0.5, 0.75):
            at = x[:-1] + share * np.diff(x)
            true = curve(at)
            off = np.abs(true - (y[:-1] + share * np.diff(y)))
            worst |= (off > np.minimum(TOLERANCE / 2, _RELATIVE_TOLERANCE * np.maximum(true, _END))) & (at > x[:-1])
        if not worst.any():
            break
        x = np.unique(np.concatenate([x, (x[:-1] + 0.5 * np.diff(x))[worst]]))
        if len(x) > MOST_KNOTS:
            break
    if not 2 <= len(x) <= MOST_KNOTS:
        raise CalibrationError(f"calibration: expected a curve of 2 to {MOST_KNOTS} knots, found one of {len(x)}")
    return x, np.clip(np.maximum.accumulate(curve(x)), 0.0, 1.0)
