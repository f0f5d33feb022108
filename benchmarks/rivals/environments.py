"""A rival's own virtual environment, made when it is first needed from the versions in requirements/."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.rivals.adapter import Refused

REQUIREMENTS = Path(__file__).parent / "requirements"
INSTALL_LIMIT_S = 900


def interpreter(environment: str, directory: Path, install: bool) -> Path:
    """The Python that has the packages of requirements/`environment`.txt, this one for "".

    Refused where they cannot be installed, or are not there and `install` is false.
    """
    if not environment:
        return Path(sys.executable)
    requirements = REQUIREMENTS / f"{environment}.txt"
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]
    folder = directory / f"{environment}-{digest}"
    python = folder / "bin" / "python"
    if (folder / "complete").exists():
        return python
    if not install:
        raise Refused("its own environment is not installed in this run")
    shutil.rmtree(folder, ignore_errors=True)
    for command in (
        [sys.executable, "-m", "venv", str(folder)],
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(requirements)],
    ):
        try:
            ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=INSTALL_LIMIT_S)
        except subprocess.TimeoutExpired:
            raise Refused(f"its packages took longer than {INSTALL_LIMIT_S} s to install") from None
        if ran.returncode != 0:
            errors = [line for line in ran.stderr.splitlines() if line.startswith("ERROR")]
            raise Refused(f"it cannot be installed: {(errors or ran.stderr.splitlines() or ['no reason given'])[0]}")
    (folder / "complete").touch()
    return python
