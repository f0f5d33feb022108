"""Two bundles side by side: every difference is named, and every figure is one that can be worked out by hand."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

import quickthorn as qt
from quickthorn.errors import BundleError, EventError
from quickthorn.lifecycle import compare, population_stability

from .conftest import Versions


def test_what_is_in_the_files_is_compared_line_by_line(versions: Versions) -> None:
    found = compare(versions.champion, versions.challenger, allow_unsigned=True)
    assert (found.old_version, found.new_version) == (1, 2)
    assert found.schema == ()
    assert found.features == ("+ mean",)
    assert [line for line in found.policy if "review = 0" in line] == ["− review = 0.3", "+ review = 0.2"]
    assert (found.events, found.scores, found.swaps) == (0, None, {})
    assert found.old_size_bytes == versions.champion.stat().st_size


def test_what_both_decide_is_what_single_decisions_say(versions: Versions) -> None:
    found = compare(versions.champion, versions.challenger, versions.payments, label="fraud", allow_unsigned=True)
    events = versions.payments.drop_columns(["fraud"]).to_pylist()
    decided = []
    for path in (versions.champion, versions.challenger):
        engine = qt.Engine.load(path, allow_unsigned=True)
        decided.append([engine.decide(event) for event in events])
    swaps = Counter(
        f"{old.outcome} → {new.outcome}" for old, new in zip(*decided, strict=True) if old.outcome != new.outcome
    )
    assert sum(swaps.values()) > 10
    assert found.swaps == dict(swaps)
    assert found.swap_share == sum(swaps.values()) / 600
    scores = [np.array([decision.score for decision in side]) for side in decided]
    assert found.scores is not None
    assert found.scores.old_mean == pytest.approx(scores[0].mean(), rel=1e-12)
    assert found.scores.largest == np.abs(scores[1] - scores[0]).max()
    assert found.scores.psi == population_stability(*scores)
    fraud = versions.payments["fraud"].to_numpy()
    for side, average_precision in zip(
        decided, (found.old_average_precision, found.new_average_precision), strict=True
    ):
        assert average_precision == average_precision_score(fraud, [decision.margin for decision in side])


def test_a_bundle_differs_from_itself_in_nothing(versions: Versions) -> None:
    found = compare(versions.champion, versions.champion, versions.payments, label="fraud", allow_unsigned=True)
    assert (found.schema, found.features, found.policy, found.swaps) == ((), (), (), {})
    assert found.scores is not None
    assert (found.scores.largest, found.scores.psi) == (0.0, 0.0)
    assert found.old_average_precision == found.new_average_precision


def test_population_stability_is_the_published_sum() -> None:
    # Ten equal bins of the old sample; the new one has moved a tenth of its weight from the first bin to the last.
    old = np.arange(1_000.0)
    new = np.concatenate([old[100:], old[900:]])
    expected = (1e-4 - 0.1) * np.log(1e-4 / 0.1) + (0.2 - 0.1) * np.log(0.2 / 0.1)
    assert population_stability(old, new) == pytest.approx(expected, rel=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=50), st.lists(st.floats(0, 1), min_size=1, max_size=50))
def test_population_stability_is_never_negative(old: list[float], new: list[float]) -> None:
    assert population_stability(np.array(old), np.array(old)) == 0.0
    assert population_stability(np.array(old), np.array(new)) >= 0.0


def test_nothing_to_compare_is_not_a_number() -> None:
    nothing, something = np.array([np.nan]), np.array([0.5])
    assert np.isnan(population_stability(nothing, something))
    assert np.isnan(population_stability(something, nothing))


def test_wrong_files_and_labels_are_refused(versions: Versions) -> None:
    with pytest.raises(BundleError, match="expected a readable bundle file"):
        compare(versions.champion, "none.qt", allow_unsigned=True)
    with pytest.raises(EventError, match="expected a column 'chargeback' with labels, found event_id, at"):
        compare(versions.champion, versions.challenger, versions.payments, label="chargeback", allow_unsigned=True)
