"""The trained model as a bundle reads it: over the feature set's names, and categories by the values of its fields."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from quickthorn.bundle import MAGIC, read_bundle
from quickthorn.bundle.manifest import CHECKPOINT
from quickthorn.errors import ModelError
from quickthorn.event import Category
from quickthorn.features import FeatureSet
from quickthorn.reference.forest import leaves_of, margins_of

if TYPE_CHECKING:
    from quickthorn.forest.ensemble import Ensemble
    from quickthorn.forest.importing import LoadedModel


class ReferenceSource:
    """A forest without the library that trained it: the slow reference stands in, over the forest's own features."""

    def __init__(self, ensemble: Ensemble) -> None:
        self.ensemble = ensemble

    def margins(self, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """float64 [n] or [n, outputs]."""
        margins = np.array([margins_of(self.ensemble, row) for row in rows.tolist()], np.float64)
        return margins.reshape(-1) if self.ensemble.output_count == 1 else margins

    def scores(self, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """float64 [n] or [n, outputs]."""
        margins = self.margins(rows)
        scores = [
            self.ensemble.link.scores(row, self.ensemble.link_scale) for row in margins.reshape(len(rows), -1).tolist()
        ]
        return np.array(scores, np.float64).reshape(margins.shape)

    def leaves(self, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.int32]:
        """int32 [n, trees]."""
        return np.array([leaves_of(self.ensemble, row) for row in rows.tolist()], np.int32)

    def contributions(self, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64] | None:
        """None: golden vectors have the reference's own."""
        return None


def trained_model(
    model: object, *, category_codes: bool = False, categories: Mapping[str | int, Sequence[str]] | None = None
) -> LoadedModel:
    """What ``load_model`` reads, or the model in the file of a bundle; raises as it does, and BundleError."""
    from quickthorn.forest.importing import LoadedModel, load_model

    if not isinstance(model, (str, os.PathLike)) or not _is_archive(Path(model)):
        return load_model(model, category_codes=category_codes, categories=categories)
    from quickthorn.forest.checkpoint import read_checkpoint, unpack_checkpoint

    bundle, where = read_bundle(model), f"{os.fspath(model)}: member {CHECKPOINT}"
    summary = bundle.manifest.checkpoint
    if summary is None:
        raise ModelError(f"{os.fspath(model)}: expected a bundle with a model, found one of features only")
    unpacked = unpack_checkpoint(bundle.members[CHECKPOINT], summary.bytes, where)
    ensemble = read_checkpoint(unpacked, where)
    return LoadedModel(ensemble, ReferenceSource(ensemble), np.arange(ensemble.feature_count, dtype=np.int64))


def category_texts(names: Sequence[str], values: Mapping[int, Sequence[str]]) -> dict[str | int, Sequence[str]]:
    """``values`` by place and by name: a model without names reads features by their places."""
    return {key: listed for place, listed in values.items() for key in (place, names[place])}


def model_over(model: object, names: Sequence[str], values: Mapping[int, Sequence[str]]) -> LoadedModel:
    """What ``trained_model`` reads, with rows of these features in this order.

    ``values``  the category values of every feature that is one, by its place: a row has places in them

    Raises ModelError where the model cannot be read, or not over these features.
    """
    trained = trained_model(model, categories=category_texts(names, values))
    return trained.with_features(names).with_categories(values)


def category_values(features: FeatureSet) -> dict[int, tuple[str, ...]]:
    """The values of every feature that is a Category field by itself, whose places in them it arrives as."""
    expressions = ((place, features.expression(name)) for place, name in enumerate(features.names))
    return {place: field.values for place, field in expressions if isinstance(field, Category)}


def _is_archive(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False
