"""The example of a model's repository runs as its README says, from training to production, twice."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import quickthorn as qt

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


def test_it_goes_from_training_to_production_and_takes_a_change_there(repository: Path) -> None:
    run(repository, "./new_keys.sh")
    first = run(repository, "./ci.sh")
    assert "margins, to the bit: 0 rows differ" in first
    assert "4 passed" in first
    assert "compare it with what is in production" not in first
    assert "prod 1: promote bundle" in first

    # A change, as a commit makes it.
    for name, old, new in (
        ("quickthorn.toml", "version = 1", "version = 2"),
        ("policy.toml", "review = 0.10", "review = 0.05"),
    ):
        text = (repository / name).read_text()
        assert old in text
        (repository / name).write_text(text.replace(old, new))
    second = run(repository, "./ci.sh")
    assert "  + review = 0.05\n" in second
    assert "  approve → review" in second
    gates = [line for line in second.splitlines() if line.startswith("gate ")]
    assert len(gates) == 6
    assert all(line.endswith(": holds") for line in gates)
    place = ("--store", "store", "--environment", "prod", "--trust", "trust.toml")
    ledger = json.loads(run(repository, "quickthorn", "ledger", *place, "--json"))
    assert [(entry["action"], entry["version"]) for entry in ledger] == [("promote", 1), ("promote", 2)]
    assert qt.Engine.load(repository / "build" / "champion.qt", trust=repository / "trust.toml").manifest.version == 1


def test_its_workflow_runs_the_same_script() -> None:
    assert "      - run: ./ci.sh\n" in (EXAMPLE / ".github" / "workflows" / "model.yml").read_text()
