"""The categories of a data frame: dictionaries from values to codes, and forests that read other codes than theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from quickthorn.errors import ModelError
from quickthorn.forest.ensemble import Ensemble

Levels: TypeAlias = tuple[str | float, ...]

# Whole numbers up to here are told apart in float64, in which values arrive.
_EXACT = 2**53


def dictionary_of(levels: Sequence[Sequence[Any] | None], where: str) -> tuple[Levels | None, ...] | None:
    """The dictionary of an ensemble: per feature the values in the order of their codes; None where it says nothing.

    Values that are their own codes, 0, 1, 2… need no dictionary. Raises ModelError for values that no dictionary can
    tell apart.
    """
    known = tuple(
        None if found is None or tuple(found) == tuple(range(len(found))) else tuple(found) for found in levels
    )
    for feature, found in enumerate(known):
        for value in found or ():
            if not isinstance(value, (str, int, float)) or (not isinstance(value, str) and not abs(value) < _EXACT):
                raise ModelError(
                    f"{where}: feature {feature} was trained on the category {value!r}; expected text, or a number "
                    "that float64 holds exactly"
                )
        if found is not None and len(set(found)) != len(found):
            raise ModelError(f"{where}: feature {feature} was trained on a category that occurs twice")
    return known if any(found is not None for found in known) else None


def recoded(ensemble: Ensemble, codes: Mapping[int, npt.NDArray[np.float64]]) -> Ensemble:
    """The same forest for rows whose categories are numbered otherwise.

    ``codes[feature][number]`` is the forest's own code for a row's number, NaN for a category that counts as missing.
    The features have no dictionary afterwards.
    """
    _check_categorical(ensemble, codes)
    sets = []
    for split in range(len(ensemble.feature)):
        begin, end = ensemble.category_offsets[split : split + 2]
        members = ensemble.categories[begin:end]
        own = codes.get(int(ensemble.feature[split]))
        if own is not None:
            chosen = np.where(np.isnan(own), ensemble.default_left[split], np.isin(own, members))
            members = np.flatnonzero(chosen).astype(np.int32)
        sets.append(members)
    dictionary = ensemble.category_dictionary
    if dictionary is not None:
        dictionary = tuple(None if feature in codes else levels for feature, levels in enumerate(dictionary))
        dictionary = dictionary if any(levels is not None for levels in dictionary) else None
    return replace(
        ensemble,
        category_offsets=np.cumsum([0, *map(len, sets)], dtype=np.int64),
        categories=np.concatenate([np.empty(0, np.int32), *sets]),
        category_dictionary=dictionary,
    )


def to_own_codes(
    values: npt.NDArray[np.float64],
    own: npt.NDArray[np.float64],
    *,
    negative_fractions_truncate: bool,
    whole_categories: bool = False,
) -> npt.NDArray[np.float64]:
    """float64 [n]: a row's numbers as the codes of the forest they were recoded from, for its source library.

    What is no number of a category stays in no set: it becomes a code that no category has.
    """
    lowest = -1.0 if negative_fractions_truncate else -0.0
    truncated = np.trunc(values)
    known = ((values > lowest) | (values == 0)) & (truncated < len(own))
    if whole_categories:
        known &= truncated == values
    place = np.where(known, truncated, 0).astype(np.int64)
    strange = np.where(values >= len(own), values + len(own) + np.nanmax(own, initial=0.0), values)
    return np.where(known, own[place] if len(own) else np.nan, strange)


def _check_categorical(ensemble: Ensemble, codes: Mapping[int, Any]) -> None:
    """Only a set can be numbered otherwise: a comparison means the order of the codes."""
    wanted = np.isin(ensemble.feature, list(codes))
    numeric = ensemble.feature[wanted & ~ensemble.categorical]
    linear = ensemble.linear.feature[np.isin(ensemble.linear.feature, list(codes))] if ensemble.linear else numeric
    compared = [*numeric.tolist(), *linear.tolist()]
    if compared:
        name = ensemble.feature_names[compared[0]] if ensemble.feature_names else str(compared[0])
        raise ModelError(
            f"model: the categories of feature {name!r} are compared as numbers, by their order in the training frame; "
            "expected a categorical feature"
        )
