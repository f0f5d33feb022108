"""What coverage-guided fuzzing has found stays refused, and the fuzzer itself runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.bundle.mutations import with_right_digests

from quickthorn.bundle import read_bundle
from quickthorn.errors import BundleError

CORPUS = Path(__file__).parent / "corpus"
ROOT = Path(__file__).parents[2]


def test_everything_in_the_corpus_is_refused() -> None:
    found = sorted(CORPUS.iterdir())
    assert len(found) >= 10
    for file in found:
        content = file.read_bytes()
        for image in (content, with_right_digests(content)):
            with pytest.raises(BundleError):
                read_bundle(image)


def test_the_fuzzer_runs_and_finds_nothing(tmp_path: Path) -> None:
    pytest.importorskip("atheris")
    command = [sys.executable, "-m", "tests.fuzzing.bundle_reader", str(tmp_path), str(CORPUS), "-runs=4000", "-seed=1"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert "Done 4000 runs" in ran.stderr
