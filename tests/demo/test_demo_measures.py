"""Figures of a ranking, against scikit-learn and against cases worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from quickthorn.demo.measures import alerted, average_precision, choose_thresholds, recall


def test_average_precision_of_a_ranking_worked_out_by_hand() -> None:
    # Frauds at ranks 1 and 3 of four: (1/1 + 2/3) / 2.
    fraud = np.array([True, False, True, False])
    scores = np.array([0.9, 0.8, 0.7, 0.1])
    assert average_precision(fraud, scores) == pytest.approx((1.0 + 2.0 / 3.0) / 2.0)


@pytest.mark.parametrize("decimals", [1, 2, 9])
def test_average_precision_is_that_of_scikit_learn(decimals: int) -> None:
    # Few decimals make many equal scores, which have to be alerted together.
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(5)
    for _ in range(20):
        fraud = rng.random(500) < 0.05
        fraud[0] = True
        scores = np.round(np.clip(rng.normal(0.3 + 0.2 * fraud, 0.2), 0.0, 1.0), decimals)
        expected = metrics.average_precision_score(fraud, scores)
        assert average_precision(fraud, scores) == pytest.approx(expected, rel=1e-12)


def test_figures_without_a_fraud_do_not_exist() -> None:
    none, scores = np.zeros(3, dtype=np.bool_), np.array([0.1, 0.2, 0.3])
    assert math.isnan(average_precision(none, scores))
    assert math.isnan(recall(none, alerted(scores, 0.5)))
    assert math.isnan(average_precision(none[:0], scores[:0]))


def test_alerts_are_the_highest_scores_and_the_earlier_of_equals() -> None:
    scores = np.array([0.5, 0.9, 0.5, 0.1, 0.5, 0.2, 0.3, 0.0, 0.0, 0.0])
    assert np.flatnonzero(alerted(scores, 0.3)).tolist() == [0, 1, 2]


def test_there_is_at_least_one_alert() -> None:
    assert alerted(np.array([0.2, 0.4]), 0.01).tolist() == [False, True]
    assert alerted(np.array([]), 0.01).tolist() == []


def test_recall_is_the_share_of_frauds_alerted() -> None:
    fraud = np.array([True, True, True, False])
    assert recall(fraud, np.array([True, False, False, True])) == pytest.approx(1.0 / 3.0)


def test_thresholds_worked_out_by_hand() -> None:
    scores = np.array([0.95, 0.90, 0.80, 0.70, 0.60, 0.50, 0.40, 0.30, 0.20, 0.10])
    fraud = np.array([1, 1, 1, 0, 1, 0, 0, 0, 0, 0]) == 1
    # Half of ten payments are alerted: down to 0.60. Precision is 1 down to 0.80, 3/4 at 0.70 and 4/5 at 0.60.
    chosen = choose_thresholds(fraud, scores, alert_rate=0.5, decline_precision=0.9)
    assert (chosen.review, chosen.decline) == (0.60, 0.80)
    lenient = choose_thresholds(fraud, scores, alert_rate=0.5, decline_precision=0.8)
    assert (lenient.review, lenient.decline) == (0.60, 0.60)


def test_decline_never_comes_before_review() -> None:
    # Everything is fraud, so any score would be sure enough to decline.
    chosen = choose_thresholds(
        np.ones(4, np.bool_), np.array([0.9, 0.8, 0.7, 0.6]), alert_rate=0.25, decline_precision=0.9
    )
    assert (chosen.review, chosen.decline) == (0.9, 0.9)


def test_nothing_is_declined_where_no_score_is_sure_enough() -> None:
    chosen = choose_thresholds(
        np.zeros(4, np.bool_), np.array([0.9, 0.8, 0.7, 0.6]), alert_rate=0.5, decline_precision=0.9
    )
    assert (chosen.review, chosen.decline) == (0.8, 1.0)
