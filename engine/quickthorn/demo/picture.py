"""The demo's picture: how the scores of frauds and genuine payments lie, and how long decisions take."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from quickthorn.demo.live import LiveDecisions
from quickthorn.demo.results import LiveResults
from quickthorn.extras import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GENUINE_COLOUR = "#4c78a8"
FRAUD_COLOUR = "#e45756"
LINE_COLOUR = "#222222"


def draw_picture(live: LiveResults, decisions: LiveDecisions, fraud: npt.NDArray[np.bool_], path: Path) -> None:
    """Write the two panels to the PNG file `path`; `fraud` has shape (n,), as have the decisions' arrays."""
    # The figure is made without pyplot: no window system, and no figure kept in a registry.
    figure_module = require("matplotlib.figure", "demo", "the demo's picture")
    backend = require("matplotlib.backends.backend_agg", "demo", "the demo's picture")
    figure = figure_module.Figure(figsize=(12.5, 4.8), layout="constrained")
    backend.FigureCanvasAgg(figure)
    score_axes, latency_axes = figure.subplots(1, 2)
    _draw_scores(score_axes, live, decisions.scores, fraud)
    _draw_latency(latency_axes, live, decisions.latency_us)
    figure.savefig(path, dpi=150)


def _draw_scores(axes: Axes, live: LiveResults, scores: npt.NDArray[np.float64], fraud: npt.NDArray[np.bool_]) -> None:
    edges = np.linspace(0.0, 1.0, 51)
    for name, rows, colour in (("genuine", ~fraud, GENUINE_COLOUR), ("fraud", fraud, FRAUD_COLOUR)):
        label = f"{name} ({int(rows.sum()):,})"
        axes.hist(scores[rows], edges.tolist(), color=colour, alpha=0.35)
        axes.hist(scores[rows], edges.tolist(), color=colour, histtype="step", linewidth=1.6, label=label)
    for name, value, style in (("review", live.thresholds.review, ":"), ("decline", live.thresholds.decline, "--")):
        axes.axvline(value, color=LINE_COLOUR, linestyle=style, linewidth=1.5, label=f"{name} from {value:.3f}")
    axes.set_yscale("log")
    axes.set_xlim(0.0, 1.0)
    axes.set_ylim(bottom=0.7)
    axes.set_xlabel("score")
    axes.set_ylabel("payments per 0.02 of score (log scale)")
    axes.set_title(f"Scores by class: average precision {live.average_precision:.3f}", loc="left")
    _finish(axes)


def _draw_latency(axes: Axes, live: LiveResults, latency_us: npt.NDArray[np.float64]) -> None:
    low, high = max(float(latency_us.min()), 0.1), float(latency_us.max())
    edges = np.geomspace(low * 0.9, high * 1.1, 81)
    axes.hist(latency_us, edges.tolist(), color=GENUINE_COLOUR, alpha=0.75)
    latency = live.latency_us
    for name, value_us, style in (("p50", latency.p50, "-"), ("p99", latency.p99, "--"), ("p99.9", latency.p99_9, ":")):
        axes.axvline(value_us, color=LINE_COLOUR, linestyle=style, linewidth=1.5, label=f"{name} {value_us:.1f} µs")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_ylim(bottom=0.7)
    axes.set_xlabel("decide, microseconds (log scale)")
    axes.set_ylabel("decisions per bin (log scale)")
    axes.set_title(f"Latency of {live.payments:,} single decisions", loc="left")
    _finish(axes)


def _finish(axes: Axes) -> None:
    axes.legend(frameon=False, loc="upper right")
    axes.grid(axis="y", which="major", alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
