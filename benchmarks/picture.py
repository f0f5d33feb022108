"""The curve as a picture: one panel for each line of forests, one curve for each evaluator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.curve import LINES
from benchmarks.rivals.catalogue import is_ours

_AXES = {
    "features": "features (200 trees of depth 6)",
    "trees": "trees (depth 6, 100 features)",
    "thresholds": "thresholds in one feature (400 trees)",
    "leaves": "leaves in a tree (200 trees)",
}


def draw(curve: list[dict[str, Any]], path: Path) -> None:
    """Write a PNG of nanoseconds per row, both axes logarithmic."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(2, 2, figsize=(10, 7.5), sharey=True, layout="constrained")
    for line, panel in zip(LINES, panels.flat, strict=True):
        found = [point for point in curve if point["line"] == line]
        if not found:
            panel.set_axis_off()
            continue
        for name in found[0]["hot_ns"]:
            known = [(point["value"], point["hot_ns"][name]) for point in found if point["hot_ns"][name] is not None]
            style = (
                {"marker": "o", "markersize": 4} if is_ours(name) else {"marker": "s", "markersize": 4, "color": "grey"}
            )
            if known:
                panel.plot(*zip(*known, strict=True), label=name, **style)
        panel.set_xscale("log")
        panel.set_yscale("log")
        panel.set_xlabel(_AXES[line])
        panel.grid(True, which="major", alpha=0.3)
    for panel in panels[:, 0]:
        panel.set_ylabel("ns for one row, C level, hot")
    names, labels = next(panel.get_legend_handles_labels() for panel in panels.flat if panel.axison)
    figure.legend(names, labels, loc="outside upper center", ncols=len(labels))
    figure.savefig(path, dpi=110, metadata={"Software": ""})
    pyplot.close(figure)
