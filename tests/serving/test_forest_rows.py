"""One row through a forest: every form a row may have, and every form it may not."""

from __future__ import annotations

import array
import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import xgboost

import quickthorn as qt
from quickthorn.errors import RowError

Rows = npt.NDArray[np.float64]
FEATURES = 4


def test_every_form_of_a_row_gives_the_source_librarys_score(
    forest: qt.Forest, feature_rows: Rows, booster: xgboost.Booster
) -> None:
    wanted = booster.inplace_predict(feature_rows)
    margins = booster.inplace_predict(feature_rows, predict_type="margin")
    filled = forest.row()
    for row, score, margin in zip(feature_rows, wanted, margins, strict=True):
        filled.values[...] = row
        single = row.astype(np.float32)
        for form in (row, single, filled, memoryview(row), memoryview(single), array.array("d", row)):
            assert forest.margin(form) == margin
            assert forest.score(form) == pytest.approx(score, rel=4e-6)
            assert forest.scores(form).tolist() == [forest.score(form)]
            assert forest.margins(form).tolist() == [margin]
        assert np.array_equal(forest.leaves(single), forest.leaves(filled))


def test_leaves_are_those_of_the_source_library(
    forest: qt.Forest, feature_rows: Rows, booster: xgboost.Booster
) -> None:
    wanted = booster.predict(xgboost.DMatrix(feature_rows, feature_names=list("abcd")), pred_leaf=True)
    leaves = forest.leaves(feature_rows[3])
    assert leaves.dtype == np.int32
    assert leaves.tolist() == wanted[3].tolist()


def test_a_read_only_row_is_read(forest: qt.Forest, feature_rows: Rows) -> None:
    row = feature_rows[0].copy()
    row.flags.writeable = False
    assert forest.score(row) == forest.score(feature_rows[0]) == forest.score(memoryview(row.tobytes()).cast("d"))


UNALIGNED = np.frombuffer(memoryview(bytes(8 * FEATURES + 1))[1:], np.float64)
WRONG_ROWS = {
    "None": (None, "None"),
    "list": ([0.0] * FEATURES, r"\[0.0, 0.0, 0.0, 0.0\] \(list\)"),
    "text": ("abcd", r"'abcd' \(str\)"),
    "bytes": (bytes(32), 'values of format "B"'),
    "number": (1.0, r"1.0 \(float\)"),
    "short": (np.zeros(FEATURES - 1), r"values of shape \[3\]"),
    "long": (np.zeros(FEATURES + 1, np.float32), r"values of shape \[5\]"),
    "matrix": (np.zeros((1, FEATURES)), r"values of shape \[1, 4\]"),
    "scalar": (np.array(1.0), r"values of shape \[\]"),
    "integers": (np.zeros(FEATURES, np.int64), 'values of format "l"'),
    "halves": (np.zeros(FEATURES, np.float16), 'values of format "e"'),
    "swapped": (np.zeros(FEATURES, ">f8"), 'values of format ">d"'),
    "objects": (np.zeros(FEATURES, object), 'values of format "O"'),
    "strided": (np.zeros(2 * FEATURES)[::2], "gaps between its values"),
    "reversed": (np.zeros(FEATURES)[::-1], "gaps between its values"),
    "masked": (np.ma.masked_array(np.zeros(FEATURES), [True] * FEATURES), "an array with a mask"),
    "unaligned": (UNALIGNED, "values that are not aligned in memory"),
}


@pytest.mark.parametrize("what", WRONG_ROWS)
def test_what_is_no_row_is_refused_in_one_sentence(forest: qt.Forest, what: str) -> None:
    wrong, found = WRONG_ROWS[what]
    message = f"^row: expected a contiguous vector of 4 float32 or float64 values, found .*{found}"
    for call in (forest.score, forest.margin, forest.scores, forest.margins, forest.leaves):
        with pytest.raises(RowError, match=message):
            call(wrong)  # type: ignore[operator]


def test_a_row_made_for_another_forest_is_refused(forest: qt.Forest, classes: qt.Forest) -> None:
    with pytest.raises(RowError, match="found a row made for another forest"):
        forest.score(classes.row())


def test_calls_with_too_few_or_unknown_arguments_are_type_errors(forest: qt.Forest) -> None:
    row: Any = forest.row()
    call: Any
    for call in (forest.score, forest.margin, forest.leaves, forest.scores, forest.score_batch):
        with pytest.raises(TypeError, match="argument"):
            call()
        with pytest.raises(TypeError, match="argument"):
            call(row, row)
    for call in (forest.scores, forest.margins, forest.score_batch, forest.margin_batch):
        with pytest.raises(TypeError, match="unexpected keyword argument 'into'"):
            call(row, into=None)


def test_a_new_row_is_missing_throughout(forest: qt.Forest) -> None:
    row = forest.row()
    assert len(row) == FEATURES
    assert np.isnan(row.values).all()
    assert forest.score(row) == forest.score(np.full(FEATURES, np.nan))
    assert repr(row) == "Row(4 features)"


def test_a_row_is_filled_by_name_by_place_and_as_an_array(forest: qt.Forest) -> None:
    row = forest.row()
    row["b"], row[2], row["a"], row["d"] = 2, np.float32(0.5), True, None
    assert row.values.tolist()[:3] == [1.0, 2.0, 0.5]
    assert (row["b"], row[2]) == (2.0, 0.5)
    assert np.isnan(row["d"])
    row.values[3] = 7.0
    assert row["d"] == 7.0
    assert np.asarray(row).tolist() == [1.0, 2.0, 0.5, 7.0]
    del row["d"]
    assert np.isnan(row["d"])
    row.clear()
    assert np.isnan(row.values).all()


def test_wrong_keys_and_values_of_a_row_are_refused(forest: qt.Forest, nameless: qt.Forest) -> None:
    row: Any = forest.row()
    for key in ("e", 4, -1, 1.5, None, 2**70):
        with pytest.raises(RowError, match=r"^row: expected a feature"):
            row[key] = 1.0
        with pytest.raises(RowError, match=r"^row: expected a feature"):
            row[key]
    for value in ("1.0", [1.0], object()):
        with pytest.raises(RowError, match=r"^row: 'b': expected a number or None, found "):
            row["b"] = value
    with pytest.raises(RowError, match=r"row: expected a place, 0 to 2, as the model has no feature names, found 'a'"):
        nameless.row()["a"] = 1.0
    with pytest.raises(RowError, match=r"^row: feature 1: expected a number"):
        nameless.row()[1] = "x"


def test_a_rows_array_outlives_row_and_forest(forest: qt.Forest) -> None:
    row = forest.row()
    row["a"] = 5.0
    values = row.values
    assert values.ctypes.data % 64 == 0
    del row
    gc.collect()
    assert values[0] == 5.0


def test_a_forest_is_freed(forest_file: Any) -> None:
    loaded = qt.Forest.load(forest_file)
    row = loaded.row()
    gone = weakref.ref(loaded)
    del loaded
    gc.collect()
    assert gone() is not None, "its row needs it"
    del row
    gc.collect()
    assert gone() is None


def test_several_outputs_come_as_an_array(classes: qt.Forest, feature_rows: Rows, classifier: Any) -> None:
    wanted = classifier.predict(feature_rows)
    margins = classifier.predict(feature_rows, raw_score=True)
    out = np.empty(3)
    for row, score, margin in zip(feature_rows, wanted, margins, strict=True):
        assert classes.margins(row).tolist() == margin.tolist()
        assert classes.scores(row) == pytest.approx(score, rel=1e-12)
        assert classes.scores(row, out=out) is out
        assert out.tolist() == classes.scores(row).tolist()
        assert classes.margins(row, out=out) is out
    for method in ("score", "margin"):
        with pytest.raises(
            RowError, match=rf"forest.{method}: expected a forest of one output, found one of 3; forest.{method}s gives"
        ):
            getattr(classes, method)(feature_rows[0])


WRONG_OUTS = {
    "list": [0.0] * 3,
    "narrow": np.empty(3, np.float32),
    "short": np.empty(2),
    "matrix": np.empty((1, 3)),
    "strided": np.empty(6)[::2],
    "read-only": np.frombuffer(bytes(24)),
}


@pytest.mark.parametrize("what", WRONG_OUTS)
def test_an_out_that_cannot_take_the_results_is_refused(classes: qt.Forest, feature_rows: Rows, what: str) -> None:
    wrong: Any = WRONG_OUTS[what]
    with pytest.raises(RowError, match=r"^out: expected a writeable, contiguous float64 array of shape \[3\], found "):
        classes.scores(feature_rows[0], out=wrong)


def test_threads_get_each_their_own_answer(forest: qt.Forest, classes: qt.Forest, feature_rows: Rows) -> None:
    wanted = [forest.score(row) for row in feature_rows]
    several = classes.score_batch(feature_rows)

    def scored(start: int) -> bool:
        row = forest.row()
        for place in np.roll(np.arange(len(feature_rows)), start):
            row.values[...] = feature_rows[place]
            if forest.score(row) != wanted[place] or forest.score(feature_rows[place]) != wanted[place]:
                return False
        return np.array_equal(classes.score_batch(feature_rows), several)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(scored, range(0, 64)))
