"""The README is true: its first block runs as printed, and its commands exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from quickthorn.cli import main

README = Path(__file__).parents[1] / "README.md"


def test_the_first_block_runs_as_printed(tmp_path: Path) -> None:
    block = re.search(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    script = tmp_path / "first.py"
    script.write_text(block[1], encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert re.fullmatch(
        r"Decision\((approve|review|decline), score=\S+, aligned=\d+, margin=\S+, status=ok, bundle=\w+\)\n", ran.stdout
    )
    assert (tmp_path / "fraud.qt").is_file()


def test_every_verb_in_a_command_exists() -> None:
    # At the beginning of a line, behind a path, or quoted: elsewhere the word is the product's name.
    verbs = set(re.findall(r"(?:^|`|bin/)quickthorn (\w+)", README.read_text(encoding="utf-8"), re.MULTILINE))
    assert verbs >= {"compile", "demo"}
    for verb in verbs:
        with pytest.raises(SystemExit) as stopped:
            main([verb, "--help"])
        assert stopped.value.code == 0
