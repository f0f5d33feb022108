"""The policy file: what it means, and one clear sentence for every way it can be wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from quickthorn.calibration.link import Link
from quickthorn.decision import Fallback, Policy, Thresholds
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
    policy = Policy.with_thresholds(review=0.3, decline=0.8, invalid="review")
    assert Policy.from_toml(path) == Policy.from_toml(str(path)) == Policy.from_toml(GOOD) == policy


def test_whole_numbers_are_thresholds_too() -> None:
    policy = Policy.from_toml(GOOD.replace("0.80", "1"))
    assert policy.thresholds.least == {"review": 0.3, "decline": 1.0}
    assert isinstance(policy.thresholds.least["decline"], float)


def test_a_policy_may_have_outcomes_of_its_own() -> None:
    policy = Policy.from_toml(
        'outcomes = ["pay", "ask", "stop"]\n[thresholds]\nstop = 0.5\n[fallback]\ninvalid = "ask"\n'
    )
    assert (policy.outcomes, policy.unscored, policy.fallback_of("late")) == (("pay", "ask", "stop"), "ask", None)


FULL = """\
outcomes = ["approve", "review", "decline"]

[thresholds]
on = "aligned_score"
review = 450
decline = 700.5

[fallback]
invalid = "review"
late = "review"
duplicate = "approve"
unscored = "decline"

[exploration]
share = 0.01
outcome = "approve"
of = ["review", "decline"]
seed = 7

[kill_switch]
outcome = "review"
active = false
"""


@pytest.mark.parametrize("text", [GOOD, FULL])
def test_a_policy_is_what_its_text_reads_as(text: str) -> None:
    policy = Policy.from_toml(text)
    assert Policy.from_toml(policy.as_toml()) == policy


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("0.30", "0.90", r"thresholds.review: expected at most thresholds.decline \(0.8\), found 0.9"),
        ("0.30", "nan", "thresholds.review: expected a finite number, found nan"),
        ("0.80", "inf", "thresholds.decline: expected a finite number, found inf"),
        ("0.80", "1" + "0" * 400, "thresholds.decline: expected a finite number, found an integer of more than"),
        ("0.30", '"0.3"', 'thresholds.review: expected a finite number, found "0.3"'),
        ("0.30", "true", "thresholds.review: expected a finite number, found True"),
        ("0.30", "[0.3]", "thresholds.review: expected a finite number, found an array"),
        ("0.30", "{ a = 1 }", "thresholds.review: expected a finite number, found a table"),
        ("review = 0.30\ndecline = 0.80\n", "", "thresholds: expected a threshold for at least one outcome"),
        ("review = 0.30", "approve = 0.30", "thresholds.approve: expected no threshold for the mildest outcome"),
        ("decline", "refuse", 'thresholds.refuse: expected "step_up", "review" or "decline" or "on"'),
        ("review = 0.30", 'on = "margin"', "thresholds.on: invalid enum value 'margin'"),
        ("review = 0.30", "least = 0.30", "thresholds.least: expected an outcome"),
        ("invalid", "broken", "fallback: object contains unknown field `broken`"),
        ('invalid = "review"\n', "", "fallback: object missing required field `invalid`"),
        ('"review"', '"block"', 'fallback.invalid: expected "approve", .* or "decline", found \'block\''),
        ('"review"', "1", "fallback.invalid: expected `str`, found `int`"),
        ('"review"', '"review"\n[rules]', "object contains unknown field `rules`"),
        ('[fallback]\ninvalid = "review"\n', "", r"fallback: expected a table \[fallback\], found none"),
        ("[thresholds]\nreview = 0.30\ndecline = 0.80\n", "", r"thresholds: expected a table .*, found none"),
        ("[thresholds]\nreview = 0.30\ndecline = 0.80\n", "thresholds = 0.5\n", "thresholds: expected `object`, found"),
        ("[thresholds]", "outcomes = []\n[thresholds]", "outcomes: expected 1 to 8, found 0"),
        ("[thresholds]", 'outcomes = ["a", "review", "decline", "a"]\n[thresholds]', "outcomes: .* found 'a' twice"),
        ("[thresholds]", 'outcomes = ["a b", "review", "decline"]\n[thresholds]', "outcomes: .* found 'a b'"),
        (
            "[fallback]",
            '[exploration]\nshare = 0.6\noutcome = "approve"\nof = ["review"]\n[fallback]',
            "exploration.share: ",
        ),
        (
            "[fallback]",
            '[exploration]\nshare = 0.1\noutcome = "appr"\nof = ["review"]\n[fallback]',
            "exploration.outcome: ",
        ),
        (
            "[fallback]",
            '[exploration]\nshare = 0.1\noutcome = "review"\nof = ["review"]\n[fallback]',
            "exploration.of: ",
        ),
        ("[fallback]", '[kill_switch]\noutcome = "off"\n[fallback]', "kill_switch.outcome: expected .* found 'off'"),
        ("0.80", "0.80 0.90", r"expected TOML, found a syntax error: .*line 3"),
        ("review = 0.30", "review = 0.30\nreview = 0.40", r"expected TOML, found a syntax error: .*line 3"),
        ('"review"\n', '"review', r"expected TOML, found a syntax error: .*line 6"),
        ("0.30", "9" * 5000, "expected TOML, found a syntax error"),
        ("0.30", "[" * 5000, "expected TOML, found a syntax error"),
        ('"review"', "0x" + "f" * 5000, "fallback.invalid: "),
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
    with pytest.raises(ValueError, match=r"^thresholds.review: expected at most"):
        Policy.with_thresholds(review=0.9, decline=0.8, invalid="review")
    with pytest.raises(ValueError, match=r"^fallback.invalid: expected"):
        Policy.with_thresholds(review=0.1, decline=0.8, invalid="block")


@pytest.mark.parametrize(
    ("link", "calibrated", "on", "review", "message"),
    [
        (Link.SIGMOID, False, "score", -0.1, "review: expected 0 to 1,"),
        (Link.SIGMOID, False, "score", 1.5, "review: expected 0 to 1,"),
        (Link.IDENTITY, True, "score", 1.5, "review: expected 0 to 1,"),
        (Link.EXP, False, "score", -0.1, "review: expected 0 or more,"),
        (Link.SIGMOID, False, "aligned_score", 1000.0, "review: expected 0 to 999, found 1000.0"),
        (Link.IDENTITY, False, "aligned_score", 500.0, 'on: expected "score", found "aligned_score", which needs'),
    ],
)
def test_thresholds_that_no_score_can_meet_are_refused(
    link: Link, calibrated: bool, on: Any, review: float, message: str
) -> None:
    policy = Policy(thresholds=Thresholds(on=on, least={"review": review}), fallback=Fallback(invalid="review"))
    with pytest.raises(PolicyError, match=f"^policy.toml: thresholds.{message}"):
        policy.check_scores(link, calibrated=calibrated, origin="policy.toml")


def test_the_range_of_scores_includes_its_ends() -> None:
    Policy.with_thresholds(review=0.0, decline=1.0, invalid="review").check_scores(Link.SIGMOID, calibrated=False)


@pytest.mark.parametrize("link", list(Link))
def test_thresholds_within_the_range_are_accepted(link: Link) -> None:
    Policy.with_thresholds(review=0.25, decline=0.5, invalid="review").check_scores(link, calibrated=False)
