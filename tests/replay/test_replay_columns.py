"""A column without gaps is read by another path than one with gaps, and means the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import quickthorn as qt
from quickthorn.compiling import compile_bundle
from quickthorn.replay import replay

pa = pytest.importorskip("pyarrow", reason="replay takes Arrow tables")

ROWS = 203
START_US = 1_785_000_000_000_000


class Tap(qt.Event):
    event_id: qt.Id
    at: qt.EventTime
    card: qt.Entity
    cents: qt.Money = qt.field(minor_units=True)
    price: qt.Money
    risk: qt.Number
    share: qt.Number | None
    foreign: qt.Boolean


def taps() -> Any:
    """Rows of which some do not fit: amounts below zero or too fine, infinite numbers, a time out of range."""
    random = np.random.default_rng(5)
    # Of any length, and next to each other, as identifiers are hashed several at a time.
    ids = np.where(np.arange(ROWS) % 40 < 20, np.arange(ROWS), 9_999_990 + 10 ** (np.arange(ROWS) % 17))
    at = START_US + np.arange(ROWS)
    at[50] = 2**62
    cents = random.integers(0, 10_000, ROWS)
    cents[[70, 71]] = -1
    price = np.abs(cents) / 100
    price[[90, 91]] = [1.005, np.inf]
    risk = random.normal(size=ROWS)
    risk[[110, 111, 112]] = [np.nan, np.inf, -np.inf]
    share = random.normal(size=ROWS)
    share[[130, 131]] = [np.nan, np.inf]
    return pa.table(
        {
            "event_id": ids,
            "at": pa.array(at, pa.timestamp("us", tz="UTC")),
            "card": (ids % 5).astype(np.int16),
            "cents": cents,
            "price": price,
            "risk": risk,
            "share": share.astype(np.float32),
            "foreign": random.random(ROWS) < 0.5,
        }
    )


def test_columns_with_and_without_gaps_are_read_alike(tmp_path: Path) -> None:
    features = qt.FeatureSet(Tap)
    for name in ("cents", "price", "risk", "share", "foreign"):
        features[name] = getattr(Tap, name)
    features["count"] = qt.count(by=Tap.card, over="1d")
    compile_bundle(features=features, output=tmp_path / "taps.qt", cache=False)

    def replayed(table: Any) -> Any:
        return replay(qt.Engine.load(tmp_path / "taps.qt", allow_unsigned=True), table, errors="keep")

    # From a row on that is not at the beginning of a byte of bits.
    table = taps().slice(3)
    assert all(column.null_count == 0 for column in table.columns)
    nothing = pa.table({field.name: pa.nulls(1, field.type) for field in table.schema})
    gapless, with_gap = replayed(table), replayed(pa.concat_tables([table, nothing]).combine_chunks())
    assert with_gap["status"][-1].as_py() == "invalid"
    for name in gapless.column_names:
        if name == "status":
            assert gapless[name].to_pylist() == with_gap[name].to_pylist()[:-1]
        elif name in features.names:
            np.testing.assert_array_equal(gapless[name].to_numpy(), with_gap[name].to_numpy()[:-1], err_msg=name)
    wrong = [place for place, status in enumerate(gapless["status"].to_pylist()) if status == "invalid"]
    assert wrong == [row - 3 for row in (50, 70, 71, 90, 91, 110, 111, 112, 131)]
    np.testing.assert_array_equal(gapless["foreign"].to_numpy()[:40], table["foreign"].to_numpy()[:40])
