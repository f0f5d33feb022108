"""Real models from public test suites: every stored row, leaf for leaf and bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quickthorn.forest.emission import emit_forest
from quickthorn.forest.importing import load_model
from quickthorn.forest.probes import probe_rows
from quickthorn.forest.treelet_emission import emit_fastest
from quickthorn.native import _native

LEVELS = [level for level in ("x86-64-v2", "x86-64-v3", "x86-64-v4") if _native.processor_supports(level)]
MODELS = [
    "lleaves_NYC_taxi/model.txt",
    "lleaves_airline/model.txt",
    "lleaves_boston_housing/model.txt",
    "lleaves_leaf_scan/model.txt",
    "lleaves_mixed_categorical/model.txt",
    "lleaves_mtpl2/model.txt",
    "lleaves_pure_categorical/model.txt",
    "lleaves_single_tree/model.txt",
    "lleaves_tiniest_single_tree/model.txt",
    "treelite_lightgbm_constant_tree/model_with_constant_tree.txt",
    "treelite_mushroom/converted.json",
    "treelite_mushroom/converted.ubj",
    "treelite_toy_categorical/toy_categorical_model.txt",
    "treelite_xgb_toy_categorical/xgb_toy_categorical_model.json",
    "lleaves_multiclass/model.txt",
    "treelite_dermatology/converted.json",
    "treelite_dermatology/converted.ubj",
]


# The walk, and what a bundle is compiled from, at the best level of this processor.
EMITTERS = [(emit_forest, ""), (emit_fastest, LEVELS[-1])]


@pytest.mark.parametrize(("emit", "level"), EMITTERS)
@pytest.mark.parametrize("name", MODELS)
def test_every_stored_row_has_the_librarys_leaves_and_margin(
    name: str, emit: Callable[..., Any], level: str, shared_models: Path, compile_forest: Callable[..., Any]
) -> None:
    path = shared_models / name
    model = load_model(path)
    native = compile_forest(model.ensemble, emit=emit, level=level)
    stored = np.load(path.parent / "io.npz")
    seen = 0
    for kind in ("real", "probe"):
        if f"X_{kind}" in stored:
            rows = stored[f"X_{kind}"]
            assert np.array_equal(native.leaves(rows), stored[f"leaf_{kind}"])
            assert np.array_equal(native.margins(rows), stored[f"raw_{kind}"].astype(np.float64))
            link = model.ensemble.link
            raw = stored[f"raw_{kind}"].astype(np.float64).reshape(len(rows), -1)
            scores = [link.scores(margins, model.ensemble.link_scale) for margins in raw.tolist()]
            expected = stored[f"pred_{kind}"].reshape(len(rows), -1)
            np.testing.assert_allclose(scores, expected, rtol=3e-7, atol=1e-7)
            seen += len(rows)
    assert seen >= 3000
    probes = probe_rows(model.ensemble, 500, seed=1)
    assert np.array_equal(native.leaves(probes), model.source_leaves(probes))
    assert np.array_equal(native.margins(probes), model.source_margins(probes))


def test_text_categories_have_a_dictionary(shared_models: Path) -> None:
    dictionary = load_model(shared_models / "lleaves_mtpl2" / "model.txt").ensemble.category_dictionary
    assert dictionary is not None
    named = {feature: levels[:2] for feature, levels in enumerate(dictionary) if levels is not None}
    assert named == {13: ("R11", "R21"), 14: ("Diesel", "Regular")}
