"""Calibration: fitted with scikit-learn, kept as rising knots, and refused where the data is wrong."""

from __future__ import annotations

import itertools
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quickthorn.calibration import METHODS, Calibration, aligned_score, fit, prior_correction
from quickthorn.errors import CalibrationError
from quickthorn.reference import calibration as reference

pytest.importorskip("sklearn", reason="calibrations are fitted with scikit-learn")

Numbers = npt.NDArray[np.float64]


def sample(count: int = 2_000, seed: int = 0) -> tuple[Numbers, npt.NDArray[np.bool_]]:
    """Margins, and labels whose log-odds are 1.7 times the margin less 2."""
    random = np.random.default_rng(seed)
    margins = random.normal(0.0, 2.0, count)
    return margins, random.random(count) < 1.0 / (1.0 + np.exp(2.0 - 1.7 * margins))


def source_of(method: str, margins: Numbers, labels: npt.NDArray[np.bool_], at: Numbers) -> Numbers:
    """What scikit-learn's own calibrators, used by hand, say at some margins."""
    if method == "isotonic":
        from sklearn.isotonic import IsotonicRegression

        model = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(margins, labels)
        return np.asarray(model.predict(at))
    from sklearn import calibration

    if method == "sigmoid":
        return np.asarray(calibration._SigmoidCalibration().fit(margins, labels.astype(int)).predict(at))
    return np.asarray(calibration._TemperatureScaling().fit(margins, labels.astype(int)).predict(at))[:, 1]


@pytest.mark.parametrize("method", ["sigmoid", "isotonic", "temperature"])
def test_scores_are_scikit_learn_s_within_the_stated_bound(method: str) -> None:
    margins, labels = sample()
    calibration = fit(margins, labels, method=method)
    at = np.concatenate([np.linspace(-40, 40, 3_001), margins])
    found = np.array([calibration.score(margin) for margin in at])
    bound = calibration.error_bound or 1e-15
    np.testing.assert_allclose(found, source_of(method, margins, labels, at), rtol=0, atol=bound)


def test_beta_finds_the_curve_that_the_labels_were_drawn_from() -> None:
    # Log-odds that are linear in the margin are a beta curve with equal weights.
    margins, labels = sample(200_000)
    calibration = fit(margins, labels, method="beta")
    at = np.linspace(-3, 4, 50)
    found = np.array([calibration.score(margin) for margin in at])
    np.testing.assert_allclose(found, 1.0 / (1.0 + np.exp(2.0 - 1.7 * at)), atol=0.01)


@pytest.mark.parametrize("method", METHODS)
def test_a_curve_rises_is_exact_at_its_knots_and_level_beyond_them(method: str) -> None:
    calibration = fit(*sample(), method=method, sampling_rate=0.2)
    assert [calibration.score(x) for x in calibration.x] == list(calibration.y)
    assert all(one <= other for one, other in itertools.pairwise(calibration.y))
    assert calibration.score(-math.inf) == calibration.y[0]
    assert calibration.score(math.inf) == calibration.y[-1]
    assert math.isnan(calibration.score(math.nan))


def test_a_sampling_rate_moves_the_odds_by_that_much() -> None:
    margins, labels = sample()
    plain, corrected = fit(margins, labels, method="sigmoid"), fit(margins, labels, method="sigmoid", sampling_rate=0.1)
    for margin in (-3.0, 0.0, 2.5):
        p, q = plain.score(margin), corrected.score(margin)
        assert q / (1 - q) == pytest.approx(0.1 * p / (1 - p), rel=5e-3)
    prior = prior_correction(0.25)
    assert prior.score(0.0) == pytest.approx(0.25 / 1.25, abs=1e-6)


knots = st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(0, 1)), min_size=2, max_size=12)


@settings(max_examples=60, deadline=None)
@given(knots, st.lists(st.floats(-2e6, 2e6), min_size=2, max_size=20))
def test_any_knots_make_a_rising_curve_and_the_reference_agrees(
    points: list[tuple[float, float]], margins: list[float]
) -> None:
    x = sorted({x + 0.0 for x, _ in points})
    if len(x) < 2:
        x = [x[0] - 1.0, x[0] + 1.0]
    y = sorted(y for _, y in points)[: len(x)]
    calibration = Calibration("isotonic", tuple(x), tuple(y + [1.0] * (len(x) - len(y))))
    scores = [calibration.score(margin) for margin in sorted(margins)]
    assert scores == sorted(scores)
    assert all(calibration.y[0] <= score <= calibration.y[-1] for score in scores)
    assert scores == [reference.calibrated(calibration, margin) for margin in sorted(margins)]


@given(st.floats(0, 1))
def test_aligned_scores_are_the_reference_s(probability: float) -> None:
    assert 0 <= aligned_score(probability) <= 999
    assert aligned_score(probability) == reference.aligned(probability)


def test_aligned_scores_are_fixed_points_on_one_curve() -> None:
    assert [aligned_score(p) for p in (0.0, 1 / 4097, 1 / 65, 1 / 3, 0.5, 0.8, 1.0)] == [0, 0, 300, 550, 600, 700, 999]
    assert {aligned_score(wrong) for wrong in (math.nan, -0.1, 1.1, math.inf)} == {-1}


GOOD = list(np.linspace(-1, 1, 40))
LABELS = [0, 1] * 20


@pytest.mark.parametrize(
    ("margins", "labels", "options", "message"),
    [
        (GOOD, [0] * 40, {}, "expected at least 10 frauds and as many legitimate events, found 0 and 40"),
        (GOOD, [1] * 40, {}, "found 40 and 0"),
        (GOOD[:12], LABELS[:12], {}, "found 6 and 6"),
        ([*GOOD[:39], math.nan], LABELS, {}, "margins[39]: expected a finite number, found"),
        ([math.inf, *GOOD[1:]], LABELS, {}, "margins[0]: expected a finite number, found"),
        (GOOD, [*LABELS[:39], 2], {}, "labels[39]: expected 0 or 1, found"),
        (GOOD, [math.nan, *LABELS[1:]], {}, "labels[0]: expected 0 or 1, found"),
        (GOOD, LABELS[:39], {}, "labels: expected 40, one for each margin, found 39"),
        ([GOOD], LABELS, {}, "margins: expected a vector of numbers, found float64 of shape (1, 40)"),
        (["a"] * 40, LABELS, {}, "margins: expected a vector of numbers"),
        (GOOD, ["fraud"] * 40, {}, "labels: expected a vector of numbers"),
        (
            GOOD,
            LABELS,
            {"method": "platt"},
            "method: expected one of sigmoid, isotonic,",
        ),
        (GOOD, LABELS, {"sampling_rate": 0.0}, "sampling_rate: expected a number above 0 and at most 1, found 0.0"),
        (GOOD, LABELS, {"sampling_rate": 1.5}, "found 1.5"),
        (GOOD, LABELS, {"sampling_rate": math.nan}, "found nan"),
        (GOOD, LABELS, {"sampling_rate": True}, "found True"),
        (GOOD, [1] * 20 + [0] * 20, {}, "isotonic: expected margins that rise with fraud"),
        (GOOD, [1] * 20 + [0] * 20, {"method": "sigmoid"}, "sigmoid: expected margins that rise with fraud"),
        (GOOD, [0] * 20 + [1] * 20, {"method": "beta"}, "beta: expected margins of frauds and legitimate events that"),
    ],
)
def test_data_that_no_calibration_can_be_fitted_on_is_refused(
    margins: list[Any], labels: list[Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(CalibrationError, match=re.escape(message)):
        fit(margins, labels, **options)


def test_a_calibration_is_saved_and_loaded_exactly(tmp_path: Path) -> None:
    calibration = fit(*sample(), sampling_rate=0.3)
    calibration.save(tmp_path / "calibration.json")
    assert Calibration.load(tmp_path / "calibration.json") == calibration
    with pytest.raises(CalibrationError, match=r"none.json: expected a readable calibration"):
        Calibration.load(tmp_path / "none.json")
    for wrong in (b"{", b"\xff", b'{"method":"sigmoid","x":[1,1],"y":[0,1]}', b'{"method":"x","x":[0,1],"y":[0,1]}'):
        (tmp_path / "wrong.json").write_bytes(wrong)
        with pytest.raises(CalibrationError, match=r"wrong.json: "):
            Calibration.load(tmp_path / "wrong.json")
