"""Loading a trained model, whatever form it comes in: a file, a booster, or a fitted estimator."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from quickthorn.errors import ModelError
from quickthorn.forest import catboost_model, lightgbm_model, sklearn_model, xgboost_model
from quickthorn.forest.categories import recoded, to_own_codes
from quickthorn.forest.ensemble import Ensemble
from quickthorn.forest.xgboost_binary import is_binary


class SourceModel(Protocol):
    """The model as its own library holds it; rows are float64 [n, f] in the model's own feature order.

    Margins and scores are [n] where the ensemble has one output, and [n, outputs] where it has several.
    """

    def margins(self, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """float64 [n] or [n, outputs]: the margins, widened from the library's precision."""

    def scores(self, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """float64 [n] or [n, outputs]: the predictions, widened from the library's precision."""

    def leaves(self, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.int32]:
        """int32 [n, trees]: the leaf ids."""

    def contributions(self, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64] | None:
        """float64 [n, outputs, f + 1]: the features' contributions to the margins, and the expected margin last.

        None where the library has none for a model of this kind, or none that are right.
        """


@dataclass(frozen=True)
class LoadedModel:
    """A forest and the library that trained it, for golden vectors.

    `columns` (int64 [f]) says where each of the model's features stands in a row of `ensemble.feature_count` values,
    and `own_codes[place]` which codes of the source library the categories at a place of the row stand for.
    """

    ensemble: Ensemble
    source: SourceModel
    columns: npt.NDArray[np.int64]
    own_codes: Mapping[int, npt.NDArray[np.float64]] = field(default_factory=dict)

    def with_features(self, names: Sequence[str]) -> LoadedModel:
        """The same model reading rows of these features, in this order; raises as Ensemble.with_features does."""
        columns = self.ensemble.feature_columns(names)
        return replace(self, ensemble=self.ensemble.with_features(names), columns=columns[self.columns])

    def with_categories(self, values: Mapping[int, Sequence[str]]) -> LoadedModel:
        """The same model reading categories as their places in these lists, by the place of the feature in a row.

        Raises ModelError for a feature whose dictionary is left without values, for one that compares its codes, and
        for a value that the source library would refuse.
        """
        ensemble = self.ensemble
        own_codes = {}
        for place, levels in enumerate(ensemble.category_dictionary or ()):
            if levels is None:
                continue
            name = ensemble.feature_names[place] if ensemble.feature_names else str(place)
            if place not in values:
                raise ModelError(
                    f"model: feature {name!r} was trained on categories such as {levels[0]!r}, which are not their own "
                    "codes; expected a Category field whose values they are"
                )
            code_of = {level: float(code) for code, level in enumerate(levels)}
            unknown = [value for value in values[place] if value not in code_of]
            if unknown and ensemble.unknown_category == "refused":
                raise ModelError(
                    f"model: feature {name!r}: expected values that the model was trained on, found {unknown[0]!r}, "
                    f"which {ensemble.source} refuses"
                )
            # A code below zero is in no set, whatever a split does with missing values.
            other = -1.0 if ensemble.unknown_category == "unmatched" else np.nan
            own_codes[place] = np.array([code_of.get(value, other) for value in values[place]], np.float64)
        return replace(self, ensemble=recoded(ensemble, own_codes), own_codes=own_codes) if own_codes else self

    def source_margins(self, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The source library's margins for rows float64 [n, ensemble.feature_count], NaN = missing.

        float64 [n] where the ensemble has one output, [n, outputs] where it has several.
        """
        return self.source.margins(self._own_order(rows))

    def source_leaves(self, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.int32]:
        """int32 [n, trees]: the source library's leaf ids for the same kind of rows."""
        return self.source.leaves(self._own_order(rows))

    def source_scores(self, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The source library's predictions for the same kind of rows, in the same shape."""
        return self.source.scores(self._own_order(rows))

    def source_contributions(self, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64] | None:
        """float64 [n, outputs, f + 1]: the source library's contributions for the same kind of rows, each output's
        expected margin last; None where it has none.
        """
        own = self.source.contributions(self._own_order(rows))
        if own is None:
            return None
        contributions = np.zeros((len(rows), self.ensemble.output_count, self.ensemble.feature_count + 1))
        contributions[:, :, self.columns] = own[:, :, :-1]
        contributions[:, :, -1] = own[:, :, -1]
        return contributions

    def _own_order(self, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        rows = np.asarray(rows, dtype=np.float64)
        if rows.ndim != 2 or rows.shape[1] != self.ensemble.feature_count:
            raise ModelError(f"rows: expected [n, {self.ensemble.feature_count}] values, got {list(rows.shape)}")
        if self.own_codes:
            rows = rows.copy()
            rules = {
                "negative_fractions_truncate": self.ensemble.negative_fractions_truncate,
                "whole_categories": self.ensemble.whole_categories,
            }
            for place, own in self.own_codes.items():
                # A number is the category it is after rounding: a tiny negative one may become zero.
                with np.errstate(over="ignore"):
                    rounded = rows[:, place].astype(self.ensemble.precision).astype(np.float64)
                rows[:, place] = to_own_codes(rounded, own, **rules)
        return np.ascontiguousarray(rows[:, self.columns])


def load_model(
    source: object, *, category_codes: bool = False, categories: Mapping[str | int, Sequence[str]] | None = None
) -> LoadedModel:
    """Read a trained forest of one output or several; Ensemble.require_single_output says whether it can decide.

    `source` is the path of an XGBoost model (JSON, UBJSON, or the old binary format) or a LightGBM model text, told
    apart by their content; an XGBoost or LightGBM Booster; a fitted estimator of their scikit-learn wrappers; a
    CatBoost model (.cbm or JSON) or object; or a tree estimator of scikit-learn, fitted or in a skops file. What is
    read is what the library's own predict uses: all trees of a file or an XGBoost Booster, and those up to the best
    iteration of a wrapper or a LightGBM Booster stopped early.

    Rows hold the codes of categories. Where a model was trained on a data frame's categories that are not their own
    codes, `ensemble.category_dictionary` says which code stands for which; with `category_codes` XGBoost's and
    LightGBM's is left out, which declares that rows come with codes. CatBoost keeps hashes of its categories: those
    that are text are in `categories`, by the feature's name (its place, where features have no names), or the export
    has a table of them.

    Raises ModelError when the model cannot be read, or holds something that cannot be honoured exactly, and
    MissingExtraError when a library is not installed.
    """
    categories = _checked_texts({} if categories is None else categories)
    if isinstance(source, (str, os.PathLike)):
        return _load_file(Path(source), category_codes, categories)
    where = type(source).__name__
    library = _library_of(source)
    if library == "xgboost" and hasattr(source, "get_booster"):
        ensemble, model = xgboost_model.read_estimator(source, where, category_codes=category_codes)
        return _loaded(ensemble, model)
    if library == "xgboost" and hasattr(source, "save_raw"):
        return _loaded(*xgboost_model.read_booster(source, where, category_codes=category_codes))
    if library == "lightgbm" and hasattr(source, "model_to_string"):
        return _loaded(*lightgbm_model.read_booster(source, where, category_codes=category_codes))
    if library == "lightgbm" and hasattr(type(source), "booster_"):
        return _loaded(*lightgbm_model.read_estimator(source, where, category_codes=category_codes))
    if library == "catboost" and hasattr(source, "save_model"):
        return _loaded(*catboost_model.read_estimator(source, where, categories))
    if library == "sklearn":
        return _loaded(*sklearn_model.read_estimator(source, where))
    raise ModelError(
        f"model: expected a path, or a Booster or fitted estimator of xgboost, lightgbm, catboost or scikit-learn, "
        f"got {type(source).__module__}.{type(source).__qualname__}"
    )


def _checked_texts(categories: object) -> Mapping[str | int, Sequence[str]]:
    if not isinstance(categories, Mapping):
        raise ModelError(f"categories: expected sequences of texts by feature, found {categories!r}")
    for feature, texts in categories.items():
        if (
            isinstance(texts, str)
            or not isinstance(texts, Sequence)
            or not all(isinstance(text, str) for text in texts)
        ):
            raise ModelError(f"categories[{feature!r}]: expected a sequence of texts, found {texts!r}")
    return categories


def _loaded(ensemble: Ensemble, source: SourceModel) -> LoadedModel:
    return LoadedModel(ensemble, source, np.arange(ensemble.feature_count, dtype=np.int64))


def _load_file(path: Path, category_codes: bool, categories: Mapping[str | int, Sequence[str]]) -> LoadedModel:
    where = str(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{where}: cannot read the model: {error.strerror or error}") from None
    if data.startswith((b"tree\n", b"tree\r\n")):
        return _loaded(*lightgbm_model.read_file(data, where, category_codes=category_codes))
    if catboost_model.is_model(data):
        return _loaded(*catboost_model.read_file(data, where, categories))
    if sklearn_model.is_archive(data):
        return _loaded(*sklearn_model.read_skops(data, where))
    # The old binary format may begin with any byte, a brace too.
    if is_binary(data) or data.lstrip()[:1] == b"{":
        return _loaded(*xgboost_model.read_file(data, where, category_codes=category_codes))
    raise ModelError(
        f"{where}: {_describe(data)}; expected an XGBoost model, a LightGBM model text, a CatBoost "
        "model or a skops file"
    )


def _describe(data: bytes) -> str:
    """What bytes that are no known model look like."""
    if not data:
        return "the file is empty"
    if data.startswith(b"\x80"):
        return "this is a pickle, which is never opened; save a scikit-learn model with skops"
    return f"not a model: the file begins with {data[:12]!r}"


def _library_of(source: object) -> str | None:
    """Which training library an object's class, or a class it derives from, belongs to; imports nothing."""
    for ancestor in type(source).__mro__:
        root = ancestor.__module__.partition(".")[0]
        if root in ("xgboost", "lightgbm", "catboost", "sklearn"):
            return root
    return None
