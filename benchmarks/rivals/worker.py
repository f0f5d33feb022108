"""One adapter in a process of its own: `python -m benchmarks.rivals.worker TASK` reads a JSON task and answers it.

A task names an adapter, a step ("prepare" or "measure"), and for every model its folder and the adapter's own folder.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any

from benchmarks.rivals.adapter import Adapter, ModelFiles, Refused
from benchmarks.rivals.catalogue import adapter_named
from benchmarks.rivals.measuring import Effort, measure


def main() -> None:
    """Do the task, model by model; what goes wrong with one is its answer."""
    task = json.loads(Path(sys.argv[1]).read_text())
    os.sched_setaffinity(0, task["processors"])
    # Deprecations inside the rivals are not this suite's business.
    warnings.simplefilter("ignore")
    adapter = adapter_named(task["adapter"])
    answers = {}
    try:
        version = adapter.version()
    except Refused as refusal:
        answers = {name: {"refused": str(refusal)} for name in task["models"]}
    else:
        answers = {
            name: _attempt(adapter, task, place) | {"version": version} for name, place in task["models"].items()
        }
    Path(task["answer"]).write_text(json.dumps(answers))


def _attempt(adapter: Adapter, task: dict[str, Any], place: dict[str, str]) -> dict[str, Any]:
    step = {"prepare": _prepare, "measure": _measure}[task["step"]]
    try:
        return step(adapter, task, ModelFiles.read(Path(place["model"])), Path(place["prepared"]))
    except Refused as refusal:
        return {"refused": str(refusal)}
    except MemoryError:
        return {"refused": "it runs out of memory"}
    except Exception as error:  # whatever a rival raises is what the table says of it
        traceback.print_exc()
        return {"refused": f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"[:200]}


def _prepare(adapter: Adapter, task: dict[str, Any], model: ModelFiles, folder: Path) -> dict[str, Any]:
    limit = getattr(adapter, "memory_limit_bytes", None)
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    begun = _processor_seconds()
    files = adapter.prepare(model, folder)
    seconds = _processor_seconds() - begun
    return {
        "compile_seconds": seconds,
        "artefact_bytes": sum(file.stat().st_size for file in files),
        "peak_memory_bytes": _peak_memory_bytes(),
        "recipe": adapter.recipe,
    }


def _processor_seconds() -> float:
    """Of this process and the compilers it started: other users of the machine do not count."""
    return sum(os.times()[:4])


def _peak_memory_bytes() -> int:
    """Of this process or of the largest compiler it started."""
    # Not getrusage of this process: that counts what its parent held when it was started.
    own = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return max(int(own.split()[1]), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) << 10


def _measure(adapter: Adapter, task: dict[str, Any], model: ModelFiles, folder: Path) -> dict[str, Any]:
    return measure(adapter, model, folder, Effort(**task["effort"]), Path(task["timer"]))


if __name__ == "__main__":
    main()
