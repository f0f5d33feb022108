"""Categories by value: what a data frame's categories score to in the source library is what they score to here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
import xgboost
from sklearn.ensemble import HistGradientBoostingClassifier

import quickthorn as qt
from quickthorn.errors import ModelError, RowError

pandas = pytest.importorskip("pandas")
lightgbm = pytest.importorskip("lightgbm")

COLOURS, SIZES = ["red", "green", "blue", "grey"], [35, 10, 20]


@pytest.fixture(scope="module")
def frame() -> Any:
    random = np.random.default_rng(3)
    return pandas.DataFrame(
        {
            "x": random.normal(size=400),
            "colour": pandas.Categorical(random.choice(COLOURS, 400), categories=COLOURS),
            "size": pandas.Categorical(random.choice(SIZES, 400), categories=SIZES),
        }
    )


@pytest.fixture(scope="module")
def labels(frame: Any) -> Any:
    return ((frame["colour"] == "red") ^ (frame["size"] == 20) ^ (frame["x"] > 1)).astype(int)


@pytest.fixture(scope="module")
def xgb(frame: Any, labels: Any) -> Any:
    data = xgboost.DMatrix(frame, label=labels, enable_categorical=True)
    return xgboost.train({"objective": "binary:logistic", "max_depth": 4, "nthread": 1}, data, num_boost_round=6)


@pytest.fixture(scope="module")
def lgb(frame: Any, labels: Any) -> Any:
    quick = {"verbose": -1, "num_threads": 1, "min_data_in_leaf": 5, "min_data_per_group": 5, "cat_smooth": 1}
    return lightgbm.train({"objective": "binary", **quick}, lightgbm.Dataset(frame, label=labels), 6)


@pytest.fixture(scope="module")
def xgb_forest(xgb: Any, level: str) -> qt.Forest:
    return qt.compile_model(xgb, target=level)


@pytest.fixture(scope="module")
def lgb_forest(lgb: Any, level: str) -> qt.Forest:
    return qt.compile_model(lgb, target=level)


@pytest.fixture
def new(frame: Any) -> Any:
    """Rows whose categories are numbered otherwise than in training, one in ten missing."""
    random = np.random.default_rng(4)
    colours, sizes = random.choice(COLOURS, 60).astype(object), random.choice(SIZES, 60).astype(object)
    colours[random.random(60) < 0.1] = None
    sizes[random.random(60) < 0.1] = None
    return pandas.DataFrame(
        {
            "x": random.normal(size=60),
            "colour": pandas.Categorical(colours, categories=sorted(COLOURS)),
            "size": pandas.Categorical(sizes, categories=sorted(SIZES)),
        }
    )


def as_arrow(frame: Any, *, encoded: bool) -> pyarrow.Table:
    columns = {
        "x": pyarrow.array(frame["x"]),
        "colour": pyarrow.array(frame["colour"].astype(object).where(frame["colour"].notna(), None), pyarrow.string()),
        "size": pyarrow.array(
            [None if value != value or value is None else int(value) for value in frame["size"].astype(object)],
            pyarrow.int32(),
        ),
    }
    if encoded:
        columns |= {name: columns[name].dictionary_encode() for name in ("colour", "size")}
    return pyarrow.table(columns)


def scored_row_by_row(forest: qt.Forest, frame: Any) -> list[float]:
    row, scores = forest.row(), []
    for x, colour, size in frame.astype({"colour": object, "size": object}).itertuples(index=False):
        row["x"], row["colour"], row["size"] = x, None if colour != colour else colour, size
        scores.append(forest.score(row))
    return scores


@pytest.mark.parametrize("encoded", [False, True], ids=["text", "dictionary"])
def test_xgboosts_categories_by_value(xgb_forest: qt.Forest, xgb: Any, new: Any, encoded: bool) -> None:
    wanted = xgb.inplace_predict(new, predict_type="margin")
    assert xgb_forest.margin_batch(as_arrow(new, encoded=encoded)).tolist() == wanted.tolist()
    assert scored_row_by_row(xgb_forest, new) == pytest.approx(xgb.inplace_predict(new), rel=4e-6)


@pytest.mark.parametrize("encoded", [False, True], ids=["text", "dictionary"])
def test_lightgbms_categories_by_value(lgb_forest: qt.Forest, lgb: Any, new: Any, encoded: bool) -> None:
    wanted = lgb.predict(new, raw_score=True)
    assert lgb_forest.margin_batch(as_arrow(new, encoded=encoded)).tolist() == wanted.tolist()
    assert scored_row_by_row(lgb_forest, new) == pytest.approx(lgb.predict(new), rel=1e-12)


def test_pandas_frames_are_read_as_arrow_data(xgb_forest: qt.Forest, xgb: Any, new: Any) -> None:
    assert xgb_forest.margin_batch(new).tolist() == xgb.inplace_predict(new, predict_type="margin").tolist()


def test_lightgbm_takes_an_unknown_category_for_missing(lgb_forest: qt.Forest, lgb: Any, new: Any) -> None:
    strange = new.assign(colour=pandas.Categorical(["pink"] * 60), size=pandas.Categorical([7] * 60))
    wanted = lgb.predict(strange)
    assert lgb_forest.score_batch(as_arrow(strange, encoded=False)) == pytest.approx(wanted, rel=1e-12)
    assert lgb_forest.score_batch(as_arrow(strange, encoded=True)) == pytest.approx(wanted, rel=1e-12)
    assert scored_row_by_row(lgb_forest, strange) == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("encoded", [False, True], ids=["text", "dictionary"])
def test_xgboost_refuses_an_unknown_category(xgb_forest: qt.Forest, xgb: Any, new: Any, encoded: bool) -> None:
    unknown = new.assign(colour=pandas.Categorical(["zinc"] * 60))
    with pytest.raises(xgboost.core.XGBoostError, match="Found a category not in the training set"):
        xgb.inplace_predict(unknown)
    message = "'colour': expected a category that the model was trained on, found 'zinc'"
    with pytest.raises(RowError, match=f"^rows: {message}"):
        xgb_forest.score_batch(as_arrow(unknown, encoded=encoded))
    row = xgb_forest.row()
    with pytest.raises(RowError, match=f"^row: {message}"):
        row["colour"] = "zinc"
    with pytest.raises(RowError, match=r"^row: 'size': expected a category that the model was trained on, found 11"):
        row["size"] = 11
    assert np.isnan(row.values).all(), "a refused value changes nothing"


def test_an_unknown_category_that_no_row_uses_is_no_error(xgb_forest: qt.Forest, new: Any) -> None:
    table = as_arrow(new, encoded=False)
    texts = table["colour"].combine_chunks()
    levels = pyarrow.array([*COLOURS, "zinc"])
    codes = [None if text is None else COLOURS.index(text) for text in texts.to_pylist()]
    column = pyarrow.DictionaryArray.from_arrays(pyarrow.array(codes, pyarrow.int8()), levels)
    changed = table.set_column(1, "colour", column)
    assert np.array_equal(xgb_forest.score_batch(changed), xgb_forest.score_batch(table))


def test_arrays_hold_codes(xgb_forest: qt.Forest, xgb: Any, frame: Any) -> None:
    codes = np.column_stack([frame["x"], frame["colour"].cat.codes, frame["size"].cat.codes]).astype(np.float64)
    wanted = xgb.inplace_predict(frame, predict_type="margin")
    assert xgb_forest.margin_batch(codes).tolist() == wanted.tolist()
    row = xgb_forest.row()
    row.values[...] = codes[0]
    assert xgb_forest.margin(row) == wanted[0]


def test_wrong_values_for_a_categorical_feature_are_refused(xgb_forest: qt.Forest) -> None:
    row: Any = xgb_forest.row()
    with pytest.raises(RowError, match=r"'colour': expected a number, a category or None, found \['red'\]"):
        row["colour"] = ["red"]
    with pytest.raises(RowError, match=r"'x': expected a number or None, found 'red'"):
        row["x"] = "red"
    with pytest.raises(RowError, match=r"'size': expected a category that the model was trained on, found '35'"):
        row["size"] = "35"


def test_a_column_of_text_for_numbers_is_refused(xgb_forest: qt.Forest, new: Any) -> None:
    table = as_arrow(new, encoded=False)
    with pytest.raises(RowError, match=r"'size': expected a column of numbers, found an Arrow column of format"):
        xgb_forest.score_batch(table.set_column(2, "size", pyarrow.array(["35"] * 60)))
    with pytest.raises(RowError, match=r"'colour': expected a column of numbers or categories, found an Arrow column"):
        xgb_forest.score_batch(table.set_column(1, "colour", pyarrow.array([b"red"] * 60)))


def test_the_dictionary_is_in_the_file(xgb_forest: qt.Forest, new: Any, tmp_path: Path) -> None:
    xgb_forest.save(tmp_path / "a.qtf")
    loaded = qt.Forest.load(tmp_path / "a.qtf")
    assert loaded.manifest.categories == (None, tuple(COLOURS), tuple(SIZES))
    assert loaded.manifest.unknown_category == "refused"
    table = as_arrow(new, encoded=True)
    assert np.array_equal(loaded.score_batch(table), xgb_forest.score_batch(table))


def test_with_category_codes_rows_hold_codes_throughout(xgb: Any, level: str, frame: Any) -> None:
    forest = qt.compile_model(xgb, target=level, category_codes=True)
    row = forest.row()
    row["x"], row["colour"], row["size"] = 0.5, 2, 0
    assert row.values.tolist() == [0.5, 2.0, 0.0]
    with pytest.raises(RowError, match=r"'colour': expected a number or None, found 'red'"):
        row["colour"] = "red"


def test_lightgbms_categories_without_an_owner_are_refused(frame: Any, labels: Any, level: str) -> None:
    # An ordered column is trained on as numbers, yet its categories are listed.
    ordered = frame.assign(size=frame["size"].cat.as_ordered())
    parameters = {"objective": "binary", "verbose": -1, "num_threads": 1}
    model = lightgbm.train(parameters, lightgbm.Dataset(ordered, label=labels), 3)
    with pytest.raises(ModelError, match=r"categories of 2 columns .* and 1 categorical features.*category_codes=True"):
        qt.compile_model(model, target=level)


def test_text_beyond_ascii(frame: Any, labels: Any, level: str) -> None:
    named = frame[["x"]].assign(colour=frame["colour"].cat.rename_categories({"green": "grün"}))
    parameters = {"objective": "binary", "verbose": -1, "num_threads": 1, "min_data_per_group": 5, "cat_smooth": 1}
    model = lightgbm.train(parameters, lightgbm.Dataset(named, label=labels), 3)
    forest = qt.compile_model(model, target=level)
    wanted = model.predict(named, raw_score=True)
    colours = pyarrow.array(named["colour"].astype(object), pyarrow.string())
    table = pyarrow.table({"x": named["x"].to_numpy(), "colour": colours})
    assert forest.margin_batch(table).tolist() == wanted.tolist()
    # XGBoost cuts such text in the wrong place, so that its own predictions by value are wrong.
    cut = xgboost.train({"nthread": 1}, xgboost.DMatrix(named, label=labels, enable_categorical=True), 2)
    with pytest.raises(ModelError, match=r"feature 'colour' was trained on the category 'grü'; expected ASCII"):
        qt.compile_model(cut, target=level)


@pytest.fixture(scope="module")
def cat(frame: Any, labels: Any) -> Any:
    catboost = pytest.importorskip("catboost")
    options = {"verbose": 0, "thread_count": 1, "allow_writing_files": False, "one_hot_max_size": 9}
    estimator = catboost.CatBoostClassifier(iterations=9, depth=4, cat_features=["colour", "size"], **options)
    return estimator.fit(as_text(frame), labels)


def as_text(frame: Any) -> Any:
    """Missing colours are written as CatBoost writes a number that is missing, and missing sizes as none there is."""
    colours = frame["colour"].astype(object).where(frame["colour"].notna(), "nan")
    return frame.assign(colour=colours, size=frame["size"].astype(object).where(frame["size"].notna(), 0).astype(int))


@pytest.fixture(scope="module")
def cat_forest(cat: Any) -> qt.Forest:
    # For every level: a row of few features behind which its codes stand is a case of its own to each.
    return qt.compile_model(cat, categories={"colour": [*COLOURS, "white"]})


@pytest.mark.parametrize("encoded", [False, True], ids=["text", "dictionary"])
def test_catboosts_categories_by_value(cat_forest: qt.Forest, cat: Any, new: Any, encoded: bool) -> None:
    wanted = cat.predict(as_text(new), prediction_type="RawFormulaVal")
    assert cat_forest.margin_batch(as_arrow(new, encoded=encoded)).tolist() == wanted.tolist()
    assert scored_row_by_row(cat_forest, new) == pytest.approx(cat.predict_proba(as_text(new))[:, 1], rel=1e-12)


@pytest.mark.parametrize("encoded", [False, True], ids=["text", "dictionary"])
def test_an_unknown_category_is_another_than_all_that_catboost_asks_for(
    cat_forest: qt.Forest, cat: Any, new: Any, encoded: bool
) -> None:
    assert cat_forest.manifest.unknown_category == "unmatched"
    unknown = as_text(new).assign(colour="zinc")
    wanted = cat.predict(unknown, prediction_type="RawFormulaVal")
    table = pyarrow.table({name: pyarrow.array(unknown[name]) for name in unknown})
    if encoded:
        table = table.set_column(1, "colour", table["colour"].combine_chunks().dictionary_encode())
    assert cat_forest.margin_batch(table).tolist() == wanted.tolist()
    row = cat_forest.row()
    row["x"], row["colour"], row["size"] = unknown.iloc[0]
    assert cat_forest.margin(row) == wanted[0]
    row["colour"] = 3.5
    assert cat_forest.margin(row) == wanted[0]


@pytest.mark.parametrize(
    ("categories", "reason"),
    [
        ({"colour": COLOURS, "color": COLOURS}, r"categories\['color'\]: expected a feature that a CatBoost model was"),
        ({"colour": COLOURS, "x": ["a"]}, r"categories\['x'\]: .*found only 'colour'"),
        ({"colour": COLOURS[:1]}, "'colour' was trained on text, of which the model keeps hashes alone"),
        ({"colour": "red"}, r"categories\['colour'\]: expected a sequence of texts, found 'red'"),
        ({"colour": [1, 2]}, r"categories\['colour'\]: expected a sequence of texts, found \[1, 2\]"),
        (["colour"], r"categories: expected sequences of texts by feature, found \['colour'\]"),
    ],
    ids=str,
)
def test_categories_that_are_given_for_nothing_are_refused(cat: Any, categories: Any, reason: str) -> None:
    with pytest.raises(ModelError, match=reason):
        qt.compile_model(cat, categories=categories)


def test_only_catboost_has_to_be_told_its_categories(xgb: Any) -> None:
    with pytest.raises(
        ModelError, match=r"categories\['colour'\]: expected a feature that a CatBoost model .*found none"
    ):
        qt.compile_model(xgb, categories={"colour": COLOURS})


def test_scikit_learns_text_by_value(frame: Any, labels: Any, new: Any, level: str) -> None:
    estimator = HistGradientBoostingClassifier(max_iter=4, categorical_features="from_dtype").fit(frame, labels)
    forest = qt.compile_model(estimator, target=level)
    new = new.assign(colour=new["colour"].cat.add_categories("zinc"))
    new.loc[:9, "colour"] = "zinc"
    assert forest.margin_batch(as_arrow(new, encoded=True)).tolist() == estimator.decision_function(new).tolist()
    assert scored_row_by_row(forest, new) == pytest.approx(estimator.predict_proba(new)[:, 1], rel=1e-12)
