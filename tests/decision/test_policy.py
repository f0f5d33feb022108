"""The policy file: what it means, and one clear sentence for every way it can be wrong."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quickthorn.calibration.link import Link
from quickthorn.decision import OUTCOMES, Policy
from quickthorn.errors import PolicyError

GOOD = """\
[thresholds]
review = 0.30
decline = 0.80

[fallback]
invalid = "review"
"""


def test_a_policy_reads_from_a_file_and_from_text(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(GOOD)
    policy = Policy(review=0.3, decline=0.8, fallback="review")
    assert Policy.from_toml(path) == Policy.from_toml(str(path)) == Policy.from_toml(GOOD) == policy


@pytest.mark.parametrize(
    ("score", "outcome"),
    [
        (0.0, "approve"),
        (math.nextafter(0.3, 0.0), "approve"),
        (0.3, "review"),
        (math.nextafter(0.8, 0.0), "review"),
        (0.8, "decline"),
        (1.0, "decline"),
        (-math.inf, "approve"),
        (math.inf, "decline"),
    ],
)
def test_a_threshold_belongs_to_the_severer_side(score: float, outcome: str) -> None:
    assert Policy.from_toml(GOOD).outcome(score) == outcome


@pytest.mark.parametrize("fallback", OUTCOMES)
def test_a_score_that_is_no_number_gets_the_fallback(fallback: str) -> None:
    policy = Policy.from_toml(GOOD.replace('"review"', f'"{fallback}"'))
    assert policy.outcome(math.nan) == fallback


def test_equal_thresholds_leave_no_room_for_review() -> None:
    policy = Policy(review=0.5, decline=0.5, fallback="approve")
    assert [policy.outcome(score) for score in (0.4, 0.5, 0.6)] == ["approve", "decline", "decline"]


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=2).map(sorted),
    st.floats(allow_nan=False),
    st.floats(allow_nan=False),
)
def test_a_higher_score_is_never_treated_more_mildly(thresholds: list[float], one: float, other: float) -> None:
    review, decline = thresholds
    policy = Policy(review, decline, "review")
    mild, severe = (policy.outcome(score) for score in sorted((one, other)))
    assert OUTCOMES.index(mild) <= OUTCOMES.index(severe)


def test_whole_numbers_are_thresholds_too() -> None:
    policy = Policy.from_toml(GOOD.replace("0.80", "1"))
    assert policy.decline == 1.0
    assert isinstance(policy.decline, float)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("0.30", "0.90", r"thresholds.review: expected at most thresholds.decline \(0.8\), found 0.9"),
        ("0.30", "nan", "thresholds.review: expected a finite number, found nan"),
        ("0.80", "inf", "thresholds.decline: expected a finite number, found inf"),
        ("0.80", "1" + "0" * 400, "thresholds.decline: expected a finite number, found inf"),
        ("0.30", '"0.3"', 'thresholds.review: expected a finite number, found "0.3"'),
        ("0.30", "true", "thresholds.review: expected a finite number, found True"),
        ("0.30", "[0.3]", "thresholds.review: expected a finite number, found an array"),
        ("0.30", "{ a = 1 }", "thresholds.review: expected a finite number, found a table"),
        ("review = 0.30\n", "", "thresholds.review: expected a finite number, found nothing"),
        ("decline = 0.80\n", "", "thresholds.decline: expected a finite number, found nothing"),
        ("decline", "refuse", 'thresholds.refuse: expected only "review" and "decline" here'),
        ("invalid", "broken", 'fallback.broken: expected only "invalid" here'),
        ('invalid = "review"\n', "", 'fallback.invalid: expected "approve", "review" or "decline", found nothing'),
        ('"review"', '"block"', 'fallback.invalid: expected "approve", "review" or "decline", found "block"'),
        ('"review"', "1", 'fallback.invalid: expected "approve", "review" or "decline", found 1'),
        ("[fallback]", "[rules]", 'rules: expected only "thresholds" and "fallback" here'),
        (
            '[fallback]\ninvalid = "review"\n',
            "",
            r"fallback: expected a table \[fallback\] with \"invalid\", found none",
        ),
        ("[thresholds]\nreview = 0.30\ndecline = 0.80\n", "", r"thresholds: expected a table .*, found none"),
        (
            "[thresholds]\nreview = 0.30\ndecline = 0.80\n",
            "thresholds = 0.5\n",
            r"thresholds: expected a .*, found 0.5",
        ),
        ("0.80", "0.80 0.90", r"expected TOML, found a syntax error: .*line 3"),
        ("review = 0.30", "review = 0.30\nreview = 0.40", r"expected TOML, found a syntax error: .*line 3"),
        ('"review"\n', '"review', r"expected TOML, found a syntax error: .*line 6"),
        ("0.30", "9" * 5000, "expected TOML, found a syntax error"),
        ("0.30", "[" * 5000, "expected TOML, found a syntax error"),
        ('"review"', "0x" + "f" * 5000, "fallback.invalid: .*found an integer of more than 64 bits"),
    ],
)
def test_a_wrong_policy_says_where_and_what_was_expected(tmp_path: Path, old: str, new: str, message: str) -> None:
    wrong = GOOD.replace(old, new, 1)
    assert wrong != GOOD
    path = tmp_path / "policy.toml"
    path.write_text(wrong)
    with pytest.raises(PolicyError, match=f"^{path}: {message}"):
        Policy.from_toml(path)
    with pytest.raises(PolicyError, match=f"^team/policy.toml: {message}"):
        Policy.from_toml(wrong, origin="team/policy.toml")


@pytest.mark.parametrize("text", ["\n", "# nothing here\n"])
def test_an_empty_policy_is_refused(text: str) -> None:
    with pytest.raises(PolicyError, match=r"policy: thresholds: expected a table \[thresholds\]"):
        Policy.from_toml(text)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"none.toml: expected a readable policy file, found: No such file"):
        Policy.from_toml(tmp_path / "none.toml")
    with pytest.raises(PolicyError, match="expected a readable policy file, found: Is a directory"):
        Policy.from_toml(tmp_path)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_bytes(GOOD.encode() + b"# caf\xe9\n")
    with pytest.raises(PolicyError, match="expected UTF-8 text, found byte 0xe9 on line 7"):
        Policy.from_toml(path)


def test_a_file_far_too_long_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    path.write_bytes(b"#" * (1 << 20) + b"\n")
    with pytest.raises(PolicyError, match="expected a policy file of at most 1048576 bytes"):
        Policy.from_toml(path)


def test_a_policy_made_in_python_is_held_to_the_same_rules() -> None:
    with pytest.raises(PolicyError, match=r"policy: thresholds.review: expected at most"):
        Policy(review=0.9, decline=0.8, fallback="review")
    with pytest.raises(PolicyError, match=r"fallback.invalid: expected"):
        Policy(review=0.1, decline=0.8, fallback="block")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("link", "review", "decline", "message"),
    [
        (Link.SIGMOID, -0.1, 0.5, "review: expected 0 to 1,"),
        (Link.SIGMOID, 0.5, 1.5, "decline: expected 0 to 1,"),
        (Link.EXP, -0.1, 0.5, "review: expected 0 or more,"),
    ],
)
def test_thresholds_that_no_score_can_meet_are_refused(link: Link, review: float, decline: float, message: str) -> None:
    policy = Policy(review=review, decline=decline, fallback="review", origin="policy.toml")
    with pytest.raises(PolicyError, match=f"policy.toml: thresholds.{message}"):
        policy.check(link)
    policy.check(Link.IDENTITY)  # a regressor's score can be any number


def test_the_ends_of_the_range_are_inside_it() -> None:
    Policy(review=0.0, decline=1.0, fallback="review").check(Link.SIGMOID)


@pytest.mark.parametrize("link", Link)
def test_every_link_has_a_range(link: Link) -> None:
    Policy(review=0.25, decline=0.5, fallback="review").check(link)
