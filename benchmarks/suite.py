"""Runs adapters on models: each in a fresh process, all of them in turns, round after round.

What rivals compile is kept from run to run, with the seconds it took; what Quickthorn compiles is compiled again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.rivals import environments
from benchmarks.rivals.adapter import Adapter, ModelFiles, Refused
from benchmarks.rivals.catalogue import slug
from benchmarks.rivals.measuring import Effort
from benchmarks.rivals.native_code import RowTimer

ROOT = Path(__file__).resolve().parents[1]
PREPARE_LIMIT_S, MEASURE_LIMIT_S = 2_400, 300
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

Answers = dict[str, dict[str, Any]]


@dataclass
class Suite:
    """Where things are kept and how adapters are run; `directory` lies outside the repository."""

    directory: Path
    processor: int
    install: bool = True
    prepare_limit_s: int = PREPARE_LIMIT_S
    compile_rivals: bool = True
    _interpreters: dict[str, Path | Refused] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self._tasks, ignore_errors=True)
        self._tasks.mkdir()
        # Built afresh, so that it is this source's.
        RowTimer(self._tasks)

    @property
    def _tasks(self) -> Path:
        return self.directory / "tasks"

    def prepare(
        self, adapters: Sequence[Adapter], models: Sequence[ModelFiles], at_once: int = 1
    ) -> dict[str, Answers]:
        """By adapter and model: compile seconds, artefact bytes, peak memory and version; or why it was refused."""
        pairs = [(adapter, model) for adapter in adapters for model in models if model.library in adapter.libraries]
        for environment in dict.fromkeys(adapter.environment for adapter in adapters):
            with suppress(Refused):
                self._interpreter(environment)
        with ThreadPoolExecutor(max_workers=at_once) as pool:
            answers = list(pool.map(lambda pair: self._prepare_one(*pair), pairs))
        found: dict[str, Answers] = {}
        for (adapter, model), answer in zip(pairs, answers, strict=True):
            found.setdefault(adapter.name, {})[model.name] = answer
        return found

    def measure(
        self,
        adapters: Sequence[Adapter],
        models: Sequence[ModelFiles],
        effort: Effort,
        turn: int,
        together: bool = False,
    ) -> dict[str, Answers]:
        """One round: every adapter on every model it takes, starting with another adapter in every turn.

        With `together`, one process of an adapter measures all models one after the other.
        """
        turned = [*adapters[turn % len(adapters) :], *adapters[: turn % len(adapters)]]
        found: dict[str, Answers] = {}
        for group in [list(models)] if together else [[model] for model in models]:
            for adapter in turned:
                taken = [model for model in group if self._is_prepared(adapter, model)]
                for name, answer in self._run(adapter, "measure", taken, effort).items():
                    found.setdefault(adapter.name, {})[name] = answer
                    _say(f"round {turn + 1}, {name}, {adapter.name}: {_summary(answer)}")
        return found

    def _prepare_one(self, adapter: Adapter, model: ModelFiles) -> dict[str, Any]:
        folder = self._prepared(adapter, model)
        kept = folder / "prepared.json"
        if adapter.recipe and kept.exists():
            return dict(json.loads(kept.read_text()))
        if adapter.recipe and not self.compile_rivals:
            return {"refused": "it was not prepared before this run"}
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        answer = self._run(adapter, "prepare", [model])[model.name]
        _say(f"prepared {model.name}, {adapter.name}: {_summary(answer)}")
        # What is not installed now may be in the next run.
        if "not installed" not in answer:
            kept.write_text(json.dumps(answer))
        return answer

    def _is_prepared(self, adapter: Adapter, model: ModelFiles) -> bool:
        kept = self._prepared(adapter, model) / "prepared.json"
        return kept.exists() and "refused" not in json.loads(kept.read_text())

    def _prepared(self, adapter: Adapter, model: ModelFiles) -> Path:
        settings = adapter.recipe
        if adapter.environment:
            settings += (environments.REQUIREMENTS / f"{adapter.environment}.txt").read_text()
        digest = hashlib.sha256(settings.encode()).hexdigest()[:12]
        return self.directory / "prepared" / f"{slug(adapter.name)}-{digest}" / model.folder.name

    def _interpreter(self, environment: str) -> Path:
        if environment not in self._interpreters:
            try:
                found = environments.interpreter(environment, self.directory / "environments", self.install)
            except Refused as refusal:
                self._interpreters[environment] = refusal
            else:
                self._interpreters[environment] = found
        found_or_refusal = self._interpreters[environment]
        if isinstance(found_or_refusal, Refused):
            raise found_or_refusal
        return found_or_refusal

    def _run(self, adapter: Adapter, step: str, models: Iterable[ModelFiles], effort: Effort | None = None) -> Answers:
        """One process; whatever becomes of it, an answer for every model."""
        models = list(models)
        if not models:
            return {}
        try:
            python = self._interpreter(adapter.environment)
        except Refused as refusal:
            return {model.name: {"refused": str(refusal), "not installed": True} for model in models}
        stem = self._tasks / f"{slug(adapter.name)}-{slug(models[0].name)}-{step}"
        answer = stem.with_suffix(".answer.json")
        answer.unlink(missing_ok=True)
        task = {
            "adapter": adapter.name,
            "step": step,
            "models": {
                model.name: {"model": str(model.folder), "prepared": str(self._prepared(adapter, model))}
                for model in models
            },
            "processors": [self.processor] if step == "measure" else sorted(os.sched_getaffinity(0)),
            "effort": asdict(effort) if effort else None,
            "timer": str(self._tasks),
            "answer": str(answer),
        }
        stem.with_suffix(".json").write_text(json.dumps(task))
        limit_s = self.prepare_limit_s if step == "prepare" else MEASURE_LIMIT_S * len(models)
        command = [str(python), "-m", "benchmarks.rivals.worker", str(stem.with_suffix(".json"))]
        ended = _finish(command, stem.with_suffix(".log"), limit_s)
        if ended is None and answer.exists():
            return dict(json.loads(answer.read_text()))
        return {model.name: {"refused": ended or "it left no answer"} for model in models}


def _finish(command: list[str], log: Path, limit_s: int) -> str | None:
    """Run to the end with its output in a file; None where it went well, else what became of it."""
    with log.open("w") as output:
        # A session of its own: compilers that it started end with it.
        started = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **ONE_THREAD}, stdout=output, stderr=output, start_new_session=True
        )
        try:
            code = started.wait(timeout=limit_s)
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, signal.SIGKILL)
            started.wait()
            return f"it takes longer than {limit_s} s"
        except BaseException:
            os.killpg(started.pid, signal.SIGKILL)
            raise
    if code == 0:
        return None
    last = (log.read_text(errors="replace").strip().splitlines() or ["no word"])[-1][:200]
    if code < 0:
        return f"it ends with {signal.Signals(-code).name} ({last})"
    return f"it ends with exit code {code} ({last})"


def _summary(answer: dict[str, Any]) -> str:
    if "refused" in answer:
        return f"refused: {answer['refused']}"
    if "compile_seconds" in answer:
        return f"{answer['compile_seconds']:.1f} s, {answer['artefact_bytes'] / 1e6:.2f} MB"
    said = [f"hot {answer['hot']['p50']:,.0f} ns"] if "hot" in answer else []
    said += [f"from Python {answer['python']['p50']:,.0f} ns"] if "python" in answer else []
    said += [f"batches {', '.join(f'{taken:,.0f}' for taken in answer['batch'].values())}"] if "batch" in answer else []
    return "; ".join(said)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
