"""The whole product over one simulated stream: simulate, replay, train, calibrate, compile, decide live, report."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from quickthorn.calibration import Calibration
from quickthorn.compiling import compile_bundle
from quickthorn.demo.features import demo_features
from quickthorn.demo.live import LiveDecisions, decide_live, warm_windows
from quickthorn.demo.measures import Thresholds, choose_thresholds
from quickthorn.demo.payments import DAY_US, START_US
from quickthorn.demo.picture import draw_picture
from quickthorn.demo.progress import Steps, steps_on
from quickthorn.demo.reasons import demo_reasons
from quickthorn.demo.results import DemoResults, LiveTruth, live_results
from quickthorn.demo.stream import EVENT_COLUMNS, check_sizes, simulate, write_stream
from quickthorn.demo.training import (
    ALERT_RATE,
    DECLINE_PRECISION,
    Timeline,
    calibrated_scores,
    feature_matrix,
    fit_calibration,
    fit_model,
    known_labels,
    model_margins,
    plan_timeline,
    rows_between,
    stretch_between,
    write_policy,
)
from quickthorn.errors import SimulationError
from quickthorn.extras import require
from quickthorn.replay import replay
from quickthorn.serving import Engine

if TYPE_CHECKING:
    import pyarrow as pa
    from rich.console import Console


@dataclass(frozen=True)
class _Labelled:
    fit: slice
    fit_fraud: npt.NDArray[np.bool_]
    validation: slice
    validation_fraud: npt.NDArray[np.bool_]

    def counts(self) -> dict[str, int]:
        return {
            "fit": len(self.fit_fraud),
            "fit_frauds": int(self.fit_fraud.sum()),
            "validation": len(self.validation_fraud),
        }


@dataclass(frozen=True)
class _Trained:
    model: Any
    calibration: Calibration
    thresholds: Thresholds


def run_demo(
    directory: Path,
    *,
    seed: int = 7,
    days: int = 120,
    customers: int = 2_000,
    terminals: int = 400,
    trees: int = 150,
    console: Console | None = None,
) -> DemoResults:
    """Run the demo, with progress bars on `console` (standard output), and leave in `directory` what it made.

    Writes events.parquet, model.ubj, calibration.json, policy.toml, fraud.qt, demo.json and demo.png, replacing those
    of an earlier run. `directory` is created where it is missing. Raises SimulationError for sizes too small to train
    on or a directory that cannot be written, MissingExtraError where a package of the `demo` extra is not installed.
    """
    check_sizes(days, customers, terminals, seed)
    timeline = plan_timeline(days)
    _prepare(directory, trees)
    features = demo_features()
    with steps_on(console) as steps:
        with steps.step("simulate", "Simulating payments"):
            events = simulate(days, customers, terminals, seed)
            write_stream(events, directory / "events.parquet")
        labelled = _labelled(events, timeline)
        with steps.step("replay", f"Replaying {events.num_rows:,} payments", total=events.num_rows) as advance:
            replayed = replay(features, events.select(EVENT_COLUMNS), advance=advance)
        trained = _train(labelled, replayed, features.names, trees, seed, steps)
        trained.model.save_model(directory / "model.ubj")
        trained.calibration.save(directory / "calibration.json")
        write_policy(trained.thresholds, directory / "policy.toml")
        bundle = directory / "fraud.qt"
        with steps.step("compile", "Compiling the bundle"):
            compile_bundle(
                features=features,
                model=trained.model,
                calibration=trained.calibration,
                policy=directory / "policy.toml",
                reasons=demo_reasons(),
                output=bundle,
            )
        decisions = _serve(bundle, events, timeline, steps)

    live_rows = rows_between(events, timeline.live_day, timeline.end_day)
    truth = LiveTruth.of(stretch_between(events, timeline.live_day, timeline.end_day))
    margins = model_margins(trained.model, feature_matrix(replayed, features.names, live_rows), features.names)
    replayed_scores = calibrated_scores(trained.calibration, margins)
    results = DemoResults(
        settings={"days": days, "customers": customers, "terminals": terminals, "seed": seed, "trees": trees},
        rows={"stream": events.num_rows, **labelled.counts(), "live": len(truth.fraud)},
        live=live_results(decisions, truth, trained.thresholds),
        largest_score_difference=float(np.abs(decisions.scores - replayed_scores).max()),
        bundle_bytes=bundle.stat().st_size,
        seconds=steps.seconds,
        environment=_environment(),
    )
    (directory / "demo.json").write_text(json.dumps(results.as_json(), indent=2) + "\n", encoding="utf-8")
    draw_picture(results.live, decisions, truth.fraud, directory / "demo.png")
    return results


def _prepare(directory: Path, trees: int) -> None:
    """Find out what is missing before the work rather than after it."""
    if trees < 1:
        raise SimulationError(f"trees: expected at least 1, got {trees}")
    for package in ("pyarrow", "rich", "matplotlib", "xgboost"):
        require(package, "demo", "the demo")
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SimulationError(f"directory: cannot make {str(directory)!r}: {error.strerror or error}") from error


def _labelled(events: pa.Table, timeline: Timeline) -> _Labelled:
    """Two stretches, one after the other, whose labels are all known when training happens."""
    now_us = START_US + timeline.live_day * DAY_US
    fit = rows_between(events, timeline.fit_day, timeline.validation_day)
    validation = rows_between(events, timeline.validation_day, timeline.unlabelled_day)
    labelled = _Labelled(fit, known_labels(events, fit, now_us), validation, known_labels(events, validation, now_us))
    live = rows_between(events, timeline.live_day, timeline.end_day)
    if not labelled.fit_fraud.any() or not len(labelled.validation_fraud) or live.start == live.stop:
        raise SimulationError(
            f"days x customers: expected enough payments to train on, got {int(labelled.fit_fraud.sum())} frauds in "
            f"the {len(labelled.fit_fraud)} payments of the training days"
        )
    return labelled


def _train(
    labelled: _Labelled, replayed: pa.Table, names: tuple[str, ...], trees: int, seed: int, steps: Steps
) -> _Trained:
    """Fit on the first stretch; learn on the second what margins mean, and choose the thresholds."""
    with steps.step("train", f"Training on {len(labelled.fit_fraud):,} payments", total=trees) as advance:
        matrix = feature_matrix(replayed, names, labelled.fit)
        model = fit_model(matrix, labelled.fit_fraud, names, trees=trees, seed=seed, advance=advance)
    margins = model_margins(model, feature_matrix(replayed, names, labelled.validation), names)
    calibration = fit_calibration(margins, labelled.validation_fraud)
    thresholds = choose_thresholds(
        labelled.validation_fraud,
        calibrated_scores(calibration, margins),
        alert_rate=ALERT_RATE,
        decline_precision=DECLINE_PRECISION,
    )
    return _Trained(model, calibration, thresholds)


def _serve(bundle: Path, events: pa.Table, timeline: Timeline, steps: Steps) -> LiveDecisions:
    """Load the bundle, let it see everything before the live stretch, then decide the live stretch."""
    engine = Engine.load(bundle, allow_unsigned=True)
    history = stretch_between(events, 0, timeline.live_day).select(EVENT_COLUMNS)
    stretch = stretch_between(events, timeline.live_day, timeline.end_day).select(EVENT_COLUMNS)
    with steps.step("observe", f"Observing {history.num_rows:,} payments", total=history.num_rows) as advance:
        warm_windows(engine, history, advance)
    with steps.step("decide", f"Deciding {stretch.num_rows:,} payments live", total=stretch.num_rows) as advance:
        return decide_live(engine, stretch, advance)


def _environment() -> dict[str, str]:
    packages = ("numpy", "pyarrow", "xgboost")
    versions = {package: metadata.version(package) for package in packages}
    return {"python": platform.python_version(), "platform": platform.platform(), **versions}
