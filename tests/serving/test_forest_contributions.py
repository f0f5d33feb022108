"""Contributions as callers meet them: a forest's rows and batches, bundles, what is refused, what is proven at load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
import xgboost
from tests.serving.conftest import payment_features

import quickthorn as qt
from quickthorn.bundle import pack_forest, read_bundle, read_forest
from quickthorn.compiling import compile_bundle
from quickthorn.compiling.golden import ROWS
from quickthorn.decision import Policy
from quickthorn.errors import BundleError, ModelError, RowError
from quickthorn.serving import Forest

Rows = npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def explained(booster: xgboost.Booster, level: str) -> qt.Forest:
    return qt.compile_model(booster, target=level, contributions=True)


def own(booster: xgboost.Booster, rows: Rows) -> Rows:
    data = xgboost.DMatrix(rows, feature_names=list("abcd"))
    return np.asarray(booster.predict(data, pred_contribs=True), np.float64)


def test_rows_and_batches(explained: qt.Forest, booster: xgboost.Booster, feature_rows: Rows) -> None:
    expected = own(booster, feature_rows)
    found = explained.contributions_batch(feature_rows)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(found.sum(axis=1), explained.margin_batch(feature_rows), atol=1e-5)
    singles = [explained.contributions(row) for row in feature_rows]
    assert np.array_equal(singles, found)
    narrow = feature_rows.astype(np.float32)
    assert np.array_equal([explained.contributions(row) for row in narrow], found)
    assert np.array_equal(explained.contributions_batch(narrow), found)
    assert np.array_equal(explained.contributions_batch(np.asfortranarray(feature_rows)), found)
    table = pa.table(dict(zip("abcd", feature_rows.T, strict=True)))
    assert np.array_equal(explained.contributions_batch(table), found)
    assert explained.contributions_batch(feature_rows[:0]).shape == (0, 5)
    row = explained.row()
    row.values[:] = feature_rows[0]
    out = np.empty(5)
    assert explained.contributions(row, out=out) is out
    assert np.array_equal(out, found[0])


def test_expected_values(explained: qt.Forest, booster: xgboost.Booster, feature_rows: Rows) -> None:
    assert explained.explains
    assert explained.expected_value == pytest.approx(own(booster, feature_rows[:1])[0, -1], abs=1e-6)
    assert explained.expected_values.tolist() == [explained.expected_value]


def test_several_outputs(classifier: Any, level: str, feature_rows: Rows) -> None:
    forest = qt.compile_model(classifier, target=level, contributions=True)
    expected = classifier.predict(feature_rows, pred_contrib=True).reshape(-1, 3, 5)
    np.testing.assert_allclose(forest.contributions_batch(feature_rows), expected, atol=1e-6)
    assert forest.contributions(feature_rows[0]).shape == (3, 5)
    np.testing.assert_allclose(forest.expected_values, expected[0, :, -1], atol=1e-12)
    with pytest.raises(RowError, match=r"forest.expected_value: expected a forest of one output, found one of 3"):
        forest.expected_value  # noqa: B018


def test_a_forest_without_tables_says_so(forest: qt.Forest, feature_rows: Rows) -> None:
    assert not forest.explains
    wanted = "contributions: expected a forest that was compiled with contributions=True, found one without"
    for ask in (
        lambda: forest.contributions(feature_rows[0]),
        lambda: forest.contributions_batch(feature_rows),
        lambda: forest.expected_value,
    ):
        with pytest.raises(BundleError, match=wanted):
            ask()


def test_what_is_no_row_or_result_is_refused(explained: qt.Forest, feature_rows: Rows) -> None:
    with pytest.raises(RowError, match="row: expected a contiguous vector of 4"):
        explained.contributions(feature_rows[0, :3])
    with pytest.raises(RowError, match=r"rows: expected a float32 or float64 array of \[n, 4\]"):
        explained.contributions_batch(feature_rows[0])
    with pytest.raises(RowError, match=r"out: expected a writeable, contiguous float64 array of shape \[5\]"):
        explained.contributions(feature_rows[0], out=np.empty(4))


def test_golden_contributions_are_held_to(explained: qt.Forest, tmp_path: Path) -> None:
    explained.save(tmp_path / "a.qtf")
    file = read_forest(tmp_path / "a.qtf")
    assert file.manifest.golden.explained_rows == ROWS
    for place, message in ((7, "golden row 1, contribution of feature 2"), (4, "golden row 0, expected margin")):
        values = np.frombuffer(file.members["golden/contributions.f64"], "<f8").copy()
        values[place] += 1e-3
        members = dict(file.members) | {"golden/contributions.f64": values.tobytes()}
        with pytest.raises(BundleError, match=f"forged: {message}: expected "):
            Forest.open(read_forest(pack_forest(file.manifest, members)), "forged")
    members = {name: part for name, part in file.members.items() if "contributions" not in name}
    without = msgspec.structs.replace(
        file.manifest, golden=msgspec.structs.replace(file.manifest.golden, explained_rows=0)
    )
    with pytest.raises(BundleError, match="the library has contributions, but there are no golden ones"):
        Forest.open(read_forest(pack_forest(without, members)), "forged")


def test_a_bundle_with_contributions(model: xgboost.Booster, level: str, tmp_path: Path) -> None:
    path = tmp_path / "fraud.qt"
    policy = Policy.with_thresholds(review=0.3, decline=0.8, invalid="decline")
    compile_bundle(
        features=payment_features(), model=model, policy=policy, output=path, target=level, contributions=True
    )
    assert read_bundle(path).manifest.golden is not None
    assert "golden/contributions.f64" in read_bundle(path).members
    qt.Engine.load(path, max_keys=100, max_history_bytes=1 << 22, allow_unsigned=True)
    with pytest.raises(ModelError, match="contributions: expected a model whose margins they explain, found none"):
        compile_bundle(features=payment_features(), output=path, contributions=True)
