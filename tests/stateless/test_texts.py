"""Text features: against published values, SciPy and RapidFuzz where it is installed, and any text at all."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy as scipy_entropy

import quickthorn as qt
from quickthorn.errors import FeatureError

MANY = settings(max_examples=500, deadline=None, derandomize=True, database=None)
OPTIONS: dict[str, dict[str, Any]] = {
    "": {},
    " case": {"ignore_case": True},
    " letters": {"letters_only": True},
    " local": {"local_part": True},
    " all": {"ignore_case": True, "letters_only": True, "local_part": True},
}


class Reading(qt.Event):
    event_id: qt.Id
    at: qt.EventTime
    name: qt.Text | None
    email: qt.Text | None
    customer: qt.Entity | None


@pytest.fixture(scope="module")
def read(both: Callable[[qt.FeatureSet], Any]) -> Any:
    features = qt.FeatureSet(Reading)
    features["length"] = qt.text_length(Reading.name)
    features["digits"] = qt.digit_ratio(Reading.name)
    features["entropy"] = qt.entropy(Reading.name)
    features["entity"] = qt.digit_ratio(Reading.customer)
    features["mismatch"] = qt.mismatch(Reading.name, Reading.email)
    for name, options in OPTIONS.items():
        features[f"distance{name}"] = qt.edit_distance(Reading.name, Reading.email, **options)
        if name in ("", " all"):
            features[f"similarity{name}"] = qt.edit_similarity(Reading.name, Reading.email, **options)
            features[f"jaro{name}"] = qt.jaro_winkler(Reading.name, Reading.email, **options)
    read = both(features)
    read.tolerance = 1e-13  # an entropy near 0 is what is left of two that are not
    return read


letters = st.sampled_from(["ab", "abc", "aé", "aAbB1. @", "日本語a", "𝄞a\x00", "abcdefghijklmnopqrstuvwxyz01234@."])
texts = st.one_of(
    st.none(),
    st.text(max_size=30),
    letters.flatmap(lambda alphabet: st.text(alphabet, max_size=20)),
    letters.flatmap(lambda alphabet: st.text(alphabet, min_size=55, max_size=90)),
    letters.flatmap(lambda alphabet: st.text(alphabet, min_size=240, max_size=270)),
)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[str | None, str | None]:
    """Two texts, often with much in common."""
    one = draw(texts)
    if one is None or draw(st.booleans()):
        return one, draw(texts)
    other = list(one)
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, len(other)))
        change = draw(st.sampled_from(["put in", "take out", "swap"]))
        if change == "put in":
            other.insert(place, draw(st.sampled_from("aé@1")))
        elif change == "take out" and place < len(other):
            del other[place]
        elif place + 1 < len(other):
            other[place], other[place + 1] = other[place + 1], other[place]
    return one, "".join(other)


@MANY
@given(pair=pairs())
def test_any_two_texts_give_what_the_specification_gives(read: Any, pair: tuple[str | None, str | None]) -> None:
    read(name=pair[0], email=pair[1])


@MANY
@given(pair=pairs())
def test_similarities_are_those_of_rapidfuzz(read: Any, pair: tuple[str | None, str | None]) -> None:
    rapidfuzz = pytest.importorskip("rapidfuzz", reason="only another implementation to compare with")
    if pair[0] is None or pair[1] is None:
        return
    one, two = (text.encode()[:256].decode(errors="ignore")[:64] for text in pair if text is not None)
    found = read(name=pair[0], email=pair[1])
    assert found["distance"] == rapidfuzz.distance.Levenshtein.distance(one, two)
    assert found["similarity"] == pytest.approx(rapidfuzz.distance.Levenshtein.normalized_similarity(one, two))
    assert found["jaro"] == pytest.approx(rapidfuzz.distance.JaroWinkler.similarity(one, two), abs=1e-12)


@pytest.mark.parametrize(
    ("one", "two", "distance", "similarity"),
    [
        # The distances are Levenshtein's usual examples, the similarities those of Winkler 1990 and 2006.
        ("kitten", "sitting", 3, None),
        ("Saturday", "Sunday", 3, None),
        ("MARTHA", "MARHTA", 2, 0.961),
        ("DWAYNE", "DUANE", 2, 0.840),
        ("DIXON", "DICKSONX", 4, 0.813),
        ("SHACKLEFORD", "SHACKELFORD", 2, 0.982),
        ("JONES", "JOHNSON", 4, 0.832),
        ("ABROMS", "ABRAMS", 1, 0.922),
        ("", "", 0, 1.0),
        ("", "abc", 3, 0.0),
        ("abc", "xyz", 3, 0.0),
    ],
)
def test_published_examples(read: Any, one: str, two: str, distance: int, similarity: float | None) -> None:
    for first, second in ((one, two), (two, one)):
        found = read(name=first, email=second)
        assert found["distance"] == distance
        if similarity is not None:
            assert found["jaro"] == pytest.approx(similarity, abs=5e-4)


def test_a_name_is_found_in_its_address(read: Any) -> None:
    found = read(name="Anna Lena Schmidt", email="anna.lena.schmidt84@example.org")
    assert (found["distance all"], found["similarity all"], found["jaro all"]) == (0.0, 1.0, 1.0)
    assert found["distance"] > 15
    assert read(name="anna", email="qx9-77@anna.example")["jaro all"] < 0.6
    assert read(name="Ännchen", email="ännchen@x")["distance all"] == 1.0


def test_entropies_equal_those_of_scipy(read: Any) -> None:
    for text in ("aaaa", "ab", "anna.schmidt@example.org", "x9k2q8zj4", "Zürich 𝄞𝄞", "".join(map(chr, range(33, 120)))):
        expected = scipy_entropy(list(Counter(text).values()), base=2)
        assert read(name=text)["entropy"] == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_characters_are_code_points_and_missing_is_not_empty(read: Any) -> None:
    found = read(name="Zürich 24 𝄞", customer=1984)
    assert (found["length"], found["digits"], found["entity"]) == (11.0, 2 / 11, 1.0)
    # Only ASCII digits count: other scripts' are no part of what a form makes up.
    assert read(name="٣3")["digits"] == 0.5
    empty = read(name="", email="")
    assert (empty["length"], empty["distance"], empty["mismatch"]) == (0.0, 0.0, 0.0)
    assert math.isnan(empty["digits"])
    assert math.isnan(empty["entropy"])
    assert all(math.isnan(value) for value in read().values())
    assert all(math.isnan(value) for name, value in read(name="a").items() if name.startswith(("distance", "jaro")))


def test_of_a_long_text_the_first_bytes_count(read: Any) -> None:
    assert read(name="x" * 300)["length"] == 256
    assert read(name="x" * 255 + "é")["length"] == 255
    assert read(name="x" * 254 + "é" + "more")["length"] == 255
    assert read(name="日" * 100)["length"] == 85
    assert read(name="x" * 64 + "a", email="x" * 64 + "b")["distance"] == 0.0
    assert read(name="x" * 63 + "a", email="x" * 63 + "b")["distance"] == 1.0
    assert read(name="x" * 300, email="x" * 301)["mismatch"] == 1.0


def test_bytes_that_are_no_text_do_no_harm(read: Any) -> None:
    """Arrow columns may hold anything; what comes of it means nothing, but it is a number and comes at once."""
    random = np.random.default_rng(3)
    for length in (1, 2, 3, 63, 64, 255, 256, 257, 300):
        wrong = [bytes(random.integers(128, 256, length, np.uint8)) for _ in range(10)]
        # Characters cut short, stray bytes, and ASCII spelled in more bytes than it has.
        alphabet = np.array([0x00, 0x41, 0x7F, 0x80, 0xBF, 0xC0, 0xC1, 0xE0, 0xF0, 0xFF], np.uint8)
        wrong += [bytes(random.choice(alphabet, length)) for _ in range(10)]
        for one, two in zip(wrong, wrong[::-1], strict=True):
            columns = [pa.array(["e"]), pa.array([0])]
            columns += [pa.Array.from_buffers(pa.string(), 1, _buffers(text)) for text in (one, two)]
            row = pa.RecordBatch.from_arrays(columns, ["event_id", "at", "name", "email"])
            found = read.native.features(row)
            assert 0 <= found["length"] <= 256
            assert 0 <= found["entropy"] <= 8
            assert 0 <= found["jaro all"] <= 1
            assert 0 <= found["distance"] <= 64


def _buffers(text: bytes) -> list[pa.Buffer | None]:
    return [None, pa.py_buffer(np.array([0, len(text)], np.int32)), pa.py_buffer(text)]


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda: qt.entropy(Reading.at), r"entropy: expected a Text, Category or Entity field, found Reading\.at"),
        (lambda: qt.text_length("name"), "text_length: expected a Text, Category or Entity field, found 'name'"),
        (lambda: qt.jaro_winkler(Reading.name, "x"), "jaro_winkler: expected a Text, Category or Entity field"),
        (
            lambda: qt.edit_distance(Reading.name, Reading.email, ignore_case=1),  # type: ignore[arg-type]
            r"edit_distance\(ignore_case=\): expected True or False, found 1",
        ),
    ],
)
def test_what_is_no_text_is_refused(declare: Callable[[], object], message: str) -> None:
    with pytest.raises(FeatureError, match=message):
        declare()
