"""The probe rows: the same for the same seed, and full of what goes wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quickthorn.errors import ModelError
from quickthorn.forest.importing import LoadedModel, load_model
from quickthorn.forest.probes import probe_rows


@pytest.fixture(scope="module")
def model(lightgbm: Any, training: Any) -> LoadedModel:
    dataset = lightgbm.Dataset(training[0], training[2], categorical_feature=[4])
    return load_model(lightgbm.train({"verbosity": -1, "num_threads": 1, "num_leaves": 15}, dataset, 5))


def test_rows_depend_on_the_seed_alone(model: LoadedModel) -> None:
    first, second = probe_rows(model.ensemble, 300, 4), probe_rows(model.ensemble, 300, 4)
    assert first.tobytes() == second.tobytes()
    assert first.tobytes() != probe_rows(model.ensemble, 300, 5).tobytes()
    assert first.shape == (300, 5)
    assert first.dtype == np.float64


def test_values_sit_on_and_beside_thresholds_and_on_odd_numbers(model: LoadedModel) -> None:
    ensemble = model.ensemble
    values = probe_rows(ensemble, 3000, 1)[:, 0]
    thresholds = ensemble.threshold[(ensemble.feature == 0) & ~ensemble.categorical]
    for beside in (thresholds, np.nextafter(thresholds, np.inf), np.nextafter(thresholds, -np.inf)):
        assert np.isin(values, beside).sum() > 20
    assert np.isin(values, np.nextafter(thresholds.astype(np.float32), np.float32(np.inf))).sum() > 20
    for special in (0.0, np.inf, -np.inf, 1e-36, -1e-36):
        assert (values == special).any()
    assert np.isnan(values).any()
    assert np.signbit(values[values == 0]).any()


def test_categories_are_unseen_negative_and_fractional_too(model: LoadedModel) -> None:
    values = probe_rows(model.ensemble, 3000, 1)[:, 4]
    known = set(model.ensemble.categories.tolist())
    assert np.isin(values, list(known)).sum() > 100
    finite = values[np.isfinite(values)]
    assert (finite > max(known)).any()
    assert ((finite > -1) & (finite < 0)).any()
    assert (finite <= -1).any()
    assert (finite % 1 != 0).any()


def test_every_leaf_of_a_small_forest_is_reached(model: LoadedModel) -> None:
    leaves = model.source_leaves(probe_rows(model.ensemble, 3000, 1))
    reached = sum(len(np.unique(column)) for column in leaves.T)
    assert reached > 0.8 * len(model.ensemble.leaf_id)


def test_counts_below_and_at_nothing(model: LoadedModel) -> None:
    assert probe_rows(model.ensemble, 0, 1).shape == (0, 5)
    with pytest.raises(ModelError, match="got -1"):
        probe_rows(model.ensemble, -1, 1)
