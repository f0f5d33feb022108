"""CatBoost models made an Ensemble, with CatBoost itself as the truth about leaves and margins."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from quickthorn.calibration.link import Link
from quickthorn.errors import ModelError
from quickthorn.extras import require
from quickthorn.forest.catboost_categories import SplitCategories, known_texts, read_categories
from quickthorn.forest.catboost_document import CatBoostDocument, decode_document, read_document
from quickthorn.forest.catboost_source import CatBoostSource
from quickthorn.forest.ensemble import EVERY_OUTPUT, Ensemble, Missing, is_cover
from quickthorn.forest.probes import probe_rows
from quickthorn.forest.structure import FlatTrees, cover_summed_upward, flatten_trees

_PURPOSE = "reading a CatBoost model"

Categories: TypeAlias = Mapping[str | int, Sequence[str]]

_CBM_MAGIC = b"CBM1"
_JSON_BEGIN = re.compile(rb'\s*\{\s*"(ctr_data|features_info|model_info|oblivious_trees|scale_and_bias|trees)"')

# CatBoost follows a file's numbers without looking, so one that is damaged may end the process that loads it.
_EXPORT = """\
import sys, catboost
catboost.CatBoost().load_model(sys.argv[1], format=sys.argv[2]).save_model(sys.argv[3], format="json")
"""
_EXPORT_SECONDS = 600

# How many rows are shown to CatBoost to see how it numbers leaves.
_WITNESSES = 400

_LINK_OF = {
    "Logloss": Link.SIGMOID,
    "CrossEntropy": Link.SIGMOID,
    "Focal": Link.SIGMOID,
    "MultiLogloss": Link.SIGMOID,
    "MultiCrossEntropy": Link.SIGMOID,
    "MultiClassOneVsAll": Link.SIGMOID,
    "MultiClass": Link.SOFTMAX,
    "Poisson": Link.EXP,
    "Tweedie": Link.EXP,
    "LogLinQuantile": Link.EXP,
    "RMSE": Link.IDENTITY,
    "MAE": Link.IDENTITY,
    "MAPE": Link.IDENTITY,
    "Quantile": Link.IDENTITY,
    "MultiQuantile": Link.IDENTITY,
    "MultiRMSE": Link.IDENTITY,
    "MultiRMSEWithMissingValues": Link.IDENTITY,
    "Expectile": Link.IDENTITY,
    "Huber": Link.IDENTITY,
    "LogCosh": Link.IDENTITY,
    "Lq": Link.IDENTITY,
    "QueryRMSE": Link.IDENTITY,
    "QuerySoftMax": Link.IDENTITY,
    "PairLogit": Link.IDENTITY,
    "PairLogitPairwise": Link.IDENTITY,
    "YetiRank": Link.IDENTITY,
    "YetiRankPairwise": Link.IDENTITY,
    "LambdaMart": Link.IDENTITY,
    "StochasticFilter": Link.IDENTITY,
    "StochasticRank": Link.IDENTITY,
}


def is_model(data: bytes) -> bool:
    """Whether a file's bytes look like a CatBoost model, .cbm or exported to JSON."""
    return data.startswith(_CBM_MAGIC) or _JSON_BEGIN.match(data) is not None


def read_file(data: bytes, where: str, categories: Categories) -> tuple[Ensemble, CatBoostSource]:
    """The forest in the bytes of a .cbm or .json file, and the model CatBoost makes of them.

    `categories` has the texts that features were trained on, by name or place, where the model keeps hashes alone.
    """
    kind = "cbm" if data.startswith(_CBM_MAGIC) else "json"
    # The size of the trees stands behind the magic number.
    if kind == "cbm" and len(data) < 8 + int.from_bytes(data[4:8], "little"):
        raise ModelError(f"{where}: this CatBoost model ends before its trees do; it is truncated")
    known: list[str] = []
    if kind == "json":
        # CatBoost takes the beginning of a document for all of it.
        known = known_texts(decode_document(data, where))
    catboost = require("catboost", "catboost", _PURPOSE)
    with tempfile.TemporaryDirectory() as folder:
        model, exported = Path(folder) / "model", Path(folder) / "exported"
        model.write_bytes(data)
        _export_apart(model, kind, exported, where)
        document = read_document(exported.read_bytes(), where)
        loaded = catboost.CatBoost()
        try:
            loaded.load_model(str(model), format=kind)
        except catboost.CatBoostError as error:
            raise ModelError(f"{where}: CatBoost cannot load the file: {error}") from None
    return _read(loaded, document, known, categories, where)


def read_estimator(estimator: Any, where: str, categories: Categories) -> tuple[Ensemble, CatBoostSource]:
    """The forest of a fitted CatBoost object."""
    catboost = require("catboost", "catboost", _PURPOSE)
    if not estimator.is_fitted():
        raise ModelError(f"{where}: the model is not fitted")
    with tempfile.TemporaryDirectory() as folder:
        model, exported = Path(folder) / "model", Path(folder) / "exported"
        symmetric = estimator._object._is_oblivious()
        try:
            estimator.save_model(str(exported if symmetric else model), format="json" if symmetric else "cbm")
        except catboost.CatBoostError as error:
            raise ModelError(f"{where}: CatBoost cannot export the model: {error}") from None
        if not symmetric:
            # CatBoost reads what is not there where such trees came without the weights of their leaves.
            _export_apart(model, "cbm", exported, where)
        document = read_document(exported.read_bytes(), where)
    return _read(estimator, document, [], categories, where)


def _export_apart(model: Path, kind: str, exported: Path, where: str) -> None:
    """Have another process load a file and export it as JSON, as this one may not survive it."""
    command = [sys.executable, "-P", "-c", _EXPORT, str(model), kind, str(exported)]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=_EXPORT_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise ModelError(f"{where}: CatBoost did not load the file in {_EXPORT_SECONDS} s") from None
    if ran.returncode != 0 or not exported.is_file():
        ended = f"its process ended with {ran.returncode}"
        lines = ran.stderr.strip().splitlines() if ran.returncode >= 0 else []
        raise ModelError(f"{where}: CatBoost cannot load the file: {[ended, *lines][-1]}")


def _read(
    model: Any, document: CatBoostDocument, known: list[str], categories: Categories, where: str
) -> tuple[Ensemble, CatBoostSource]:
    link = _LINK_OF.get(document.objective)
    if link is None:
        raise ModelError(
            f"{where}: unknown objective {document.objective!r}; expected one of {', '.join(sorted(_LINK_OF))}"
        )
    outputs = len(document.bias)
    first_node = np.cumsum([0, *(len(tree.left) for tree in document.trees)], dtype=np.int64)
    flat = flatten_trees(first_node, _joined(document, "left"), _joined(document, "right"), where)
    asked = _categories(document, flat, known, categories, where)
    source = CatBoostSource(model, outputs, len(document.trees), link, document.categorical, asked.dictionary)
    leaf_ids = np.concatenate([tree.leaf_ids for tree in document.trees], axis=1)[:, flat.leaf_nodes].astype(np.int32)
    values = _joined(document, "value")[flat.leaf_nodes]
    weights = None
    if all(tree.weight is not None for tree in document.trees):
        weights = _joined(document, "weight")[flat.leaf_nodes]
        weights = weights if is_cover(weights) else None
    ensemble = Ensemble(
        source="catboost",
        source_version=document.version,
        objective=document.objective,
        feature_count=document.feature_count,
        feature_names=document.feature_names,
        precision="float32",
        sum_precision="float64",
        operator="<=",
        zero_threshold=0.0,
        negative_fractions_truncate=True,
        output_count=outputs,
        tree_output=np.full(len(document.trees), EVERY_OUTPUT if outputs > 1 else 0, np.int32),
        leaf_value=values if outputs > 1 else values[:, 0],
        leaf_id=leaf_ids[0],
        split_cover=None if weights is None else cover_summed_upward(flat, weights),
        leaf_cover=weights,
        base_margin=document.bias,
        # Starting from no bias is adding none, and evaluators like it better.
        base_last=bool(document.bias.any()),
        scale=document.scale,
        link=link,
        link_scale=1.0,
        category_dictionary=asked.dictionary,
        **_splits(document, flat, asked),
    )
    return replace(ensemble, leaf_id=_numbering(ensemble, source, leaf_ids, where)), source


def _numbering(
    ensemble: Ensemble, source: CatBoostSource, leaf_ids: npt.NDArray[np.int32], where: str
) -> npt.NDArray[np.int32]:
    """The one of several ways to number leaves that CatBoost has for this model; only its answers tell."""
    first: npt.NDArray[np.int32] = leaf_ids[0]
    second: npt.NDArray[np.int32] = leaf_ids[1]
    if np.array_equal(first, second):
        return first
    rows = probe_rows(ensemble, _WITNESSES, seed=0)
    reached = _reached(ensemble, rows)
    said = source.leaves(rows)
    for numbering in (first, second):
        if np.array_equal(numbering[reached], said):
            return numbering
    raise ModelError(f"{where}: CatBoost numbers the leaves of this model in an unknown way")


def _reached(ensemble: Ensemble, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """int64 [n, trees]: the leaf each walk ends at; for many rows at once, and CatBoost's kinds of splits alone."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        values = rows.astype(np.float32)
    asked = np.full(len(ensemble.feature), np.nan)
    asked[np.diff(ensemble.category_offsets) > 0] = ensemble.categories
    row = np.arange(len(rows))[:, np.newaxis]
    at = np.tile(ensemble.roots.astype(np.int64), (len(rows), 1))
    while (at >= 0).any() and len(asked):
        split = np.maximum(at, 0)
        value = values[row, ensemble.feature[split]]
        missing = np.isnan(value)
        holds = np.where(
            ensemble.categorical[split], np.trunc(value) == asked[split], value <= ensemble.threshold[split]
        )
        goes_left = np.where(missing, ensemble.default_left[split], holds)
        at = np.where(at < 0, at, np.where(goes_left, ensemble.left[split], ensemble.right[split]))
    return ~at


def _categories(
    document: CatBoostDocument, flat: FlatTrees, known: list[str], categories: Categories, where: str
) -> SplitCategories:
    """What the categorical splits ask for."""
    feature = _joined(document, "feature")[flat.split_nodes]
    categorical = document.categorical[feature]
    hashes = _joined(document, "category")[flat.split_nodes][categorical]
    names = document.feature_names or tuple(map(str, range(document.feature_count)))
    # A name says which feature is meant, and without names its place does.
    keys: Sequence[str | int] = document.feature_names or range(document.feature_count)
    given = {place: tuple(categories[key]) for place, key in enumerate(keys) if key in categories}
    return read_categories(feature[categorical], hashes, names, known, given, where)


def _splits(document: CatBoostDocument, flat: FlatTrees, asked: SplitCategories) -> dict[str, Any]:
    """The arrays of an Ensemble that are about roots and splits, by name."""
    feature = _joined(document, "feature")[flat.split_nodes]
    categorical = document.categorical[feature]
    default_left = ~categorical & ~document.missing_goes_right[feature]
    default_left[categorical] = asked.missing
    in_set = np.zeros(len(feature), np.int64)
    in_set[categorical] = asked.code >= 0
    return {
        "roots": flat.roots,
        "feature": feature.astype(np.int32),
        "threshold": _joined(document, "border")[flat.split_nodes],
        # A category that is the one asked for leads right; here it is the set's members that go left.
        "left": np.where(categorical, flat.right, flat.left),
        "right": np.where(categorical, flat.left, flat.right),
        "default_left": default_left,
        "missing": np.full(len(feature), Missing.NAN, np.uint8),
        "categorical": categorical,
        "category_offsets": np.concatenate([[0], np.cumsum(in_set)]),
        "categories": asked.code[asked.code >= 0],
    }


def _joined(document: CatBoostDocument, name: str) -> npt.NDArray[Any]:
    """A column of all trees' nodes."""
    return np.concatenate([getattr(tree, name) for tree in document.trees])
