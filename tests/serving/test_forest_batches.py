"""Many rows through a forest: arrays of any strides, Arrow data, and what is neither."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow
import pytest

import quickthorn as qt
from quickthorn.errors import RowError

Rows = npt.NDArray[np.float64]
NAMES = ["a", "b", "c", "d"]


def table_of(rows: Rows, names: list[str] = NAMES) -> pyarrow.Table:
    return pyarrow.table(
        {name: pyarrow.array(column, mask=np.isnan(column)) for name, column in zip(names, rows.T, strict=True)}
    )


def test_arrays_of_any_strides_give_what_single_rows_give(
    forest: qt.Forest, classes: qt.Forest, feature_rows: Rows
) -> None:
    wide = np.full((2 * len(feature_rows), 9), 1e9)
    wide[::2, 1::2] = feature_rows
    forms = (
        feature_rows,
        np.asfortranarray(feature_rows),
        wide[::2, 1::2],
        feature_rows[::-1].copy()[::-1],
        feature_rows.astype(np.float32),
        np.asfortranarray(feature_rows.astype(np.float32)),
    )
    for rows in forms:
        scores, margins = forest.score_batch(rows), forest.margin_batch(rows)
        assert scores.shape == margins.shape == (len(rows),)
        singles = np.ascontiguousarray(rows)
        assert scores.tolist() == [forest.score(row) for row in singles]
        assert margins.tolist() == [forest.margin(row) for row in singles]
        assert classes.score_batch(rows).tolist() == [classes.scores(row).tolist() for row in singles]
        assert classes.margin_batch(rows).shape == (len(rows), 3)


def test_no_rows_give_no_results(forest: qt.Forest, classes: qt.Forest) -> None:
    assert forest.score_batch(np.empty((0, 4))).shape == (0,)
    assert classes.score_batch(np.empty((0, 4), np.float32)).shape == (0, 3)
    assert classes.margin_batch(table_of(np.empty((0, 4)))).shape == (0, 3)


def test_results_are_written_to_out(forest: qt.Forest, classes: qt.Forest, feature_rows: Rows) -> None:
    out = np.empty(len(feature_rows))
    assert forest.score_batch(feature_rows, out=out) is out
    assert np.array_equal(out, forest.score_batch(feature_rows))
    assert forest.margin_batch(table_of(feature_rows), out=out) is out
    assert np.array_equal(out, forest.margin_batch(feature_rows))
    several = np.empty((len(feature_rows), 3))
    assert classes.score_batch(feature_rows, out=several) is several
    with pytest.raises(RowError, match=rf"out: expected .* of shape \[{len(out)}, 3\], found float64 \[{len(out)}\]"):
        classes.score_batch(feature_rows, out=out)
    with pytest.raises(RowError, match="out: expected"):
        forest.score_batch(table_of(feature_rows), out=out[1:])


WRONG = {
    "None": (None, "None"),
    "list": ([[0.0] * 4], r"\(list\)"),
    "vector": (np.zeros(4), r"float64 \[4\]"),
    "narrow": (np.zeros((2, 3)), r"float64 \[2, 3\]"),
    "cube": (np.zeros((2, 4, 1)), r"float64 \[2, 4, 1\]"),
    "integers": (np.zeros((2, 4), int), r"int64 \[2, 4\]"),
    "swapped": (np.zeros((2, 4), ">f4"), r">f4 \[2, 4\]"),
    "masked": (np.ma.masked_array(np.zeros((2, 4)), True), "masked_array"),
    "split": (np.zeros((2, 4), [("x", "f8"), ("y", "i4")])["x"], "not aligned"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_no_batch_is_refused_in_one_sentence(forest: qt.Forest, what: str) -> None:
    wrong, found = WRONG[what]
    with pytest.raises(RowError, match=rf"rows: expected a float32 or float64 array of \[n, 4\] .*found .*{found}"):
        forest.score_batch(wrong)


def test_arrow_data_is_read_by_name(forest: qt.Forest, feature_rows: Rows) -> None:
    wanted = forest.score_batch(feature_rows)
    table = table_of(feature_rows)
    shuffled = table.select(["d", "b", "a", "c"]).append_column("other", pyarrow.array(["x"] * len(feature_rows)))
    sliced = pyarrow.concat_tables([table.slice(7), table.slice(0, 7)])
    assert np.array_equal(forest.score_batch(table), wanted)
    assert np.array_equal(forest.score_batch(shuffled), wanted)
    assert np.array_equal(forest.score_batch(sliced), np.roll(wanted, -7))
    assert np.array_equal(forest.score_batch(table.to_batches()[0]), wanted)
    reader = pyarrow.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=10))
    assert np.array_equal(forest.score_batch(reader), wanted)
    assert np.array_equal(forest.score_batch(table.to_struct_array().combine_chunks()), wanted)


def test_arrow_data_is_read_by_place_where_the_model_has_no_names(nameless: qt.Forest, feature_rows: Rows) -> None:
    rows = feature_rows[:, :3]
    assert np.array_equal(nameless.score_batch(table_of(rows, ["x", "y", "z"])), nameless.score_batch(rows))
    with pytest.raises(RowError, match="rows: expected 3 columns, as the model has no feature names, found 4"):
        nameless.score_batch(table_of(feature_rows))


@pytest.mark.parametrize(
    "kind", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64", "bool"]
)
@pytest.mark.parametrize("encoded", [False, True], ids=["plain", "dictionary"])
def test_columns_of_every_number_are_read(forest: qt.Forest, kind: str, encoded: bool) -> None:
    numbers = [0, 1, None, 1, 0] if kind == "bool" else [0, 3, None, 100, 1]
    column = pyarrow.array(numbers, pyarrow.float64()).cast(kind if kind != "float16" else "float32")
    column = column.dictionary_encode() if encoded else column
    nulls = pyarrow.nulls(5)
    table = pyarrow.table({"a": column, "b": column, "c": nulls, "d": column})
    rows = np.array([[np.nan if value is None else value] * 4 for value in numbers], np.float64)
    rows[:, 2] = np.nan
    assert np.array_equal(forest.score_batch(table), forest.score_batch(rows))


def test_the_largest_unsigned_numbers_are_not_negative(forest: qt.Forest) -> None:
    column = pyarrow.array([2**64 - 1], pyarrow.uint64())
    table = pyarrow.table(dict.fromkeys(NAMES, column))
    assert forest.margin_batch(table).tolist() == forest.margin_batch(np.full((1, 4), 2.0**64)).tolist()


def test_arrow_data_that_does_not_fit_is_refused(forest: qt.Forest, feature_rows: Rows) -> None:
    table = table_of(feature_rows)
    with pytest.raises(RowError, match=r"rows: 'c': expected one column of that name, found none"):
        forest.score_batch(table.drop_columns(["c"]))
    twice = pyarrow.Table.from_arrays([*table.columns, table.column(0)], names=[*NAMES, "b"])
    with pytest.raises(RowError, match=r"rows: 'b': expected one column of that name, found two"):
        forest.score_batch(twice)
    for wrong in (["x"] * 64, [b"x"] * 64, [[1.0]] * 64):
        changed = table.set_column(1, "b", pyarrow.array(wrong))
        with pytest.raises(RowError, match=r"rows: 'b': expected a column of numbers, found an Arrow column of format"):
            forest.score_batch(changed)
    with pytest.raises(RowError, match="rows: expected an Arrow table or record batch, found data without columns"):
        forest.score_batch(pyarrow.array([1.0]))


def test_an_arrow_stream_that_fails_is_an_error(forest: qt.Forest, feature_rows: Rows) -> None:
    table = table_of(feature_rows)

    def batches() -> Any:
        yield table.to_batches()[0]
        raise OSError("the disk is gone")

    reader = pyarrow.RecordBatchReader.from_batches(table.schema, batches())
    with pytest.raises(RowError, match=r"the stream failed: .*the disk is gone"):
        forest.score_batch(reader)
