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
from quickthorn.lifecycle import compare, population_stability, reason_stability

from .conftest import Versions


def test_what_is_in_the_files_is_compared_line_by_line(versions: Versions) -> None:
    found = compare(versions.champion, versions.challenger, allow_unsigned=True)
    assert (found.old_version, found.new_version) == (1, 2)
    assert found.schema == ()
    assert found.features == ("+ mean",)
    assert found.kept[:2] == ("− by customer: 1 value, back to 1 d", "+ by customer: 2 values, of amount, back to 7 d")
    assert [line[0] for line in found.forest] == ["−", "+"]
    assert "8 trees" in found.forest[0]
    assert "12 trees" in found.forest[1]
    assert found.reason_map == (
        "− R1: the amount is unusual (amount)",
        "+ R1: the amount is unusual (amount, mean)",
    )
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


def test_features_of_one_name_and_reasons_are_what_single_events_say(versions: Versions) -> None:
    found = compare(versions.champion, versions.challenger, versions.payments, label="fraud", allow_unsigned=True)
    sides = []
    for path in (versions.champion, versions.challenger):
        engine = qt.Engine.load(path, allow_unsigned=True)
        events = versions.payments.drop_columns(["fraud"]).to_pylist()
        sides.append([(engine.features(event), engine.decide(event).reasons) for event in events])
    pairs = list(zip(*sides, strict=True))
    moved = sum(old["count"] != new["count"] for (old, _), (new, _) in pairs)
    assert moved > 100
    assert found.features_moved == {"count": moved / 600}

    given = [([one.code for one in old], [one.code for one in new]) for (_, old), (_, new) in pairs]
    both = [(old, new) for old, new in given if old and new]
    assert found.reasons is not None
    assert found.reasons.events == len(both)
    assert found.reasons.old_only == sum(bool(old) and not new for old, new in given)
    assert found.reasons.new_only == sum(bool(new) and not old for old, new in given)
    assert found.reasons.new_only > 10
    assert 0 < found.reasons.first_same_share < 1
    assert found.reasons.first_same_share == sum(old[0] == new[0] for old, new in both) / len(both)
    overlaps = [len({*old} & {*new}) / len({*old} | {*new}) for old, new in both]
    assert found.reasons.mean_overlap == pytest.approx(sum(overlaps) / len(both), rel=1e-12)
    shares = {
        code: tuple(sum(code in side[place] for side in both) / len(both) for place in (0, 1)) for code in ("R1", "R2")
    }
    assert found.reasons.shifts == {code: pair for code, pair in shares.items() if pair[0] != pair[1]}


def test_reasons_are_compared_by_their_codes_and_not_by_their_places() -> None:
    old = np.array([[0, 1], [1, -1], [-1, -1], [0, -1]], dtype=np.int16)
    new = np.array([[1, 0, 2], [0, -1, -1], [0, -1, -1], [-1, -1, -1]], dtype=np.int16)
    found = reason_stability(old, new, ("A", "B"), ("B", "A", "C"))
    # Of the two events with reasons from both, {A, B} met {A, B, C} and {B} met {B}, the first always the same.
    assert (found.events, found.old_only, found.new_only) == (2, 1, 1)
    assert (found.first_same_share, found.mean_overlap) == (1.0, (2 / 3 + 1) / 2)
    assert found.shifts == {"C": (0.0, 0.5)}
    nothing = reason_stability(old[2:], new[2:], ("A", "B"), ("B", "A", "C"))
    assert nothing.events == 0
    assert np.isnan(nothing.first_same_share)


def test_a_bundle_differs_from_itself_in_nothing(versions: Versions) -> None:
    found = compare(versions.champion, versions.champion, versions.payments, label="fraud", allow_unsigned=True)
    assert (found.schema, found.features, found.policy, found.swaps) == ((), (), (), {})
    assert found.scores is not None
    assert (found.scores.largest, found.scores.psi) == (0.0, 0.0)
    assert found.old_average_precision == found.new_average_precision
    assert (found.kept, found.forest, found.reason_map, found.features_moved) == ((), (), (), {})
    assert found.reasons is not None
    assert (found.reasons.first_same_share, found.reasons.mean_overlap, found.reasons.shifts) == (1.0, 1.0, {})


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
