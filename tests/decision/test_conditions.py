"""A policy's conditions: read, held against schema and features, and refused with the place of what is wrong."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

import quickthorn as qt
from quickthorn.decision.checking import Names, condition
from quickthorn.decision.compiled import compile_conditions
from quickthorn.decision.policy_file import read_policy
from quickthorn.errors import ConditionError, PolicyError
from quickthorn.reference.conditions import holds


class Payment(qt.Event):
    event_id: qt.Id
    at: qt.EventTime
    customer: qt.Entity
    amount: qt.Money
    risk: qt.Number | None = None
    foreign: qt.Boolean | None = None
    channel: qt.Category = qt.field(values=("web", "app"), closed=True)
    country: qt.Category | None = None


NAMES = Names.of(Payment.schema.fields, ("count", "amount", "odd name"))
ROW = {
    "event_id": "1", "at": 5, "customer": "c-1", "amount": 1250, "risk": 0.5, "foreign": True, "channel": "web",
    "country": "NL",
}  # fmt: skip
NOTHING: dict[str, Any] = {**ROW, "risk": None, "foreign": None, "country": None}
SCORED = {"score": 0.25, "aligned_score": 520.0, "margin": -1.0, "expected_loss": 3.0}


def found(text: str, row: dict[str, Any] = ROW, features: tuple[float, ...] = (3.0, 12.5, math.nan)) -> bool:
    return holds(condition(text, NAMES), row, list(features), SCORED)


@pytest.mark.parametrize(
    "text",
    [
        "amount == 12.5",
        "amount > 10 and amount <= 12.50 and not amount < 12.5",
        "amount * 2 - 5 == 20 and -amount + 1 == -11.5",
        "feature.amount == amount and event.amount == amount",
        'feature["odd name"] is missing and feature["count"] is not missing',
        "count in (1, 2, 3,) and count not in (-3, 4)",
        'country in ("NL", \'BE\') and country != "DE"',
        'channel == "web" and customer == "c-1"',
        "foreign and foreign == true and not (foreign == false)",
        "score >= 0.25 and aligned_score < 521 and margin == -1 and expected_loss > 2.5",
        "risk > 0 and amount / risk == 25",
        "amount / 4 > 3 or false",
        "at == 5",
        "risk == 0 or amount / risk > 1",
        "(1 < 2) == true",
    ],
)
def test_what_holds(text: str) -> None:
    assert found(text)


@pytest.mark.parametrize(
    "text",
    [
        *("risk == 0", "risk != 0", "risk < 1", "risk >= 0", "risk in (0, 1)", "risk + 1 > 0"),
        *('country == "NL"', 'country != "NL"', 'country in ("NL")', "foreign", "foreign == false", "foreign != true"),
    ],
)
def test_nothing_that_is_missing_compares(text: str) -> None:
    assert not found(text, NOTHING)
    assert found(f"not ({text})", NOTHING)
    assert found("risk is missing and country is missing and foreign is missing", NOTHING)


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("amount >", 9, "expected more, found the end"),
        ("amount > 1 $", 12, "expected something else, found '$'"),
        ("amount > 1 amount", 12, "expected something else, found 'amount'"),
        ("country in ()", 13, "expected something else, found ')'"),
        ("price > 1", 1, "expected a field of the event or a feature, found 'price'"),
        ("event.count > 1", 1, "expected a field of the event, found 'count'"),
        ("feature.risk > 1", 1, "expected a feature, found 'risk'"),
        ("event_id == 'p-1'", 1, "expected a field to decide by, found the event's own id"),
        ("country > 3", 11, "expected a text, found a number"),
        ('country > "A"', 1, "expected == or != between values that are no numbers, found >"),
        ('amount == "1"', 11, "expected a number, found a text"),
        ("amount and foreign", 1, "expected a condition, found a number"),
        ("amount + foreign > 1", 10, "expected a number, found a condition"),
        ("not amount", 5, "expected a condition, found a number"),
        ("amount", 1, "expected a condition, found a number"),
        ('amount in (1, "2")', 15, "expected a number, found a text"),
        ('channel == "fax"', 1, "expected one of 'web', 'app', found 'fax'"),
        ('channel in ("web", "fax")', 1, "expected one of 'web', 'app', found 'fax'"),
        ("(amount + 1) is missing", 1, "expected a field or a feature that may be missing"),
        ("amount / risk > 1", 10, "expected a divisor that cannot be 0"),
        ("amount / 0 > 1", 10, "expected a divisor that cannot be 0"),
        ("amount / -0.0 > 1", 10, "expected a divisor that cannot be 0"),
        ("risk >= 0 and amount / risk > 1", 24, "expected a divisor that cannot be 0"),
        ("risk > 0 or amount / risk > 1", 22, "expected a divisor that cannot be 0"),
        ("amount / risk > 1 and risk > 0", 10, "expected a divisor that cannot be 0"),
        ("risk > 0 and amount / (risk - 1) > 1", 24, "expected a divisor that cannot be 0"),
        ("amount > 1e999", 10, "expected a finite number, found 1e999"),
        (f'country == "{"x" * 257}"', 12, "expected a text of at most 256 bytes"),
        ("", 1, "expected more, found the end"),
    ],
)
def test_a_wrong_condition_says_where(text: str, column: int, message: str) -> None:
    with pytest.raises(ConditionError, match=re.escape(message)) as caught:
        condition(text, NAMES)
    assert caught.value.column == column


@pytest.mark.parametrize(
    "text",
    [
        *("risk != 0 and 1 / risk > 1", "0 < risk and 1 / risk > 1", "not (risk == 0) and 1 / risk > 1"),
        *("risk <= 0 or 1 / risk > 1", "(risk > 0 and foreign) and 1 / risk > 1", "risk == 5 and 1 / risk > 0"),
        *("risk + 1 > 0 and amount / (risk + 1) > 1", "risk > 0 and (foreign or 1 / risk > 3)"),
    ],
)
def test_a_guarded_division_is_let_in(text: str) -> None:
    condition(text, NAMES)


POLICY = """\
[thresholds]
review = 0.5

[fallback]
invalid = "review"

"""


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('[[block]]\nname = "a"\nwhen = "price > 1"\n', "p.toml:9:9: rule 'a': expected a field of the event"),
        (
            "[[block]]\nname = 'a'\nwhen = '''\namount > 1\n  or price > 1'''\n",
            "p.toml:11:6: rule 'a': expected a field",
        ),
        (
            '[[cap]]\nname = "b"\nof = "count / risk"\nmost = 3\noutcome = "review"\n',
            "p.toml:9:15: cap 'b': expected a div",
        ),
        (
            '[[cap]]\nname = "b"\nof = "foreign"\nmost = 3\noutcome = "review"\n',
            "p.toml:9:7: cap 'b': expected a number",
        ),
        (
            '[[segment]]\nname = "c"\nwhen = "amount"\nthresholds = { review = 0.1 }\n',
            "p.toml:9:9: segment 'c': expected a condition",
        ),
        (
            '[expected_loss]\namount = "score"\n',
            "p.toml:8:11: expected_loss.amount: expected a name that has a value here",
        ),
        (
            '[[block]]\nname = "a"\nwhen = "expected_loss > 1"\n',
            "p.toml:9:9: rule 'a': expected a name that has a value",
        ),
    ],
)
def test_a_wrong_condition_is_found_in_the_file(table: str, message: str) -> None:
    source = read_policy(POLICY + table, "p.toml")
    with pytest.raises(PolicyError, match=f"^{re.escape(message)}"):
        compile_conditions(source, Payment.schema.fields, ("count", "amount"))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('[[block]]\nname = "a"\nwhen = "foreign"\noutcome = "stop"\n', "block[0].outcome: expected"),
        ('[[block]]\nwhen = "foreign"\n', "block[0]: object missing required field `name`"),
        ('[[allow]]\nname = "fallback"\nwhen = "foreign"\n', "allow[0].name: expected a name of its own"),
        (
            '[[allow]]\nname = "a"\nwhen = "foreign"\n[[block]]\nname = "a"\nwhen = "foreign"\n',
            "allow[0].name: expected a name of its own, found 'a' again",
        ),
        (
            '[[segment]]\nname = "c"\nwhen = "foreign"\nthresholds = { decline = 0.4 }\n',
            "segment[0].thresholds.review: expected at most segment[0].thresholds.decline (0.4), found 0.5",
        ),
        (
            '[[segment]]\nname = "c"\nwhen = "foreign"\nthresholds = { on = "expected_loss", review = 4 }\n',
            "segment[0].thresholds.on: expected a table [expected_loss]",
        ),
        (
            '[[cap]]\nname = "b"\nof = "count"\nmost = inf\noutcome = "review"\n',
            "cap[0].most: expected a finite number",
        ),
        ('[expected_loss]\namount = "amount"\nshare = 2\n', "expected_loss.share: expected `float` <= 1.0"),
    ],
)
def test_tables_that_contradict_themselves_are_refused(table: str, message: str) -> None:
    with pytest.raises(PolicyError, match=f"^p.toml: {re.escape(message)}"):
        read_policy(POLICY + table, "p.toml")
