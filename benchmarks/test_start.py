"""Starting up: import and load in a fresh interpreter."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xgboost

START = """
import json, sys, time
begun = time.perf_counter()
import quickthorn
imported = time.perf_counter()
engine = quickthorn.Engine.load(sys.argv[1], allow_unsigned=True)
loaded = time.perf_counter()
print(json.dumps([imported - begun, loaded - imported, len(engine.manifest.features)]))
"""


def test_import_and_load(benchmark: Any, workload: tuple[Path, xgboost.Booster], figure: Callable[[str], None]) -> None:
    def start() -> list[float]:
        ran = subprocess.run(
            [sys.executable, "-c", START, str(workload[0])], capture_output=True, text=True, check=True, timeout=60
        )
        answer: list[float] = json.loads(ran.stdout)
        return answer

    assert start()[2] == 14
    benchmark.pedantic(start, rounds=5)
    imported, loaded, _ = np.median([start() for _ in range(5)], axis=0) * 1e3
    figure(f"fresh interpreter: import {imported:.0f} ms, load and verify {loaded:.1f} ms")
