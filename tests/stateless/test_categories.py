"""Encoded categories and hash buckets in a bundle: every kind of field, every form of event, unknown and missing."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils import murmurhash3_32

import quickthorn as qt
from quickthorn.compiling import compile_bundle
from quickthorn.errors import FeatureError
from quickthorn.features.hashing import murmur3

MANY = settings(max_examples=300, deadline=None, derandomize=True, database=None)
KNOWN = ["", "a", "abcd", "merchant-17", "7", "-42", "Zürich", "𝄞", "x" * 256, "é" * 128, "a" * 255]
ENCODING = qt.Encoding("own", {value: place + 0.5 for place, value in enumerate(KNOWN)}, unknown=-7, missing=-8)
LARGE = qt.Encoding("large", {f"merchant-{number}": number for number in range(5_000)})


class Reading(qt.Event):
    event_id: qt.Id
    at: qt.EventTime
    merchant: qt.Entity | None
    listed: qt.Category | None = qt.field(values=("a", "b"))
    free: qt.Category | None
    note: qt.Text | None
    plain: qt.Text | None


@pytest.fixture(scope="module")
def read(both: Callable[[qt.FeatureSet], Any]) -> Any:
    features = qt.FeatureSet(Reading)
    for field in (Reading.merchant, Reading.listed, Reading.free, Reading.note):
        features[f"own {field.name}"] = qt.encoded(field, ENCODING)
        features[f"bucket {field.name}"] = qt.hash_bucket(field, 1000)
        features[f"seeded {field.name}"] = qt.hash_bucket(field, 2**31, seed=2**32 - 1, missing=-1)
    features["large"] = qt.encoded(Reading.note, LARGE)
    features["nothing known"] = qt.encoded(Reading.note, qt.Encoding("empty", {}))
    features["listed"] = Reading.listed
    features["share"] = qt.ratio(qt.encoded(Reading.note, LARGE), features["own note"])
    return both(features)


texts = st.one_of(
    st.none(),
    st.sampled_from(KNOWN),
    st.text(max_size=40),
    st.text(alphabet="ab", min_size=250, max_size=260),
    st.text(alphabet="aé𝄞", min_size=60, max_size=300),
    st.integers(0, 6_000).map(lambda number: f"merchant-{number}"),
)


@MANY
@given(merchant=st.one_of(texts, st.integers(-(2**70), 2**70), st.just(7)), free=texts, listed=texts, note=texts)
def test_any_text_gives_what_the_specification_gives(
    read: Any, merchant: Any, free: str | None, listed: str | None, note: str | None
) -> None:
    read(merchant=merchant if merchant != "" else None, free=free, listed=listed, note=note)


def test_known_unknown_and_missing_values_have_codes_of_their_own(read: Any) -> None:
    for place, value in enumerate(KNOWN):
        assert read(note=value)["own note"] == place + 0.5
        assert read(free=value)["own free"] == place + 0.5
    assert read(note="b")["own note"] == -7
    assert read()["own note"] == -8
    assert read(note="x" * 257)["own note"] == -7
    assert (read(note="x")["nothing known"], read(note="x")["large"]) == (-1.0, -1.0)
    assert math.isnan(read()["large"])


def test_an_int_is_its_decimal_digits(read: Any) -> None:
    assert read(merchant=7)["own merchant"] == read(merchant="7")["own merchant"] == KNOWN.index("7") + 0.5
    assert read(merchant=-42)["own merchant"] == KNOWN.index("-42") + 0.5


def test_every_value_of_a_large_table_is_found(read: Any) -> None:
    assert [read(note=f"merchant-{number}")["large"] for number in range(5_000)] == list(range(5_000))


def test_buckets_are_those_of_scikit_learn(read: Any) -> None:
    for text in [*KNOWN[:8], "a somewhat longer text, with a tail"]:
        found = read(note=text)
        assert found["bucket note"] == murmurhash3_32(text, 0, positive=True) % 1000
        assert found["seeded note"] == murmurhash3_32(text, 2**32 - 1, positive=True) % 2**31
    assert math.isnan(read()["bucket note"])
    assert read()["seeded note"] == -1.0


@MANY
@given(data=st.binary(max_size=40), seed=st.integers(0, 2**32 - 1))
def test_the_hash_that_lays_out_tables_is_scikit_learns(data: bytes, seed: int) -> None:
    assert murmur3(data, seed) == murmurhash3_32(data, seed, positive=True)


def test_every_form_of_an_event_carries_its_text(read: Any) -> None:
    event = {"event_id": "e", "at": 0, "merchant": 7, "listed": "a", "free": "Zürich", "note": "merchant-17"}
    expected = read(**event)
    schema = pa.schema([("event_id", "string"), ("at", "int64"), ("merchant", "int32"), ("note", "large_string")])
    dictionary = pa.array(["x", "Zürich"]).take(pa.array([1])).dictionary_encode()
    row = pa.Table.from_pylist([event], schema=schema).append_column("free", dictionary)
    row = row.append_column("listed", pa.array(["a"], "string_view"))

    class Computed:
        """An event whose text exists only while it is asked for."""

        event_id, at, merchant, listed, plain = "e", 0, 7, "a", None
        free = property(lambda self: "Zür" + "ich"[:])
        note = property(lambda self: f"merchant-{self.merchant + 10}")

    forms = [SimpleNamespace(**event, plain=None), Computed(), json.dumps(event).encode(), row]
    for form in forms:
        found = read.native.features(form)
        assert {name: found[name] for name in found} == pytest.approx(expected, abs=0, nan_ok=True), form


def test_nothing_of_the_event_before_is_left(read: Any) -> None:
    read(merchant="merchant-17", note="abcd", free="a", listed="a")
    again = read()
    assert all(again[f"own {name}"] == -8 for name in ("merchant", "listed", "free", "note"))


def test_a_batch_gives_each_row_its_own_text(tmp_path: Path) -> None:
    from quickthorn.replay import replay

    features = qt.FeatureSet(Reading)
    features["own"] = qt.encoded(Reading.free, ENCODING)
    values = [*KNOWN, None, "unknown", *KNOWN[::-1]]
    events = pa.table({"event_id": range(len(values)), "at": range(len(values)), "free": values})
    found = replay(features, events)["own"].to_numpy()
    np.testing.assert_array_equal(
        found, [-8.0 if value is None else ENCODING.codes.get(value, -7.0) for value in values]
    )


def test_the_manifest_says_what_was_fitted_and_which_fields_are_read_as_text(tmp_path: Path) -> None:
    features = qt.FeatureSet(Reading)
    features["own"] = qt.ratio(qt.encoded(Reading.free, ENCODING), 2)
    features["bucket"] = qt.hash_bucket(Reading.merchant, 10)
    compile_bundle(features=features, output=tmp_path / "a.qt", target="x86-64-v2")
    image = (tmp_path / "a.qt").read_bytes()
    manifest = qt.Engine.load(tmp_path / "a.qt", allow_unsigned=True).manifest
    assert [(t.kind, t.name, t.entries, t.sha256) for t in manifest.tables] == [
        ("encoding", "own", len(KNOWN), ENCODING.sha256)
    ]
    assert [field.name for field in manifest.schema if field.as_text] == ["merchant", "free"]
    assert b"merchant-17" not in image
    # The same state, fitted again in another order, is the same bundle.
    shuffled = qt.Encoding("own", dict(reversed(ENCODING.codes.items())), unknown=-7, missing=-8)
    again = qt.FeatureSet(Reading)
    again["own"] = qt.ratio(qt.encoded(Reading.free, shuffled), 2)
    again["bucket"] = qt.hash_bucket(Reading.merchant, 10)
    compile_bundle(features=again, output=tmp_path / "b.qt", target="x86-64-v2")
    assert (tmp_path / "b.qt").read_bytes() == image


def test_an_encoding_is_saved_and_loaded_as_it_is(tmp_path: Path) -> None:
    kept = qt.Encoding("own", {"Zürich": 0.1, "a\nb": 1e-300}, unknown=1 / 3, missing=math.nan)
    kept.save(tmp_path / "kept.json")
    loaded = qt.Encoding.load(tmp_path / "kept.json")
    assert (loaded.kind, loaded.codes, loaded.unknown, loaded.sha256) == (kept.kind, kept.codes, 1 / 3, kept.sha256)
    assert math.isnan(loaded.missing)
    for wrong in ("{}", "[1]", '{"kind": "x", "codes": {"a": "b"}, "unknown": 0, "missing": 0}', "nothing"):
        (tmp_path / "wrong.json").write_text(wrong)
        with pytest.raises(FeatureError):
            qt.Encoding.load(tmp_path / "wrong.json")


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda: qt.encoded(Reading.at, ENCODING), r"encoded: expected a Text, Category or Entity field.*Reading\.at"),
        (lambda: qt.encoded(Reading.note, {"a": 1}), "encoded: expected an Encoding, found"),  # type: ignore[arg-type]
        (lambda: qt.encoded("note", ENCODING), "encoded: expected a Text"),
        (lambda: qt.hash_bucket(Reading.note, 1), r"hash_bucket\(buckets=\): expected a whole number from 2"),
        (lambda: qt.hash_bucket(Reading.note, 10, seed=-1), r"hash_bucket\(seed=\): expected a whole number from 0"),
        (lambda: qt.hash_bucket(Reading.note, 10, missing=None), r"missing=\): expected"),  # type: ignore[arg-type]
        (lambda: qt.Encoding("x", {"a": math.nan}), r"Encoding\(codes=\): expected a finite number for 'a', found nan"),
        (lambda: qt.Encoding("x", {7: 1.0}), r"Encoding\(codes=\): expected values that are str, found 7"),
        (lambda: qt.Encoding("x", {"\ud800": 1.0}), r"Encoding\(codes=\): expected values that are str"),
        (lambda: qt.Encoding("x", {}, unknown="0"), r"Encoding\(unknown=\): expected a number, found '0'"),
        (lambda: qt.Encoding("", {}), r"Encoding\(kind=\): expected a non-empty str"),
    ],
)
def test_what_cannot_be_encoded_is_refused(declare: Callable[[], object], message: str) -> None:
    with pytest.raises(FeatureError, match=message):
        declare()
