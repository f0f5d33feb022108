"""The trained model as a bundle reads it: over the feature set's names, and categories by the values of its fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from quickthorn.event import Category
from quickthorn.features import FeatureSet

if TYPE_CHECKING:
    from quickthorn.forest.importing import LoadedModel


def model_over(model: object, names: Sequence[str], values: Mapping[int, Sequence[str]]) -> LoadedModel:
    """What ``load_model`` reads, with rows of these features in this order.

    ``values``  the category values of every feature that is one, by its place: a row has places in them

    Raises ModelError where the model cannot be read, or not over these features.
    """
    from quickthorn.forest.importing import load_model

    texts: dict[str | int, Sequence[str]] = {}
    for place, listed in values.items():
        # A model without names reads features by their places.
        texts[place] = texts[names[place]] = listed
    return load_model(model, categories=texts).with_features(names).with_categories(values)


def category_values(features: FeatureSet) -> dict[int, tuple[str, ...]]:
    """The values of every feature that is a Category field by itself, whose places in them it arrives as."""
    expressions = ((place, features.expression(name)) for place, name in enumerate(features.names))
    return {place: field.values for place, field in expressions if isinstance(field, Category)}
