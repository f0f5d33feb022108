"""Times the feature stage from C++ (native/feature_timer.cpp), and how long feature sets take to compile."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.feature_workload import ENTITIES, EVENTS_PER_KEY, SPAN_US, six_windows, sixty_windowed_and_forty_derived

from quickthorn.bundle import read_bundle
from quickthorn.bundle.manifest import library_member
from quickthorn.compiling import compile_bundle

ROOT = Path(__file__).parents[1]
TARGET = "x86-64-v2"  # features are compiled once, for this level, whatever the processor
# An engine of four entities with 20 events a key takes about this much for each.
BYTES_PER_KEY = 1_100
_UNNEEDED = ("arrow", "batch")  # of the core's sources: what the timer does not read events from


def build_timer(folder: Path, optimised: str) -> Path:
    """Compiles the timer with the core's sources into `folder`."""
    sources = [path for path in (ROOT / "cpp" / "quickthorn").glob("*.cpp") if not path.name.startswith(_UNNEEDED)]
    sources.append(ROOT / "benchmarks" / "native" / "feature_timer.cpp")
    flags = ["-std=c++20", optimised, "-ffp-contract=off", "-I", str(ROOT / "cpp")]

    def compiled(source: Path) -> str:
        target = folder / f"{source.name}.o"
        subprocess.run(["g++", *flags, "-c", str(source), "-o", str(target)], check=True)
        return str(target)

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        objects = list(pool.map(compiled, sources))
    subprocess.run(["g++", *objects, "-ldl", "-o", str(folder / "feature_timer")], check=True)
    return folder / "feature_timer"


def libraries(folder: Path) -> dict[str, Path]:
    """The compiled libraries of both workloads, by name."""
    made = {}
    for name, features in (("latency", sixty_windowed_and_forty_derived()), ("memory", six_windows())):
        compile_bundle(features=features, output=folder / f"{name}.qt", target=TARGET)
        made[name] = folder / f"{name}.so"
        made[name].write_bytes(read_bundle(folder / f"{name}.qt").members[library_member(TARGET)])
    return made


def latency(
    timer: Path, library: Path, live_keys: int, calls: int, swept_calls: int, processor: int, events_per_key: int
) -> dict[str, Any]:
    """Read and update over so many live keys, a quarter of each entity; or why it was not run."""
    free_kib = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemAvailable"))
    wanted, free = live_keys * BYTES_PER_KEY, int(free_kib.split()[1]) * 1024
    if wanted > 0.7 * free:
        return {"skipped": f"takes about {wanted / 2**30:.0f} GiB, and {free / 2**30:.0f} GiB were free"}
    arguments = (ENTITIES, live_keys // ENTITIES, events_per_key, SPAN_US, calls, swept_calls)
    return _timed(timer, library, arguments, processor)


def memory(timer: Path, library: Path, keys: int, processor: int) -> dict[str, Any]:
    """Bytes that the process grows by for each key of one entity, all of an engine's memory included."""
    return _timed(timer, library, (1, keys, EVENTS_PER_KEY, SPAN_US, 256, 0), processor)


def _timed(timer: Path, library: Path, arguments: tuple[int, ...], processor: int) -> dict[str, Any]:
    command = ["taskset", "-c", str(processor), str(timer), str(library), *map(str, arguments)]
    answer: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return answer


_COMPILE = """\
import resource, sys, time
from pathlib import Path
begun = time.perf_counter()
from benchmarks.feature_workload import {declare}
from quickthorn.compiling import compile_bundle
compile_bundle(features={declare}(), output=Path(sys.argv[1]) / "measured.qt", cache=Path(sys.argv[1]) / "cache")
print(time.perf_counter() - begun, time.process_time() + sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2]))
"""


def compile_seconds(declare: str) -> list[dict[str, float]]:
    """Two compilations with one cache, each in a fresh process and with its imports: the first, and from the cache."""
    with tempfile.TemporaryDirectory(prefix="quickthorn-") as folder:
        taken = []
        for _ in range(2):
            command = [sys.executable, "-c", _COMPILE.format(declare=declare), folder]
            ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
            wall, processor = map(float, ran.stdout.split())
            taken.append({"wall_s": wall, "processor_s": processor})
        return taken
