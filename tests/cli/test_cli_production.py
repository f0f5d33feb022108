"""The commands diff, promote, rollback and ledger: a bundle's way into production and back, as CI goes it."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.lifecycle.conftest import Versions, versions

from quickthorn.bundle import read_bundle
from quickthorn.cli import main
from quickthorn.signing import SigningKey, sign_bundle

__all__ = ["versions"]

GATES = "[gates]\nswap_share_most = {most}\naverage_precision_drop_most = 1.0\n"


@pytest.fixture
def desk(versions: Versions, tmp_path: Path) -> Path:
    """A folder with both bundles signed, a key, a trust file, gates and events."""
    key = SigningKey.generate()
    key.write(tmp_path / "ops.pem")
    for name, path in (("champion.qt", versions.champion), ("challenger.qt", versions.challenger)):
        (tmp_path / name).write_bytes(path.read_bytes())
        sign_bundle(tmp_path / name, key, "builder")
    (tmp_path / "trust.toml").write_text(
        'require = ["builder"]\n[[keys]]\nname = "ops"\nroles = ["builder", "promoter"]\n'
        f'public_key = """\n{key.public.pem.decode()}"""\n'
    )
    (tmp_path / "gates.toml").write_text(GATES.format(most=1.0))
    pq.write_table(versions.payments, tmp_path / "events.parquet")
    return tmp_path


def place(desk: Path, *, key: bool = True) -> list[str]:
    given = ["--store", str(desk / "store"), "--environment", "prod", "--trust", str(desk / "trust.toml")]
    return [*given, "--key", str(desk / "ops.pem")] if key else given


def promote(desk: Path, name: str, *more: str) -> int:
    judged = ["--gates", str(desk / "gates.toml"), "--events", str(desk / "events.parquet"), "--label", "fraud"]
    return main(["promote", str(desk / name), *place(desk), *judged, *more])


def test_the_way_into_production_and_back(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ids = [read_bundle(desk / name).bundle_id for name in ("champion.qt", "challenger.qt")]
    assert promote(desk, "champion.qt") == 0
    (desk / "gates.toml").write_text(GATES.format(most=0.0))
    assert promote(desk, "challenger.qt") == 1
    said = capsys.readouterr().out
    assert "outcomes changed: " in said
    assert "DOES NOT HOLD" in said
    assert said.endswith("not promoted\n")
    (desk / "gates.toml").write_text(GATES.format(most=1.0))
    assert promote(desk, "challenger.qt", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["promoted"], found["entry"]["bundle_id"]) == (True, ids[1])
    assert {result["gate"] for result in found["gates"]} == {"swap_share_most", "average_precision_drop_most"}
    assert main(["rollback", *place(desk), "--why", "too many reviews"]) == 0
    assert f"prod 3: rollback bundle {ids[0][:16]}, version 1, by ops" in capsys.readouterr().out
    assert main(["ledger", *place(desk, key=False), "--json"]) == 0
    ledger = json.loads(capsys.readouterr().out)
    assert [entry["bundle_id"] for entry in ledger] == [ids[0], ids[1], ids[0]]
    assert main(["ledger", *place(desk, key=False), "--at", ledger[1]["at"]]) == 0
    assert f"prod 2: promote bundle {ids[1][:16]}, version 2, by ops" in capsys.readouterr().out


def test_what_is_in_place_can_be_fetched_and_what_was(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fetch = ["fetch", *place(desk, key=False), "--output", str(desk / "got.qt")]
    assert main(fetch) == 2
    assert "prod: expected a bundle in place, found none" in capsys.readouterr().err
    for name in ("champion.qt", "challenger.qt"):
        assert promote(desk, name) == 0
    capsys.readouterr()
    assert main([*fetch, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["entry"]["version"] == 2
    assert (desk / "got.qt").read_bytes() == (desk / "challenger.qt").read_bytes()
    assert main(["ledger", *place(desk, key=False), "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)
    assert main([*fetch, "--at", first["at"]]) == 0
    assert "prod 1: promote bundle" in capsys.readouterr().out
    assert (desk / "got.qt").read_bytes() == (desk / "champion.qt").read_bytes()
    # What was called back is not given out any more, and what is there stays.
    trust = (desk / "trust.toml").read_text()
    (desk / "trust.toml").write_text(f'{trust}\n[revoked]\nbundles = ["{second["bundle_id"]}"]\n')
    assert main(fetch) == 1
    assert "is revoked" in capsys.readouterr().err
    assert (desk / "got.qt").read_bytes() == (desk / "champion.qt").read_bytes()
    (desk / "trust.toml").write_text(trust)
    assert main([*fetch[:-1], str(desk / "no" / "got.qt")]) == 2
    assert "expected to write the file, found" in capsys.readouterr().err


def test_diff_names_what_differs(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = [str(desk / "champion.qt"), str(desk / "challenger.qt")]
    assert main(["diff", *both, "--trust", str(desk / "trust.toml")]) == 0
    said = capsys.readouterr().out
    assert "schema: the same" in said
    assert "  + mean" in said
    assert "events" not in said
    assert (
        main(
            ["diff", *both, "--allow-unsigned", "--events", str(desk / "events.parquet"), "--label", "fraud", "--json"]
        )
        == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert found["events"] == 600
    assert found["features"] == ["+ mean"]
    assert main(["diff", *both, "--allow-unsigned", "--events", str(desk / "events.parquet"), "--label", "fraud"]) == 0
    said, shown = capsys.readouterr()
    steps = [line.rpartition("  ")[0].strip() for line in shown.splitlines()]
    assert steps == [
        "read the events",
        "compare what is in the files",
        "decide 600 events with both bundles",
        "compare the values of their features",
    ]
    for part in ("average precision: ", "  feature count has another value in ", "  the same first reason in "):
        assert part in said


def test_a_ledger_that_was_tampered_with_is_told_apart_from_a_wrong_question(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ledger", *place(desk, key=False)]) == 0
    assert "prod: nothing was in place" in capsys.readouterr().out
    promote(desk, "champion.qt")
    (entry,) = (desk / "store" / "ledgers" / "prod").iterdir()
    entry.write_bytes(entry.read_bytes()[:-1])
    capsys.readouterr()
    assert main(["ledger", *place(desk, key=False)]) == 1
    assert "entry 1: expected an envelope" in capsys.readouterr().err
    assert main(["ledger", *place(desk, key=False), "--at", "yesterday"]) == 2
    assert "--at: expected a time such as" in capsys.readouterr().err


def test_what_cannot_be_done_is_one_line(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = [str(desk / "champion.qt"), str(desk / "challenger.qt")]
    (desk / "wrong.toml").write_text("[gates]\nspeed = 1\n")
    for asked, message in (
        (["diff", both[0], str(desk / "none.qt"), "--allow-unsigned"], "expected a readable bundle file"),
        (["diff", *both, "--allow-unsigned", "--events", str(desk / "none.parquet")], "expected readable events"),
        (
            ["diff", *both, "--allow-unsigned", "--events", str(desk / "events.parquet"), "--label", "x"],
            "expected a column 'x'",
        ),
        (["rollback", *place(desk)], "expected a bundle that was in place before the present one"),
        (["promote", both[0], *place(desk), "--gates", str(desk / "wrong.toml")], "unknown field `speed`"),
        (["promote", str(desk / "none.qt"), *place(desk), "--gates", str(desk / "gates.toml")], "readable bundle file"),
    ):
        assert main(asked) == 2
        said = capsys.readouterr()
        assert said.out == ""
        error = said.err.splitlines()[-1]
        assert error.startswith(f"quickthorn {asked[0]}: error: ")
        assert message in error
