"""What CatBoost itself computes from rows in the model's own feature order."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from quickthorn.calibration.link import Link
from quickthorn.extras import require
from quickthorn.forest.categories import Levels

# The text of a code that stands for no category.
_UNMATCHED = "no category of this model"

_PREDICTION_OF = {
    Link.IDENTITY: "RawFormulaVal",
    Link.EXP: "Exponent",
    Link.SIGMOID: "Probability",
    Link.SOFTMAX: "Probability",
}


class CatBoostSource:
    """A CatBoost model as the truth about margins, scores and leaves.

    CatBoost takes categories as whole numbers or text alone, and reads numbers as their text. Here they come as
    numbers; they are rounded to float32, as all numbers that CatBoost takes, and truncated; a missing one is "nan". In
    a feature with a dictionary they are places in it, and any other number is no category.
    """

    def __init__(
        self,
        model: Any,
        output_count: int,
        tree_count: int,
        link: Link,
        categorical: npt.NDArray[np.bool_],
        dictionary: tuple[Levels | None, ...] | None,
    ) -> None:
        self._catboost = require("catboost", "catboost", "reading a CatBoost model")
        self._model = model
        self._output_count = output_count
        self._tree_count = tree_count
        self._link = link
        self._categorical = categorical
        self._dictionary = dictionary

    def margins(self, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """float64 [n] or [n, outputs]: CatBoost's raw values."""
        return self._predicted(rows, "RawFormulaVal")

    def scores(self, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """float64 [n] or [n, outputs]: probabilities (of the second of two classes), exponents, or raw values."""
        if self._output_count == 1 and self._link is Link.SIGMOID and len(rows):
            return self._raw(rows, "Probability")[:, 1]
        return self._predicted(rows, _PREDICTION_OF[self._link])

    def leaves(self, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.int32]:
        """int32 [n, trees]: each tree's leaf as CatBoost numbers it."""
        if not len(rows):
            return np.empty((0, self._tree_count), np.int32)
        found = self._catboost.CatBoost.calc_leaf_indexes(self._model, self._pool(rows), thread_count=1)
        return np.asarray(found, np.int32).reshape(len(rows), self._tree_count)

    def contributions(self, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64] | None:
        """float64 [n, outputs, f + 1]: CatBoost's regular Shapley values, in which features are averaged by path.

        None where they do not add up to the margins, as those of CatBoost 1.2 do not for some non-symmetric trees.
        """
        found = self._catboost.CatBoost.get_feature_importance(
            self._model, self._pool(rows), type="ShapValues", shap_calc_type="Regular", thread_count=1
        )
        contributions = np.asarray(found, np.float64).reshape(len(rows), self._output_count, -1)
        margins = self.margins(rows).reshape(len(rows), -1)
        return contributions if np.allclose(contributions.sum(axis=2), margins, rtol=1e-6, atol=1e-9) else None

    def _predicted(self, rows: npt.NDArray[np.float64], kind: str) -> npt.NDArray[np.float64]:
        shape = (len(rows),) if self._output_count == 1 else (len(rows), self._output_count)
        return self._raw(rows, kind).reshape(shape) if len(rows) else np.empty(shape)

    def _raw(self, rows: npt.NDArray[np.float64], kind: str) -> npt.NDArray[np.float64]:
        # Wrappers of the class have opinions of their own about what to return.
        predict = self._catboost.CatBoost.predict
        return np.asarray(predict(self._model, self._pool(rows), prediction_type=kind, thread_count=1), np.float64)

    def _pool(self, rows: npt.NDArray[np.float64]) -> Any:
        # CatBoost compares names too when both sides have them.
        names = self._model.feature_names_
        places = np.flatnonzero(self._categorical)
        if not len(places):
            return self._catboost.Pool(rows, feature_names=names)
        mixed = rows.astype(object)
        with np.errstate(over="ignore", under="ignore"):
            single = rows[:, places].astype(np.float32)
        for column, place in enumerate(places):
            levels = None if self._dictionary is None else self._dictionary[place]
            mixed[:, place] = [_category(float(value), levels) for value in single[:, column]]
        return self._catboost.Pool(mixed, cat_features=places.tolist(), feature_names=names)


def _category(value: float, levels: Levels | None) -> str:
    if levels is None or np.isnan(value):
        return str(int(value)) if np.isfinite(value) else str(value)
    return str(levels[int(value)]) if -1 < value < len(levels) else _UNMATCHED
