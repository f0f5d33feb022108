"""What an XGBoost model document says about its outputs: the objective, how many there are, and where they start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from quickthorn.calibration.link import Link
from quickthorn.errors import ModelError
from quickthorn.forest.ensemble import MAX_OUTPUTS
from quickthorn.forest.xgboost_tree import mapping, member, whole

_LINK_OF = {
    "binary:logistic": Link.SIGMOID,
    "reg:logistic": Link.SIGMOID,
    # XGBoost's own prediction for this objective is the margin.
    "binary:logitraw": Link.IDENTITY,
    "binary:hinge": Link.STEP,
    "reg:squarederror": Link.IDENTITY,
    "reg:linear": Link.IDENTITY,
    "reg:squaredlogerror": Link.IDENTITY,
    "reg:absoluteerror": Link.IDENTITY,
    "reg:pseudohubererror": Link.IDENTITY,
    "reg:quantileerror": Link.IDENTITY,
    "count:poisson": Link.EXP,
    "reg:gamma": Link.EXP,
    "reg:tweedie": Link.EXP,
    "rank:pairwise": Link.IDENTITY,
    "rank:ndcg": Link.IDENTITY,
    "rank:map": Link.IDENTITY,
    "survival:cox": Link.EXP,
    "survival:aft": Link.EXP,
    "multi:softprob": Link.SOFTMAX,
    # XGBoost reports the class whose probability is the largest; the scores are the probabilities.
    "multi:softmax": Link.SOFTMAX,
}


@dataclass(frozen=True)
class XGBoostObjective:
    """The objective as it is named and parametrised, and the outputs it is for."""

    name: str
    parameters: dict[str, Any]
    base_score: str
    class_count: int
    """0 where the objective is not multi-class"""
    target_count: int

    @property
    def link(self) -> Link:
        """How margins become scores."""
        return _LINK_OF[self.name]

    @property
    def output_count(self) -> int:
        """How many margins the model has."""
        return max(self.class_count, self.target_count, 1)


def read_objective(learner: dict[str, Any], where: str) -> XGBoostObjective:
    """The objective in a document's learner; raises ModelError where it is unknown or its parts do not agree."""
    parameters = dict(mapping(learner, where, "objective"))
    name = parameters.pop("name", None)
    if not isinstance(name, str) or name not in _LINK_OF:
        raise ModelError(f"{where}: unknown objective {name!r}; expected one of {', '.join(sorted(_LINK_OF))}")
    if name.startswith("rank:"):
        # How pairs were made and how biased their places were; XGBoost scores without knowing.
        parameters = {}
    for key, values in parameters.items():
        if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
            raise ModelError(f"{where}: objective.{key}: expected an object of texts")
    model = mapping(learner, where, "learner_model_param")
    classes = whole(model, where, "num_class") if "num_class" in model else 0
    targets = whole(model, where, "num_target") if "num_target" in model else 1
    if (classes > 1) != name.startswith("multi:") or (classes > 1 and targets > 1) or targets < 1:
        raise ModelError(f"{where}: {classes} classes and {targets} targets do not go with the objective {name!r}")
    if max(classes, targets) > MAX_OUTPUTS:
        raise ModelError(f"{where}: the model has {max(classes, targets)} outputs; expected at most {MAX_OUTPUTS}")
    if classes > 1:
        # XGBoost trusts this number without comparing it with the other one.
        declared = whole(mapping(parameters, where, "softmax_multiclass_param"), where, "num_class")
        if declared != classes:
            raise ModelError(f"{where}: the objective has {declared} classes, but the model {classes}")
    return XGBoostObjective(
        name=name,
        parameters=parameters,
        base_score=_read_base_score(model, max(classes, targets, 1), where),
        class_count=classes,
        target_count=targets,
    )


def _read_base_score(parameters: dict[str, Any], outputs: int, where: str) -> str:
    """base_score as it is spelt: a number in text; since XGBoost 3.1, one per output in brackets."""
    text = member(parameters, where, "base_score")
    try:
        numbers = [float(number) for number in text.removeprefix("[").removesuffix("]").split(",")]
        # One number is for every output.
        if len(numbers) in (1, outputs) and np.isfinite(numbers).all():
            return str(text)
    except (AttributeError, ValueError):
        pass
    expected = "one number" if outputs == 1 else f"one number or {outputs}"
    raise ModelError(f"{where}: base_score: expected {expected} in text, got {text!r}")
