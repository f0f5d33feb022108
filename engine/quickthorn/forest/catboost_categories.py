"""Which categories the splits of a CatBoost model ask for: it keeps hashes of their texts, and rows hold codes.

Whole numbers are their own codes. The codes of other categories are places in a dictionary of those texts that some
split asks for; the texts come from the table that CatBoost adds to a JSON export made with ``pool=``, or are given. No
hash is computed here: CatBoost says which texts have the hashes that are in question.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from quickthorn.errors import ModelError
from quickthorn.extras import require
from quickthorn.forest.categories import Levels

# Whole numbers below this are looked for.
_NUMBERS = 2**16
# How many hashes are asked about at once, which bounds the table of answers.
_HASHES_AT_ONCE = 256
# What CatBoost makes of a number that is missing; the text itself is this category too.
_MISSING = "nan"


@dataclass(frozen=True)
class SplitCategories:
    """What the categorical splits of a model, n of them, ask for."""

    code: npt.NDArray[np.int32]
    """int32 [n]: the code, -1 where no code is meant"""
    missing: npt.NDArray[np.bool_]
    """bool [n]: whether missing values are the category"""
    dictionary: tuple[Levels | None, ...] | None
    """Per feature of a row, the texts whose codes are 0, 1, 2…; None where all categories are their own codes"""


def read_categories(
    features: npt.NDArray[np.int64],
    hashes: npt.NDArray[np.int64],
    names: Sequence[str],
    known: Iterable[str],
    given: Mapping[int, Sequence[str]],
    where: str,
) -> SplitCategories:
    """The codes of the categories whose hashes the splits on these features compare with; int64 [n] both.

    `names` has every feature of a row; `known` are texts that any of them may have had in training, `given` those of
    the feature at a place. Raises ModelError, naming the feature, where a category's text is not among them.
    """
    missing_hash = next(iter(_texts_by_hash(hashes, [_MISSING])), None)
    numbers = {
        found: int(texts[0])
        for found, texts in _texts_by_hash(hashes, map(str, range(_NUMBERS))).items()
        if len(texts) == 1
    }
    dictionary: list[Levels | None] = [None] * len(names)
    code = np.full(len(hashes), -1, np.int32)
    for feature in np.unique(features).tolist():
        here = f"{where}: the categorical feature {names[feature]!r}"
        asked = sorted(set(hashes[features == feature].tolist()) - {missing_hash})
        if all(found in numbers for found in asked):
            own = {found: numbers[found] for found in asked}
            _refuse_both_readings(own, given.get(feature, ()), here)
        else:
            texts = _texts_by_hash(hashes[features == feature], dict.fromkeys((*given.get(feature, ()), *known)))
            levels = _levels(asked, texts, here)
            own = {found: levels.index(texts[found][0]) for found in asked}
            if missing_hash in texts:
                # Someone may write out what a missing value is taken for.
                own[missing_hash] = len(levels)
                levels.append(_MISSING)
            dictionary[feature] = tuple(levels)
        for split in np.flatnonzero(features == feature):
            code[split] = own.get(int(hashes[split]), -1)
    named = tuple(dictionary) if any(levels is not None for levels in dictionary) else None
    return SplitCategories(code, hashes == missing_hash, named)


def known_texts(document: dict[str, Any]) -> list[str]:
    """The texts of categories in a JSON export that was made with ``pool=``; none in any other."""
    features = document.get("features_info")
    table = features.get("cat_features_hash") if isinstance(features, dict) else None
    entries = table if isinstance(table, list) else []
    texts = [entry.get("value") for entry in entries if isinstance(entry, dict)]
    return [text for text in texts if isinstance(text, str)]


def _levels(asked: list[int], texts: dict[int, list[str]], here: str) -> list[str]:
    levels = []
    for found in asked:
        if len(texts.get(found, ())) > 1:
            raise ModelError(f"{here}: CatBoost takes {' and '.join(map(repr, texts[found]))} for one category")
        if found not in texts:
            raise ModelError(
                f"{here} was trained on text, of which the model keeps hashes alone, and {len(asked) - len(texts)} of "
                f"{len(asked)} are of no text that is known; expected all that it was trained on: the values of a "
                "Category field, compile_model(categories=...), or a JSON export made with pool="
            )
        levels.append(texts[found][0])
    return levels


def _refuse_both_readings(own: dict[int, int], given: Sequence[str], here: str) -> None:
    """Refuse numbers that may be texts of a field or the places of others in it."""
    codes = set(own.values())
    for place, text in enumerate(given):
        if text.isascii() and text.isdigit() and int(text) in codes and int(text) != place:
            raise ModelError(
                f"{here} was trained on the category {text!r}, which may be that text or the place of another; "
                "expected texts that are no whole numbers, or numbers alone"
            )


def _texts_by_hash(hashes: npt.NDArray[np.int64], candidates: Iterable[str]) -> dict[int, list[str]]:
    """Which of the candidates have each hash; a hash that none has is left out."""
    texts = list(candidates)
    unique = np.unique(hashes).tolist()
    found: dict[int, list[str]] = {}
    if not texts:
        return found
    for begin in range(0, len(unique), _HASHES_AT_ONCE):
        asked = unique[begin : begin + _HASHES_AT_ONCE]
        taken = _taken(asked, texts)
        for column, value in enumerate(asked):
            matching = np.flatnonzero(taken[:, column])
            if len(matching):
                found[value] = [texts[place] for place in matching]
    return found


def _taken(hashes: list[int], texts: list[str]) -> npt.NDArray[np.bool_]:
    """bool [texts, hashes]: which texts CatBoost takes for the category of which hash.

    It offers no way to compute a hash, but a model with a tree for each tells.
    """
    catboost = require("catboost", "catboost", "reading a CatBoost model")
    signed = [value - 2**32 if value >= 2**31 else value for value in hashes]
    values = sorted(signed)
    feature = {"feature_index": 0, "flat_feature_index": 0, "feature_id": "", "values": values}
    # CatBoost goes by a split's index among all values alone.
    split = {"split_type": "OneHotFeature", "cat_feature_index": 0}
    trees = [
        {"leaf_values": [0, 1], "splits": [split | {"value": value, "split_index": values.index(value)}]}
        for value in signed
    ]
    document = {
        "features_info": {"categorical_features": [feature], "float_features": []},
        "oblivious_trees": trees,
        "scale_and_bias": [1, [0]],
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        path.write_text(json.dumps(document))
        try:
            model = catboost.CatBoost().load_model(str(path), format="json")
        except catboost.CatBoostError as error:
            raise ModelError(f"CatBoost cannot compare categories: {error}") from None
    rows = np.array(texts, object).reshape(-1, 1)
    taken = model.calc_leaf_indexes(catboost.Pool(rows, cat_features=[0]), thread_count=1)
    return np.asarray(taken, np.bool_).reshape(len(texts), len(hashes))
