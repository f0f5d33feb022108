"""`quickthorn policy check`: what never fires, what overlaps, what is left out, and what cannot be decided."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

import quickthorn as qt
from quickthorn.cli import main
from quickthorn.decision.checking import Names, condition
from quickthorn.decision.compiled import compile_conditions
from quickthorn.decision.expression import EventField
from quickthorn.decision.policy_file import read_policy
from quickthorn.decision.regions import Box, Interval, boxes_of
from quickthorn.decision.review import review
from quickthorn.reference.conditions import holds


class Payment(qt.Event):
    event_id: qt.Id
    at: qt.EventTime
    customer: qt.Entity
    amount: qt.Money
    risk: qt.Number | None = None
    foreign: qt.Boolean | None = None
    country: qt.Category | None = None


FEATURES = ("count",)
HEAD = '[thresholds]\nstep_up = 0.2\nreview = 0.5\ndecline = 0.8\n[fallback]\ninvalid = "review"\n'


def rules(*conditions: str) -> str:
    """Block rules a, b, c… of these conditions, those that begin with + allow."""
    tables = []
    for name, when in zip("abcdef", conditions, strict=False):
        kind = "allow" if when.startswith("+") else "block"
        tables.append(f"[[{kind}]]\nname = '{name}'\nwhen = '''{when.lstrip('+')}'''\n")
    return HEAD + "".join(tables)


def found(text: str) -> list[tuple[str, str]]:
    source = read_policy(text)
    conditions = compile_conditions(source, Payment.schema.fields, FEATURES)
    return [(finding.kind, finding.where) for finding in review(source.policy, conditions)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (rules("amount > 5 and amount < 3"), [("never fires", "rule 'a'")]),
        (rules("amount > 5 and amount <= 5"), [("never fires", "rule 'a'")]),
        (rules('country == "NL" and country in ("BE", "DE")'), [("never fires", "rule 'a'")]),
        (rules("foreign and foreign is missing"), [("never fires", "rule 'a'")]),
        (rules("foreign and not foreign"), [("never fires", "rule 'a'")]),
        (rules("risk is missing and not (risk > 3) and risk < 9"), [("never fires", "rule 'a'")]),
        (rules("aligned_score > 999"), [("never fires", "rule 'a'")]),
        (rules("amount >= 5", "amount > 7 and foreign"), [("never fires", "rule 'b'")]),
        (rules('country in ("NL", "BE")', 'country == "BE"'), [("never fires", "rule 'b'")]),
        (rules("amount > 7 and foreign", "amount >= 5"), []),
        (rules("amount > 7", "+country == 'NL'"), [("overlap", "rule 'a'")]),
        (rules("amount > 7", "+amount <= 7"), []),
        (rules("amount < 5", "amount >= 7"), [("gap", "rule 'a'")]),
        (rules("amount < 5", "amount > 5"), [("gap", "rule 'a'")]),
        (rules("amount < 5", "amount >= 5"), []),
        (rules("amount + risk > 3"), [("undecided", "rule 'a'")]),
        (rules("amount > risk and amount < 3 and amount > 4"), [("never fires", "rule 'a'")]),
        (rules("not (risk > 3)", "risk is missing"), [("never fires", "rule 'b'")]),
        (HEAD.replace("0.5", "0.8"), [("never given", "thresholds")]),
        (HEAD.replace("step_up = 0.2\n", ""), []),
        ('outcomes = ["approve", "call", "review", "decline"]\n' + HEAD.replace("step_up", "call"), []),
        (
            'outcomes = ["approve", "call", "review", "decline"]\n' + HEAD.replace("step_up = 0.2\n", ""),
            [("never given", "outcomes")],
        ),
        (HEAD, []),
    ],
)
def test_what_is_said_of_a_policy(text: str, expected: list[tuple[str, str]]) -> None:
    assert found(text) == expected


@pytest.mark.parametrize("seed", range(40))
def test_no_event_is_outside_the_boxes_of_a_condition_that_holds_for_it(seed: int) -> None:
    draw = random.Random(seed)
    names = Names.of(Payment.schema.fields, FEATURES)
    atoms = [
        *(
            "amount > 3",
            "amount <= 2",
            "risk == 1",
            "risk != 2",
            "risk in (0, 2)",
            "count >= 1",
            "2 > count",
            "foreign",
        ),
        *('country == "NL"', 'country != "BE"', 'country in ("NL", "DE")', "risk is missing", "foreign == false"),
    ]

    def made(depth: int) -> str:
        if depth == 0:
            return draw.choice(atoms)
        return draw.choice(["({} and {})", "({} or {})", "not {}"]).format(made(depth - 1), made(depth - 1))

    text = made(3)
    read = condition(text, names)
    boxes = boxes_of(read)
    for _ in range(60):
        row = {
            "event_id": "1", "at": 0, "customer": "c", "amount": draw.randrange(5) * 100,
            "risk": draw.choice([None, 0.0, 1.0, 2.0]), "foreign": draw.choice([None, True, False]),
            "country": draw.choice([None, "NL", "BE", "DE"]),
        }  # fmt: skip
        if holds(read, row, [float(draw.randrange(4))], {}):
            assert any(contains(box, row) for box in boxes), text


def contains(box: Box, row: dict[str, Any]) -> bool:
    """Whether the box lets in the row, as far as it bounds fields of the event."""
    for term, values in box.bounds:
        if not isinstance(term, EventField):
            continue
        value = row[term.name]
        if value is None:
            inside = values.missing
        elif isinstance(value, str):
            inside = values.present and (value in values.texts) is not values.texts_left_out
        else:
            number = value / 100 if term.kind == "money" else float(value)
            inside = values.present and not values.interval.within(Interval(number, number)).empty
        if not inside:
            return False
    return True


def test_the_command_says_what_it_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy, features = tmp_path / "policy.toml", tmp_path / "features.py"
    features.write_text(
        "import quickthorn as qt\n\n\nclass Payment(qt.Event):\n    event_id: qt.Id\n    at: qt.EventTime\n"
        "    amount: qt.Money\n\n\nfeatures = qt.FeatureSet(Payment)\nfeatures['amount'] = Payment.amount\n"
    )
    policy.write_text(rules("amount > 5 and amount < 3"))
    arguments = ["policy", "check", str(policy)]
    assert main([*arguments, "--features", f"{features}:features"]) == 1
    assert "never fires: rule 'a': its condition contradicts itself" in capsys.readouterr().out
    assert main([*arguments, "--features", f"{features}:features", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert [finding["kind"] for finding in told["findings"]] == ["never fires"]
    assert main(arguments) == 0
    assert "conditions were not looked into" in capsys.readouterr().out
    policy.write_text(rules("price > 5"))
    assert main([*arguments, "--features", f"{features}:features"]) == 2
    assert f"error: {policy}:9:11: rule 'a': expected a field" in capsys.readouterr().err
    assert main(["policy", "check", str(tmp_path / "none.toml"), "--json"]) == 2
    assert "expected a readable policy file" in json.loads(capsys.readouterr().out)["error"]
