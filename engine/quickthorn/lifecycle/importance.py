"""How much each feature weighs in a bundle, from what is in the bundle alone; none of its code is run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from quickthorn.bundle import Bundle
from quickthorn.bundle.manifest import CHECKPOINT, GOLDEN_CONTRIBUTIONS
from quickthorn.errors import BundleError
from quickthorn.extras import require

PICTURE_SUFFIXES: Final = (".png", ".svg")

_BAR_COLOUR: Final = "#4c78a8"
_SHOWN_MOST: Final = 30


class Importances(msgspec.Struct, frozen=True, kw_only=True):
    """What every feature weighs.

    ``measure``   what the weights are of, in words
    ``features``  weight by feature name, the weightiest first, at least 0.0
    """

    measure: str
    features: dict[str, float]


def importances(bundle: Bundle, *, trusted: bool = False, origin: str = "bundle") -> Importances | None:
    """The mean absolute contribution of each feature to the margin, over the golden vectors that were explained.

    Golden vectors are made up, from the schema and the forest's own thresholds: the weights say what the forest can do,
    not what it does to one's customers.

    A bundle that was compiled without contributions has only the splits of its model to weigh features by. They are
    counted where ``trusted`` says that somebody has vouched for the bundle, as Treelite does not look where the numbers
    of a forged checkpoint lead; it needs the extra ``compile``. None else, and in a bundle of features only. Raises
    ModelError, opened by ``origin``, where the checkpoint cannot be read.
    """
    manifest, golden = bundle.manifest, bundle.manifest.golden
    if golden is None:
        return None
    if not golden.explained_rows:
        return _split_counts(bundle, origin) if trusted else None
    shape = (golden.explained_rows, golden.outputs, golden.features + 1)
    contributions = np.frombuffer(bundle.members[GOLDEN_CONTRIBUTIONS], dtype="<f8").reshape(shape)
    weights = np.abs(contributions[:, :, :-1]).mean(axis=(0, 1))
    measure = f"mean |contribution| to the margin over {golden.explained_rows} golden vectors"
    return Importances(measure=measure, features=_weightiest_first(manifest.features, weights))


def _split_counts(bundle: Bundle, origin: str) -> Importances | None:
    # Imported here: only a bundle without contributions needs what reads models.
    from quickthorn.forest.checkpoint import read_checkpoint, unpack_checkpoint

    summary, features = bundle.manifest.checkpoint, bundle.manifest.features
    if summary is None:
        return None
    where = f"{origin}: member {CHECKPOINT}"
    ensemble = read_checkpoint(unpack_checkpoint(bundle.members[CHECKPOINT], summary.bytes, where), where)
    asked = ensemble.with_features(features).feature
    return Importances(
        measure=f"splits that ask for the feature, of {len(asked):,} in {ensemble.tree_count:,} trees",
        features=_weightiest_first(features, np.bincount(asked, minlength=len(features)).astype(np.float64)),
    )


def _weightiest_first(names: Sequence[str], weights: npt.NDArray[np.float64]) -> dict[str, float]:
    return {names[place]: float(weights[place]) for place in np.argsort(-weights, kind="stable")}


def draw_importances(found: Importances, path: str | os.PathLike[str], title: str) -> None:
    """Write the weights as bars to a .png or .svg file, the 30 weightiest at most; needs the extra ``plot``.

    BundleError where the name has another ending or the file cannot be written.
    """
    origin = os.fspath(path)
    suffix = Path(path).suffix
    if suffix not in PICTURE_SUFFIXES:
        raise BundleError(f"{origin}: expected a picture's name ending in .png or .svg, found {suffix!r}")
    # The figure is made without pyplot: no window system, and no figure kept in a registry.
    figure_module = require("matplotlib.figure", "plot", "a picture of importances")
    backend = require(f"matplotlib.backends.backend_{'agg' if suffix == '.png' else 'svg'}", "plot", "a picture")
    shown = list(found.features.items())[:_SHOWN_MOST]
    figure = figure_module.Figure(figsize=(9.0, 1.5 + 0.27 * len(shown)), layout="constrained")
    canvas = backend.FigureCanvasAgg(figure) if suffix == ".png" else backend.FigureCanvasSVG(figure)
    axes = figure.subplots()
    bars = axes.barh([name for name, _ in shown], [weight for _, weight in shown], color=_BAR_COLOUR, height=0.72)
    axes.bar_label(bars, fmt="%#.3g", padding=4, fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.12, y=0.02)
    axes.set_xlabel(found.measure)
    left_out = len(found.features) - len(shown)
    axes.set_title(f"{title}{f', without {left_out} lesser features' if left_out else ''}", loc="left", fontsize=10)
    axes.grid(axis="x", alpha=0.25)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    try:
        canvas.print_figure(path, dpi=150)
    except OSError as error:
        raise BundleError(f"{origin}: expected to write the picture, found: {error.strerror}") from error
