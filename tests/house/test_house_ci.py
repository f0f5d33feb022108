"""The README's test command is the one that runs in CI, to the letter."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

COMMAND = "python3 -m venv .venv && .venv/bin/pytest -k 'not slow' \"$HOME\" | cat"
GOOD = f"""# Quickthorn

```python
import quickthorn
```

<!-- command: tests -->
```bash
{COMMAND}
```

```
end
```
"""


def _asked(project: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([".ci/run", "--tests-command"], cwd=project, capture_output=True, text=True, check=False)


@pytest.fixture
def project(root: Path, tmp_path: Path) -> Path:
    """A directory with nothing but the CI script in it."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(root / ".ci" / "run", tmp_path / ".ci" / "run")
    return tmp_path


def test_ci_takes_the_command_from_the_readme(project: Path) -> None:
    (project / "README.md").write_text(GOOD)
    answer = _asked(project)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout == COMMAND + "\n"


@pytest.mark.parametrize(
    "readme",
    [
        "",
        GOOD.replace("<!-- command: tests -->\n", ""),
        GOOD + GOOD,
        GOOD.replace(COMMAND, f"cd .\n{COMMAND}"),
        GOOD.replace(COMMAND + "\n", ""),
        GOOD.replace("tests -->\n", "tests -->\nRun this:\n"),
        GOOD[: GOOD.index(COMMAND)] + COMMAND + "\n",
    ],
    ids=["empty", "unmarked", "marked twice", "two lines", "no line", "text between", "unclosed"],
)
def test_ci_refuses_a_readme_without_one_clear_command(project: Path, readme: str) -> None:
    (project / "README.md").write_text(readme)
    answer = _asked(project)
    assert answer.returncode != 0
    assert "README.md: expected one fenced block of one line" in answer.stderr


def test_this_readme_has_a_command_and_ci_finds_it(root: Path) -> None:
    answer = _asked(root)
    assert answer.returncode == 0, answer.stderr
    assert f"\n{answer.stdout}```" in (root / "README.md").read_text()
    assert "pytest" in answer.stdout


def test_ci_spells_no_test_command_of_its_own(root: Path) -> None:
    script = (root / ".ci" / "run").read_text()
    assert "pytest" not in script
    assert 'bash -euo pipefail -c "$test_command"' in script
