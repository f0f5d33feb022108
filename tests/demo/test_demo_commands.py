"""`quickthorn simulate` and `quickthorn demo` as commands: what they write, and how they refuse."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from quickthorn.cli import demo as demo_command
from quickthorn.cli import simulate as simulate_command
from quickthorn.errors import MissingExtraError
from quickthorn.extras import require


def run(*words: str) -> int:
    parser = argparse.ArgumentParser(prog="quickthorn")
    subparsers = parser.add_subparsers(required=True)
    simulate_command.add_parser(subparsers)
    demo_command.add_parser(subparsers)
    args = parser.parse_args(words)
    code: int = args.run(args)
    return code


def small(output: Path) -> list[str]:
    return ["simulate", "--days", "20", "--customers", "300", "--terminals", "40", "--seed", "5", "-o", str(output)]


def test_simulate_writes_the_stream_and_says_what_is_in_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "events.parquet"
    assert run(*small(output)) == 0
    shown = capsys.readouterr().out
    written = pq.read_table(output)
    assert f"{len(written):,} payments" in shown
    assert f"{pc.sum(written['fraud']).as_py():,} (" in shown
    assert "2025-01-01T" in shown
    assert "2025-01-20T" in shown
    for scenario in ("compromised_terminal", "stolen_card", "card_testing", "account_takeover"):
        frauds = pc.sum(pc.equal(written["scenario"], scenario)).as_py()
        assert any(line.split() == [scenario, f"{frauds:,}"] for line in shown.splitlines()), scenario
    assert [path.name for path in tmp_path.iterdir()] == ["events.parquet"]


def test_simulate_writes_the_same_file_again(tmp_path: Path) -> None:
    run(*small(tmp_path / "a.parquet"))
    run(*small(tmp_path / "b.parquet"))
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_simulate_survives_a_stream_without_payments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Some seed has its one customer pay nothing on the one day.
    for seed in range(50):
        output = tmp_path / "events.parquet"
        words = ["--days", "1", "--customers", "1", "--terminals", "2", "--seed", str(seed), "-o", str(output)]
        assert run("simulate", *words) == 0
        if not pq.read_table(output).num_rows:
            break
    else:
        pytest.fail("no seed gave an empty stream")
    assert ": 0 payments" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--days", "0"], "days: expected at least 1, got 0"),
        (["--customers", "-1"], "customers: expected at least 1, got -1"),
        (["--terminals", "1"], "terminals: expected at least 2 (one shop and one online merchant), got 1"),
        (["--seed", "-1"], "seed: expected 0 or more, got -1"),
        (["-o", "events.csv"], "output: expected a file name ending in .parquet, got 'events.csv'"),
        (["-o", "nowhere/events.parquet"], "output: expected an existing directory, got 'nowhere'"),
        (["-o", "folder.parquet"], "output: expected a file, got the directory 'folder.parquet'"),
    ],
)
def test_simulate_refuses_in_one_line(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.parquet").mkdir()
    assert run("simulate", *words) == 2
    assert capsys.readouterr() == ("", f"quickthorn simulate: error: {message}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["folder.parquet"]


def test_simulate_reports_a_disk_that_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full_disk(table: object, path: Path, **options: object) -> None:
        path.write_bytes(b"half a file")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full_disk)
    assert run(*small(tmp_path / "events.parquet")) == 2
    error = capsys.readouterr().err
    assert error.endswith("No space left on device\n")
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_word_that_is_no_number_is_refused_by_the_parser(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        run("simulate", "--days", "soon")
    assert exit_.value.code == 2
    assert "argument --days: invalid int value: 'soon'" in capsys.readouterr().err


def test_help_names_the_scenarios_and_the_truth_columns(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run("simulate", "--help")
    shown = " ".join(capsys.readouterr().out.split())
    for expected in ("compromised terminals", "card testing", "label_available_at", "--seed", "Parquet file to write"):
        assert expected in shown


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xgboost", None)
    with pytest.raises(MissingExtraError, match=r"training needs the package 'xgboost'.*quickthorn\[demo\]"):
        require("xgboost", "demo", "training")


def test_a_package_broken_inside_keeps_its_own_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_inside.py").write_text("import surely_not_there\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="surely_not_there") as raised:
        require("broken_inside", "demo", "testing")
    assert not isinstance(raised.value, MissingExtraError)
