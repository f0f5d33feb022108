"""The example of a model's repository runs as its README says, from training to production."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import quickthorn as qt
from quickthorn.cli import main

EXAMPLE = Path(__file__).parents[1] / "examples" / "model-repository"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A copy that compiles for one CPU level only, which is all that a machine needs of itself."""
    copy = tmp_path / "repository"
    # What running the example by hand leaves is no part of it.
    shutil.copytree(EXAMPLE, copy, ignore=shutil.ignore_patterns("build", "keys", "store", "trust.toml", "__pycache__"))
    project = copy / "quickthorn.toml"
    project.write_text(f'{project.read_text()}target = "x86-64-v2"\n')
    return copy


def run(repository: Path, *command: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
    environment |= {
        "PATH": f"{Path(sys.executable).parent}:{environment['PATH']}",
        "QUICKTHORN_CACHE": str(repository / "cache"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    ran = subprocess.run(
        command, cwd=repository, capture_output=True, text=True, timeout=300, check=False, env=environment
    )
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"
    return ran.stdout


def change(file: Path, old: str, new: str) -> None:
    """As a commit makes it."""
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_it_takes_a_change_from_training_to_production(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(repository, "./new_keys.sh")
    run(repository, "python", "train.py")
    # The champion, by the steps of ci.sh that make one; in this process, where what they import is there already.
    monkeypatch.chdir(repository)
    monkeypatch.setenv("QUICKTHORN_CACHE", str(repository / "cache"))
    place = ["--store", "store", "--environment", "prod", "--trust", "trust.toml"]
    judged = ["--events", "build/holdout.parquet", "--label", "fraud"]
    assert main(["compile"]) == 0
    assert main(["sign", "build/fraud.qt", "--key", "keys/builder.pem", "--role", "builder"]) == 0
    promoted = ["promote", "build/fraud.qt", *place, "--key", "keys/promoter.pem", "--gates", "gates.toml", *judged]
    assert main(promoted) == 0

    change(repository / "quickthorn.toml", "version = 1", "version = 2")
    change(repository / "policy.toml", "review = 0.10", "review = 0.05")
    said = run(repository, "./ci.sh")
    assert "margins, to the bit: 0 rows differ" in said
    assert "4 passed" in said
    assert "  + review = 0.05\n" in said
    assert "  approve → review" in said
    gates = [line for line in said.splitlines() if line.startswith("gate ")]
    assert len(gates) == 6
    assert all(line.endswith(": holds") for line in gates)
    capsys.readouterr()
    assert main(["ledger", *place, "--json"]) == 0
    ledger = json.loads(capsys.readouterr().out)
    assert [(entry["action"], entry["version"]) for entry in ledger] == [("promote", 1), ("promote", 2)]
    assert qt.Engine.load(repository / "build" / "champion.qt", trust=repository / "trust.toml").manifest.version == 1


def test_its_workflow_runs_the_same_script() -> None:
    assert "      - run: ./ci.sh\n" in (EXAMPLE / ".github" / "workflows" / "model.yml").read_text()
