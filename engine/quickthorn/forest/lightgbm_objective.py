"""What a LightGBM model text's objective says about its outputs: how many there are, and how margins become scores."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from quickthorn.calibration.link import Link
from quickthorn.errors import ModelError
from quickthorn.forest.ensemble import MAX_OUTPUTS

_LINK_OF = {
    "binary": Link.SIGMOID,
    "cross_entropy": Link.SIGMOID,
    "cross_entropy_lambda": Link.LOG1P_EXP,
    "regression": Link.IDENTITY,
    "regression_l1": Link.IDENTITY,
    "huber": Link.IDENTITY,
    "fair": Link.IDENTITY,
    "quantile": Link.IDENTITY,
    "mape": Link.IDENTITY,
    "poisson": Link.EXP,
    "gamma": Link.EXP,
    "tweedie": Link.EXP,
    "lambdarank": Link.IDENTITY,
    "rank_xendcg": Link.IDENTITY,
    "multiclass": Link.SOFTMAX,
    "multiclassova": Link.SIGMOID,
}
_MULTI_CLASS = ("multiclass", "multiclassova")
_SCALED = ("binary", "multiclassova")
# Objectives that fit the square root of the label when asked to, and square what they predict.
_WITH_ROOTS = ("regression", "regression_l1", "fair", "quantile", "mape")

_POSITIVE = re.compile(r"[0-9.]{1,40}(?:e[-+]?[0-9]{1,3})?")


@dataclass(frozen=True)
class LightGBMObjective:
    """The objective's name, and what its outputs are."""

    name: str
    link: Link
    link_scale: float
    output_count: int


def read_objective(text: str, class_count: int, trees_per_iteration: int, where: str) -> LightGBMObjective:
    """The objective that a text spells, with the header's num_class and num_tree_per_iteration; raises ModelError."""
    name, *options = text.split(" ")
    if name not in _LINK_OF:
        found = f"unknown objective {name!r}" if name else "no objective (a custom one is not saved)"
        raise ModelError(f"{where}: {found}; expected one of {', '.join(_LINK_OF)}")
    values = dict(option.split(":", 1) for option in options if ":" in option)
    outputs = class_count if name in _MULTI_CLASS else 1
    if not 0 < outputs <= MAX_OUTPUTS:
        raise ModelError(f"{where}: num_class is {outputs}; expected 1 to {MAX_OUTPUTS}")
    if class_count != outputs or trees_per_iteration != outputs:
        raise ModelError(
            f"{where}: num_class is {class_count} and num_tree_per_iteration {trees_per_iteration}; "
            f"expected {outputs} for both with the objective {name!r}"
        )
    if name in _MULTI_CLASS and values.get("num_class") != str(class_count):
        raise ModelError(
            f"{where}: the objective says num_class:{values.get('num_class')}, but num_class={class_count}"
        )
    link = _LINK_OF[name]
    if "sqrt" in options:
        if name not in _WITH_ROOTS:
            raise ModelError(f"{where}: the objective {name!r} does not go with 'sqrt'")
        link = Link.SIGNED_SQUARE
    scale = _scale(values["sigmoid"], where) if name in _SCALED and "sigmoid" in values else 1.0
    return LightGBMObjective(name, link, scale, outputs)


def _scale(text: str, where: str) -> float:
    try:
        scale = float(text) if _POSITIVE.fullmatch(text) else 0.0
    except ValueError:
        scale = 0.0
    if not 0.0 < scale < math.inf:
        raise ModelError(f"{where}: objective.sigmoid: expected a positive number, got {text[:40]!r}")
    return scale
