"""What the benchmarks share: the compiled workload, and a table of percentiles at the end of a run."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import xgboost
from benchmarks.machine import processor
from benchmarks.workload import workload_bundle

# What is measured is compiled by the code that is there.
os.environ["QUICKTHORN_CACHE"] = "off"

RESULTS: list[tuple[str, int, npt.NDArray[np.float64]]] = []
FIGURES: list[str] = []


@pytest.fixture(scope="session")
def workload(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, xgboost.Booster]:
    """The workload's bundle file and the model in it."""
    return workload_bundle(tmp_path_factory.mktemp("workload"))


@pytest.fixture
def latencies() -> Callable[[str, Any], None]:
    """Keeps single-call latencies (nanoseconds) under a name, for the table at the end."""

    def keep(name: str, latency_ns: Any) -> None:
        RESULTS.append((name, len(latency_ns), np.asarray(latency_ns, dtype=np.float64)))

    return keep


@pytest.fixture
def figure() -> Callable[[str], None]:
    """Keeps one line for the table at the end."""
    return FIGURES.append


def measuring(config: pytest.Config) -> bool:
    """Whether this run measures, or only checks that the benchmarks work."""
    return not config.getoption("benchmark_disable") or bool(config.getoption("benchmark_enable"))


@pytest.fixture
def events_count(request: pytest.FixtureRequest) -> int:
    """How many single events to time: many when measuring, few when smoke-testing."""
    return 200_000 if measuring(request.config) else 2_000


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print percentiles, ratios, versions and machine, when measuring."""
    if not measuring(config) or not (RESULTS or FIGURES):
        return
    write = terminalreporter.write_line
    terminalreporter.section("latency of single calls, microseconds")
    write(f"{'what':<52}{'calls':>9}{'p50':>10}{'p99':>10}{'p99.9':>10}")
    for name, calls, latency_ns in RESULTS:
        p50, p99, p999 = np.percentile(latency_ns, [50, 99, 99.9]) / 1e3
        write(f"{name:<52}{calls:>9,}{p50:>10.2f}{p99:>10.2f}{p999:>10.2f}")
    for line in FIGURES:
        write(line)
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("quickthorn", "numpy", "xgboost", "numba"))
    write(f"{versions}, Python {platform.python_version()}")
    write(f"{processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}")
