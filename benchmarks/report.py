"""Measures Quickthorn's forest beside its rivals and writes benchmarks/README.md and the curve's picture.

    python -m benchmarks.report                 models, compiling, three rounds, the curve; then the page
    python -m benchmarks.report --prepare       models and compiling only, for a run that measures at a quieter time
    python -m benchmarks.report --prepared-only the same measurements, of the rivals that are ready
    python -m benchmarks.report --render        the page again, from the last run's results
    python -m benchmarks.report --small --page FOLDER   the same in a minute with small models, to see that it works

Models, what rivals compile, their virtual environments and the results (results.json) are kept in a directory outside
the repository. The first run takes about an hour longer than later ones: it trains models and compiles for rivals.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import curve, models
from benchmarks.machine import machine
from benchmarks.page import COMMAND, render
from benchmarks.picture import draw
from benchmarks.rivals.adapter import Adapter, ModelFiles
from benchmarks.rivals.catalogue import adapters, is_ours
from benchmarks.rivals.measuring import Effort
from benchmarks.suite import PREPARE_LIMIT_S, ROOT, Answers, Suite

FULL = Effort(hot_s=0.4, cold_rows=200, python_s=0.4, batch_s=0.25, checked_rows=2_000)
SMALL = Effort(hot_s=0.01, cold_rows=3, python_s=0.01, batch_s=0.01, checked_rows=models.SMALL_TEST_ROWS)
ROUNDS, CURVE_ROUNDS = 3, 2
CURVE_RIVAL = "XGBoost"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what the command line asks for."""
    chosen = _arguments(arguments)
    results = chosen.directory / ("results-small.json" if chosen.small else "results.json")
    if not chosen.render:
        chosen.directory.mkdir(parents=True, exist_ok=True)
        with (chosen.directory / "lock").open("w") as lock:
            # Two runs would compile into each other's folders.
            fcntl.flock(lock, fcntl.LOCK_EX)
            if chosen.prepare:
                prepare(chosen)
                return
            run(chosen, results)
        print(f"results: {results}")
    if chosen.small and chosen.page == ROOT / "benchmarks":
        return
    write_page(json.loads(results.read_text()), chosen.page)


def write_page(document: dict[str, Any], folder: Path) -> None:
    """README.md and the curve's picture from a run's results."""
    folder.mkdir(parents=True, exist_ok=True)
    picture = "curve.png" if document["curve"] else None
    if picture:
        draw(document["curve"], folder / picture)
    (folder / "README.md").write_text(render(document, picture))


def run(chosen: argparse.Namespace, results: Path) -> None:
    """Measure everything; what the page is rendered from is written into `results` after every model."""
    suite = _suite(chosen)
    taken, made = _taken(chosen), _made(chosen)
    effort = SMALL if chosen.small else FULL
    document: dict[str, Any] = {
        "command": COMMAND,
        "commit": commit(),
        "when": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "remark": chosen.remark,
        "machine": machine(),
        "settings": {
            "processor": chosen.processor,
            "cold_rows": effort.cold_rows,
            "prepare_limit_s": chosen.prepare_limit_s,
            "rows": made[0].card["test_rows"],
        },
        "models": {model.name: model.card for model in made},
        "reads": {adapter.name: adapter.libraries for adapter in taken},
        "tolerances": {adapter.name: adapter.tolerance for adapter in taken},
        "curve": [] if chosen.no_curve else _curve(suite, taken, chosen),
        "prepared": suite.prepare(taken, made, at_once=2 if chosen.small else 1),
        "rounds": [],
    }
    for turn in range(1 if chosen.small else chosen.rounds):
        found: dict[str, Answers] = {}
        document["rounds"].append(found)
        for model in made:
            for name, answers in suite.measure(taken, [model], effort, turn).items():
                found.setdefault(name, {}).update(answers)
            results.write_text(json.dumps(document))


def prepare(chosen: argparse.Namespace) -> None:
    """Make the models and what rivals serve from, one process at a time; what is there already is left alone."""
    suite = _suite(chosen)
    rivals = [adapter for adapter in _taken(chosen) if not is_ours(adapter.name)]
    for model in _made(chosen):
        suite.prepare(rivals, [model])
    if not chosen.no_curve:
        made = [curve.make(point, chosen.directory / "curve") for point in curve.points(chosen.small)]
        suite.prepare([adapter for adapter in rivals if adapter.name == CURVE_RIVAL], made)


def _suite(chosen: argparse.Namespace) -> Suite:
    return Suite(
        chosen.directory,
        chosen.processor,
        install=not chosen.small,
        prepare_limit_s=chosen.prepare_limit_s,
        compile_rivals=not chosen.prepared_only,
    )


def _taken(chosen: argparse.Namespace) -> list[Adapter]:
    names = chosen.adapters or [adapter.name for adapter in (small_adapters() if chosen.small else adapters())]
    return [adapter for adapter in adapters() if adapter.name in names]


def _made(chosen: argparse.Namespace) -> list[ModelFiles]:
    recipes = [models.small(recipe) if chosen.small else recipe for recipe in models.RECIPES]
    named = chosen.models or (models.SMALL_NAMES if chosen.small else [recipe.name for recipe in recipes])
    return [models.make(recipe, chosen.directory / "models") for recipe in recipes if recipe.name in named]


def small_adapters() -> tuple[Adapter, ...]:
    """All rivals, and of ours the first level: compiling every level takes the most of a small run."""
    ours = [adapter for adapter in adapters() if is_ours(adapter.name)]
    return (ours[0], *(adapter for adapter in adapters() if not is_ours(adapter.name)))


def _curve(suite: Suite, taken: Sequence[Adapter], chosen: argparse.Namespace) -> list[dict[str, Any]]:
    """For every point of the curve, each evaluator's hot p50, the lower of its rounds."""
    drawn = [adapter for adapter in taken if is_ours(adapter.name) or adapter.name == CURVE_RIVAL]
    points = curve.points(chosen.small)
    made = [curve.make(point, chosen.directory / "curve") for point in points]
    suite.prepare(drawn, made, at_once=2)
    hot_s = SMALL.hot_s if chosen.small else 0.1
    effort = Effort(hot_s=hot_s, cold_rows=0, python_s=0, batch_s=0, checked_rows=100, hot_rows_least=100)
    rounds = [
        suite.measure(drawn, made, effort, turn, together=True) for turn in range(1 if chosen.small else CURVE_ROUNDS)
    ]
    return [
        {
            "line": point.line,
            "value": point.value,
            "hot_ns": {adapter.name: _lowest(rounds, adapter, model) for adapter in drawn},
        }
        for point, model in zip(points, made, strict=True)
    ]


def _lowest(rounds: list[dict[str, Answers]], adapter: Adapter, model: ModelFiles) -> float | None:
    """Of few rounds the lower figure: a cliff is in all of them, a disturbance is not."""
    answers = [each.get(adapter.name, {}).get(model.name, {}) for each in rounds]
    return min((answer["hot"]["p50"] for answer in answers if "hot" in answer), default=None)


def commit() -> str:
    """The commit that is measured, and whether it is all there is."""

    def git(*words: str) -> str:
        ran = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
        return ran.stdout.strip()

    changed = " with uncommitted changes" if git("status", "--porcelain", "--", "engine", "cpp", "benchmarks") else ""
    return (git("rev-parse", "--short", "HEAD") or "unknown") + changed


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    parser.add_argument("--directory", type=Path, default=cache / "quickthorn-benchmarks", help="where things are kept")
    parser.add_argument("--page", type=Path, default=ROOT / "benchmarks", help="the folder that README.md goes to")
    parser.add_argument("--render", action="store_true", help="measure nothing; render the last results")
    parser.add_argument("--prepare", action="store_true", help="make models and what rivals compile; measure nothing")
    parser.add_argument("--prepared-only", action="store_true", help="leave out rivals that --prepare has not got to")
    parser.add_argument("--prepare-limit-s", type=int, default=PREPARE_LIMIT_S, help="for one rival and one model")
    parser.add_argument("--small", action="store_true", help="small models, one round, nothing installed")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--processor", type=int, default=max(os.sched_getaffinity(0)), help="where to measure")
    parser.add_argument("--models", nargs="+", metavar="NAME", help="only these of M1 to M6")
    parser.add_argument("--adapters", nargs="+", metavar="NAME", help="only these")
    parser.add_argument("--no-curve", action="store_true")
    parser.add_argument("--remark", default="", help="a sentence for the page, such as who else used the machine")
    chosen = parser.parse_args(arguments)
    chosen.directory = chosen.directory.resolve()
    if chosen.directory.is_relative_to(ROOT):
        parser.error(f"--directory: expected a place outside the repository, found {chosen.directory}")
    return chosen


if __name__ == "__main__":
    main()
