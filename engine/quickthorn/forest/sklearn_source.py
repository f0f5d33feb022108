"""What scikit-learn itself computes from rows in the model's own feature order."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from quickthorn.errors import ModelError
from quickthorn.extras import require
from quickthorn.forest.categories import Levels
from quickthorn.forest.sklearn_histogram import acceptable_categories, leaf_nodes
from quickthorn.forest.sklearn_trees import acceptable_rows

if TYPE_CHECKING:
    from collections.abc import Iterator


class SklearnSource:
    """A fitted estimator as the truth about margins, scores and leaves; `accept` makes rows it does not refuse."""

    def __init__(self, estimator: Any, output_count: int, accept: Callable[[Any], npt.NDArray[Any]]) -> None:
        # Threads would add the trees of a forest in whatever order they end.
        self._estimator = copy.copy(estimator)
        if hasattr(estimator, "n_jobs"):
            self._estimator.n_jobs = 1
        if hasattr(estimator, "verbose"):
            self._estimator.verbose = 0
        self._output_count = output_count
        self._accept = accept

    def margins(self, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """float64 [n] or [n, outputs]: what the trees add up to, before any link."""
        return self._predicted(self._margins, rows)

    def scores(self, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """float64 [n] or [n, outputs]: a classifier's probabilities (the second class's of two), else predictions."""
        return self._predicted(self._scores, rows)

    def leaves(self, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.int32]:
        """int32 [n, trees]: the number of the node each tree ends at."""
        return self._called(self._leaves, rows).reshape(len(rows), -1).astype(np.int32)

    def contributions(self, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64] | None:
        """float64 [n, outputs, f + 1]: what the library shap makes of the estimator; scikit-learn itself has none."""
        if not self._explained_by_shap():
            return None
        with warnings.catch_warnings():
            # What it imports for its pictures is of no account here.
            warnings.simplefilter("ignore")
            shap = require("shap", "shap", "proving contributions of a scikit-learn model")
        explainer = shap.TreeExplainer(self._estimator, feature_perturbation="tree_path_dependent")
        with _unnamed_rows_allowed():
            values = np.asarray(explainer.shap_values(self._accept(rows), check_additivity=False), np.float64)
        # One output stands without an axis, or, of two classes, the second counts.
        values = values.reshape(len(rows), values.shape[1], -1)
        expected = np.reshape(np.asarray(explainer.expected_value, np.float64), -1)
        values, expected = values[:, :, -self._output_count :], expected[-self._output_count :]
        last = np.broadcast_to(expected[np.newaxis, :, np.newaxis], (len(rows), self._output_count, 1))
        return np.concatenate([values.transpose(0, 2, 1), last], axis=2)

    def _explained_by_shap(self) -> bool:
        return True

    def _predicted(self, predict: Callable[[Any], Any], rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        shape = (len(rows),) if self._output_count == 1 else (len(rows), self._output_count)
        return self._called(predict, rows).astype(np.float64).reshape(shape) if len(rows) else np.empty(shape)

    def _called(self, predict: Callable[[Any], Any], rows: npt.NDArray[np.float64]) -> npt.NDArray[Any]:
        try:
            with _unnamed_rows_allowed():
                return np.asarray(predict(self._accept(rows)))
        except (AttributeError, TypeError, ValueError, KeyError, IndexError) as error:
            # An estimator from a file may be damaged in what only predictions need.
            raise ModelError(f"scikit-learn cannot predict with the model: {error}") from None

    def _margins(self, rows: npt.NDArray[Any]) -> Any:
        return self._scores(rows)

    def _scores(self, rows: npt.NDArray[Any]) -> Any:
        if not hasattr(self._estimator, "classes_"):
            return self._estimator.predict(rows)
        probabilities = self._estimator.predict_proba(rows)
        return probabilities[:, 1] if self._output_count == 1 else probabilities

    def _leaves(self, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        leaves: npt.NDArray[Any] = self._estimator.apply(rows)
        return leaves


class ForestSource(SklearnSource):
    """Decision trees and forests of them: their margin is the mean that they predict."""

    def __init__(self, estimator: Any, output_count: int, *, allow_missing: bool) -> None:
        super().__init__(estimator, output_count, lambda rows: acceptable_rows(rows, allow_missing=allow_missing))


class BoostingSource(SklearnSource):
    """Gradient boosting, which knows no missing values."""

    def __init__(self, estimator: Any, output_count: int) -> None:
        super().__init__(estimator, output_count, lambda rows: acceptable_rows(rows, allow_missing=False))

    def _explained_by_shap(self) -> bool:
        # shap knows boosting of two classes, no more.
        return self._output_count == 1

    def _margins(self, rows: npt.NDArray[Any]) -> Any:
        is_classifier = hasattr(self._estimator, "classes_")
        return self._estimator.decision_function(rows) if is_classifier else self._estimator.predict(rows)


class HistogramSource(SklearnSource):
    """Histogram gradient boosting."""

    def __init__(self, estimator: Any, output_count: int, dictionary: tuple[Levels | None, ...] | None) -> None:
        super().__init__(estimator, output_count, lambda rows: acceptable_categories(estimator, dictionary, rows))

    def _explained_by_shap(self) -> bool:
        # shap takes a set of categories for a threshold, and several outputs for one.
        return self._output_count == 1 and self._estimator.is_categorical_ is None

    def _margins(self, rows: npt.NDArray[Any]) -> Any:
        if hasattr(self._estimator, "classes_"):
            return self._estimator.decision_function(rows)
        # A regressor applies its link to all that it lets out.
        return self._estimator._raw_predict(rows)

    def _leaves(self, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return leaf_nodes(self._estimator, rows)


class IsolationSource(SklearnSource):
    """An isolation forest: its score is the anomaly score of the original paper, scikit-learn's with the sign off.

    The margin is the logarithm of the score, `scale` times the depths that scikit-learn adds up.
    """

    def __init__(self, estimator: Any, scale: float) -> None:
        super().__init__(estimator, 1, lambda rows: acceptable_rows(rows, allow_missing=True))
        self._scale = scale

    def contributions(self, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64] | None:
        """float64 [n, 1, f + 1]: shap explains the mean depth."""
        found = super().contributions(rows)
        return None if found is None else found * (self._scale * len(self._estimator.estimators_))

    def _margins(self, rows: npt.NDArray[Any]) -> Any:
        total = np.zeros(len(rows))
        for depths, leaf in zip(leaf_depths(self._estimator), self._leaves(rows).T, strict=True):
            total += depths[leaf]
        return total * self._scale

    def _scores(self, rows: npt.NDArray[Any]) -> Any:
        return -self._estimator.score_samples(rows)

    def _leaves(self, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        trees = zip(self._estimator.estimators_, self._estimator.estimators_features_, strict=True)
        return np.stack([tree.tree_.apply(np.ascontiguousarray(rows[:, seen])) for tree, seen in trees], axis=1)


def leaf_depths(estimator: Any) -> list[npt.NDArray[np.float64]]:
    """For each tree of an isolation forest, float64 [nodes]: what scikit-learn adds for a row that ends there."""
    parts = zip(estimator._decision_path_lengths, estimator._average_path_length_per_tree, strict=True)
    return [np.asarray(path, np.float64) + average - 1.0 for path, average in parts]


@contextmanager
def _unnamed_rows_allowed() -> Iterator[None]:
    """scikit-learn warns of rows without feature names, which these are on purpose."""
    # Looking for infinity, it adds up all values, which may well exceed float32.
    with warnings.catch_warnings(), np.errstate(over="ignore", invalid="ignore"):
        warnings.filterwarnings("ignore", message="X does not have valid feature names")
        yield
