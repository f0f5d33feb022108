"""Where the project's own files are, as Git sees them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def root() -> Path:
    """The top-level directory of the project."""
    return Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def files(root: Path) -> tuple[Path, ...]:
    """Every file of the project, relative to its top: what Git tracks, and what is new and not ignored."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        answer = subprocess.run(listing, cwd=root, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("house rules are about the files of a Git checkout, and this is not one")
    names = [Path(name.decode()) for name in answer.stdout.split(b"\0") if name]
    # A file that was deleted but not yet committed is still listed.
    return tuple(sorted({name for name in names if (root / name).is_file()}))
