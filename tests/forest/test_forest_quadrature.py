"""How many points contributions are integrated at: what few points get wrong is never more than is proven."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.forest.test_forest_contributions import chain, lightgbm_model, small_forests
from tests.forest.test_forest_random import few

from quickthorn.forest import explanation, quadrature
from quickthorn.forest.ensemble import Ensemble
from quickthorn.forest.explanation import Explanation, explain
from quickthorn.forest.quadrature import centred_leaves, enough_points, gauss_legendre, most_wrong, spreads

Reals = npt.NDArray[np.float64]


def integrated(ensemble: Ensemble, share: Reals, left: npt.NDArray[np.bool_], root: int, points: int) -> Reals:
    """Every feature's contribution in one tree, by its definition as an integral, for a row that goes `left` so."""
    known, weight = gauss_legendre(points)
    contributions = np.zeros(ensemble.feature_count)

    def add(node: int, path: dict[int, tuple[float, float]]) -> None:
        if node < 0:
            factors = {feature: known * passed + (1 - known) * part for feature, (passed, part) in path.items()}
            for feature, (passed, part) in path.items():
                others = np.prod([factor for other, factor in factors.items() if other != feature], axis=0)
                contributions[feature] += ensemble.leaf_value[~node] * (passed - part) * (weight * others).sum()
            return
        feature = int(ensemble.feature[node])
        passed, part = path.get(feature, (1.0, 1.0))
        add(int(ensemble.left[node]), path | {feature: (passed * left[node], part * share[node])})
        add(int(ensemble.right[node]), path | {feature: (passed * (not left[node]), part * (1 - share[node]))})

    add(root, {})
    return contributions


def proven(ensemble: Ensemble, explained: Explanation) -> Reals:
    centred = centred_leaves(ensemble, explained.tree)
    levels = explanation._levels(explained.depth)
    return most_wrong(ensemble, explained.share, explained.seen, np.abs(centred[:, 0]), levels)


@settings(few, max_examples=60)
@given(ensemble=small_forests(features=7), seed=st.integers(0, 99))
def test_integrals_are_never_more_wrong_than_is_proven(ensemble: Ensemble, seed: int) -> None:
    explained = explain(ensemble)
    bound = proven(ensemble, explained)
    random = np.random.default_rng(seed)
    # Whatever a row can do, and more: it goes any way at any split, and often to the side that has little cover.
    ways = [random.random(len(explained.share)) < chance for chance in (0.5, 1 - explained.share, 1 - explained.share)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quadrature, "_INTEGRATED_TO", 0.02)
        points = explain(ensemble).points
    allowed = 0.02 * spreads(ensemble, explained.tree, centred_leaves(ensemble, explained.tree)).sum()
    for left in [*ways, explained.share < 0.5]:
        together = np.zeros(ensemble.feature_count)
        for tree in np.flatnonzero(ensemble.roots >= 0).tolist():
            root, most = int(ensemble.roots[tree]), int(explained.features_on_path[tree] + 1) // 2
            exact = integrated(ensemble, explained.share, left, root, most)
            wrong = [abs(integrated(ensemble, explained.share, left, root, n) - exact) for n in range(1, most)]
            for n, one in enumerate(wrong):
                assert one.max() <= bound[tree, n] * (1 + 1e-9) + 1e-12
            together += [*wrong, np.zeros(ensemble.feature_count)][points[tree] - 1]
        assert together.max() <= allowed * (1 + 1e-9) + 1e-12


@pytest.mark.parametrize("points", [1, 2, 3, 5])
def test_what_is_proven_is_reached(training: Any, points: int) -> None:
    # On one more features than points integrate, the highest power is of one path, with which nothing interferes.
    splits = 2 * points + 1
    ensemble = chain(lightgbm_model(training, 1).ensemble, splits, splits)
    ensemble = replace(ensemble, leaf_value=(-1.0) ** np.arange(splits + 1.0))
    explained = explain(ensemble)
    rare = explained.share < 0.5
    exact, found = (integrated(ensemble, explained.share, rare, 0, n) for n in (points + 1, points))
    bound = proven(ensemble, explained)[0, points - 1]
    assert abs(found - exact).max() == pytest.approx(bound, rel=1e-3)


def test_features_that_occur_again_cost_little(training: Any) -> None:
    # Two tests of every feature, to a leaf that few rows come to: as multiplied factors they would be two features.
    ensemble = chain(lightgbm_model(training, 1).ensemble, 24, 12)
    cover = 0.01 ** np.arange(25.0)
    ensemble = replace(
        ensemble,
        leaf_value=np.append(np.zeros(23), [1.0, -1.0]),
        split_cover=cover[:-1],
        leaf_cover=np.append(cover[:-1] - cover[1:], cover[-1]),
    )
    explained = explain(ensemble)
    right = np.zeros(24, np.bool_)
    exact = integrated(ensemble, explained.share, right, 0, 6)
    for n, bound in enumerate(proven(ensemble, explained)[0, :5], 1):
        found = integrated(ensemble, explained.share, right, 0, n)
        assert bound / 3 < abs(found - exact).max() < bound


def test_leaves_that_are_seldom_come_to_allow_little(training: Any) -> None:
    ensemble = chain(lightgbm_model(training, 1).ensemble, 3, 3)
    cover = np.array([50.0, 50.0, 100.0, 1e-3])
    ensemble = replace(ensemble, leaf_value=np.array([-1.0, 1.0, 0.0, 99.0]), leaf_cover=cover)
    tree = np.zeros(3, np.int64)
    (spread,) = spreads(ensemble, tree, centred_leaves(ensemble, tree))[0]
    assert spread == pytest.approx(2.5 * 0.5**0.5, rel=0.1)
    ensemble = replace(ensemble, leaf_cover=np.array([50.0, 0.0, 0.0, 50.0]))
    assert spreads(ensemble, tree, centred_leaves(ensemble, tree))[0] == [50.0]


def test_points_are_where_they_matter_most() -> None:
    random = np.random.default_rng(5)
    trees, exact = 200, random.integers(4, 20, 200)
    size = 0.9 ** np.arange(trees)
    wrong = size[:, np.newaxis] * 0.03 ** np.arange(1.0, 17.0)
    output = np.arange(trees) % 2
    work = random.integers(1, 60, trees)
    points = enough_points(wrong, exact, work, output)
    assert (points <= exact).all()
    left = np.where(points < exact, wrong[np.arange(trees), np.minimum(points, 16) - 1], 0.0)
    allowed = quadrature._INTEGRATED_TO
    assert (np.bincount(output, left) <= allowed).all()
    assert (np.bincount(output, left) > allowed / 100).all()
    assert points[:20].mean() > points[-20:].mean() + 1
