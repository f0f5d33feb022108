"""`quickthorn verify --model --data`: a bundle held to its source library on the rows of a file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet
import pytest
import xgboost
from tests.lifecycle.conftest import Versions, train, versions
from tests.plain_bundle import write_plain_bundle

import quickthorn as qt
from quickthorn.cli import main
from quickthorn.errors import RowError
from quickthorn.lifecycle.feature_vectors import vectors_of

__all__ = ["versions"]

ROWS = 300


@pytest.fixture(scope="module")
def desk(versions: Versions, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The challenger's model, and its features and events in files."""
    folder = tmp_path_factory.mktemp("parity")
    versions.models[1].save_model(folder / "model.ubj")
    random = np.random.default_rng(8)
    amounts = np.where(random.random(ROWS) < 0.1, np.nan, random.exponential(100, ROWS))
    table = pa.table(
        {
            "mean": random.exponential(100, ROWS),
            "count": random.integers(0, 30, ROWS),
            "amount": pa.array(amounts, from_pandas=True),
            "comment": ["x"] * ROWS,
        }
    )
    pa.parquet.write_table(table, folder / "vectors.parquet")
    pa.csv.write_csv(table, folder / "vectors.csv")
    pa.feather.write_feather(table, folder / "vectors.arrow")
    events = versions.payments.drop_columns(["fraud"])
    broken = pa.array([None, *events["customer"].to_pylist()[1:]])
    pa.parquet.write_table(events.set_column(2, "customer", broken), folder / "events.parquet")
    return folder


def verify(versions: Versions, model: Path, data: Path, *more: str) -> int:
    return main(
        ["verify", str(versions.challenger), "--allow-unsigned", "--model", str(model), "--data", str(data), *more]
    )


@pytest.mark.parametrize("name", ["vectors.parquet", "vectors.csv", "vectors.arrow", "events.parquet"])
def test_every_row_agrees_with_the_model(
    versions: Versions, desk: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert verify(versions, desk / "model.ubj", desk / name, "--json") == 0
    found = json.loads(capsys.readouterr().out)["parity"]
    kind, rows, left_out = ("events", 599, 1) if name.startswith("events") else ("vectors", ROWS, 0)
    assert (found["data"], found["rows"], found["left_out"]) == (kind, rows, left_out)
    assert (found["holds"], found["first"], found["leaves_differing"], found["margins_differing"]) == (True, None, 0, 0)
    assert found["largest_margin_difference"] == 0.0
    assert found["contributions_compared"] == rows
    assert 0 < found["largest_contribution_difference"] < 1e-5


def test_a_model_with_one_other_leaf_value_is_found_out(
    versions: Versions, desk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = json.loads(bytes(versions.models[1].save_raw("json")))
    tree = document["learner"]["gradient_booster"]["model"]["trees"][3]
    (tmp_path / "same.json").write_text(json.dumps(document))
    leaf = tree["left_children"].index(-1)
    tree["split_conditions"][leaf] += 0.5
    (tmp_path / "other.json").write_text(json.dumps(document))
    assert verify(versions, tmp_path / "same.json", desk / "vectors.parquet") == 0
    assert "margins, to the bit: 0 rows differ, by 0 at most" in capsys.readouterr().out

    own, other = (xgboost.Booster(model_file=tmp_path / f"{name}.json") for name in ("same", "other"))
    table = pa.parquet.read_table(desk / "vectors.parquet").select(["amount", "count", "mean"])
    rows = xgboost.DMatrix(table.to_pandas())
    margins = [booster.predict(rows, output_margin=True).astype(float) for booster in (own, other)]
    differ = margins[0] != margins[1]
    assert 0 < differ.sum() < ROWS
    assert verify(versions, tmp_path / "other.json", desk / "vectors.parquet", "--json") == 1
    answer = json.loads(capsys.readouterr().out)
    found = answer["parity"]
    assert (answer["holds"], found["holds"], found["leaves_differing"]) == (False, False, 0)
    assert found["margins_differing"] == differ.sum()
    assert found["largest_margin_difference"] == np.abs(margins[0] - margins[1]).max()
    assert verify(versions, tmp_path / "other.json", desk / "vectors.parquet") == 1
    assert "NOT EQUAL, first in row " in capsys.readouterr().out


def test_a_row_is_counted_as_the_file_counts_it(
    versions: Versions, desk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(("amount", "count", "mean"), 12, seed=9).save_model(tmp_path / "other.ubj")
    assert verify(versions, tmp_path / "other.ubj", desk / "events.parquet", "--json") == 1
    found = json.loads(capsys.readouterr().out)["parity"]
    # Row 0 is no event that fits, and every other row differs.
    assert found["first"]["row"] == 1
    assert found["contributions_differing"] == 599


def test_text_in_a_category_is_its_place_among_the_values(versions: Versions) -> None:
    engine = qt.Engine.load(versions.champion, allow_unsigned=True)
    table = pa.table({"amount": [1, None, 3], "count": pa.array(["b", "z", None]).dictionary_encode()})
    vectors, rows, kind = vectors_of(table, engine, {1: ("a", "b")}, "here")
    assert (rows.tolist(), kind) == ([0, 1, 2], "vectors")
    np.testing.assert_array_equal(vectors, [[1.0, 1.0], [np.nan, -1.0], [3.0, np.nan]])
    with pytest.raises(
        RowError, match=r"here: column 'count': expected numbers, or text where .* found text such as 'b'"
    ):
        vectors_of(table, engine, {}, "here")


def test_what_cannot_be_compared_is_one_line(
    versions: Versions, desk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(("amount", "count", "mean"), 11).save_model(tmp_path / "eleven.ubj")
    train(("amount", "count", "sum"), 12).save_model(tmp_path / "sum.ubj")
    (tmp_path / "part.csv").write_text("amount,count\n1,2\n")
    (tmp_path / "empty.csv").write_text("amount,count,mean\n")
    (tmp_path / "huge.csv").write_text("amount,count,mean\n1,9007199254740993,2\n")
    (tmp_path / "events.csv").write_text("event_id,at,customer,amount\n1,yesterday,c,5\n")
    plain = write_plain_bundle(tmp_path / "plain.qt")
    good, bundle = desk / "model.ubj", versions.challenger
    vectors = desk / "vectors.parquet"
    for code, bundle_, model, data, message in (
        (1, bundle, tmp_path / "eleven.ubj", vectors, "expected the model that it was compiled from, of 12 trees"),
        (1, plain, good, tmp_path / "huge.csv", "expected a bundle with a forest to hold to its model"),
        (2, bundle, tmp_path / "sum.ubj", vectors, "the feature set does not have: 'sum'"),
        (2, bundle, bundle, vectors, "not a model: the file begins with b'\\x89QTHORN"),
        (2, bundle, tmp_path / "none.ubj", vectors, "cannot read the model: No such file or directory"),
        (2, bundle, good, tmp_path / "none.csv", "expected readable data, found"),
        (2, bundle, good, good, "expected a file name ending in .parquet, .csv, .arrow, .feather, .jsonl"),
        (2, bundle, good, tmp_path / "part.csv", "found none for the feature 'mean'"),
        (2, bundle, good, tmp_path / "empty.csv", "expected at least one row, found none"),
        (2, bundle, good, tmp_path / "huge.csv", "column 'count': expected numbers, found int64"),
        (2, bundle, good, tmp_path / "events.csv", "expected events that fit the bundle's schema, found none among 1"),
    ):
        asked = ["verify", str(bundle_), "--allow-unsigned", "--model", str(model), "--data", str(data), "--quiet"]
        assert main(asked) == code, message
        said = capsys.readouterr()
        assert (said.out, said.err.count("\n")) == ("", 1)
        assert message in said.err
    assert main(["verify", str(bundle), "--allow-unsigned", "--model", str(good)]) == 2
    assert "expected --data along with --model, found none" in capsys.readouterr().err
