"""What every feature adds to a margin: path-dependent TreeSHAP by walking every path with the features on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from quickthorn.reference.forest import EVERY_OUTPUT, goes_left, prepared_row

if TYPE_CHECKING:
    from quickthorn.forest.ensemble import Ensemble


class _OnPath(NamedTuple):
    """A feature on the way to a leaf: how likely the way is taken without knowing it, and whether with it."""

    feature: int
    unknown: float
    known: float


def contributions_of(ensemble: Ensemble, features: Sequence[float]) -> list[list[float]]:
    """For each output, every feature's contribution to the margin, and last the margin that is to be expected.

    The contributions are the Shapley values of the game that Lundberg et al. (Nature Machine Intelligence 2, 2020) play
    with the features: where one is not known, a split on it leads to both sides, by the cover that they have.
    """
    row = prepared_row(ensemble, features)
    outputs = ensemble.output_count
    table = [[0.0] * (ensemble.feature_count + 1) for _ in range(outputs)]
    for root, output in zip(ensemble.roots.tolist(), ensemble.tree_output.tolist(), strict=True):
        of_tree = range(outputs) if output == EVERY_OUTPUT else [output]
        _add_paths(ensemble, root, row, [], 1.0, [table[j] for j in of_tree])
    for output, values in enumerate(table):
        trees = np.isin(ensemble.tree_output, (output, EVERY_OUTPUT)).sum()
        factor = ensemble.scale / trees if ensemble.average else ensemble.scale
        base = float(ensemble.base_margin[output])
        values[:] = [value * factor for value in values]
        values[-1] += base if ensemble.base_last else base * factor
    return table


def _add_paths(
    ensemble: Ensemble, node: int, row: Sequence[Any], path: list[_OnPath], weight: float, tables: list[list[float]]
) -> None:
    """Add what the leaves from ``node`` on contribute; ``weight`` is their share of what passed the tree."""
    if node < 0:
        leaf = np.atleast_1d(ensemble.leaf_value[~node]).tolist()
        shapley = {on.feature: _shapley(path, index) for index, on in enumerate(path)}
        for values, value in zip(tables, leaf, strict=True):
            values[-1] += weight * value
            for feature, share in shapley.items():
                values[feature] += share * value
        return
    feature = int(ensemble.feature[node])
    left = goes_left(ensemble, node, row[feature])
    sides = (int(ensemble.left[node]), left), (int(ensemble.right[node]), not left)
    covers = [_cover(ensemble, child) for child, _ in sides]
    before = next((on for on in path if on.feature == feature), _OnPath(feature, 1.0, 1.0))
    others = [on for on in path if on.feature != feature]
    for (child, taken), cover in zip(sides, covers, strict=True):
        part = cover / sum(covers) if sum(covers) > 0 else 0.5
        on = _OnPath(feature, before.unknown * part, before.known if taken else 0.0)
        _add_paths(ensemble, child, row, [*others, on], weight * part, tables)


def _cover(ensemble: Ensemble, node: int) -> float:
    assert ensemble.split_cover is not None
    assert ensemble.leaf_cover is not None
    return float(ensemble.split_cover[node] if node >= 0 else ensemble.leaf_cover[~node])


def _shapley(path: list[_OnPath], index: int) -> float:
    """The Shapley value of one of the features on a path, in the game whose value is the chance to come to its end."""
    others = [on for place, on in enumerate(path) if place != index]
    # By how many of the others are known: the sum, over all choices of so many, of the chance to come here.
    by_size = [1.0]
    for on in others:
        without = [value * on.unknown for value in by_size] + [0.0]
        with_it = [0.0] + [value * on.known for value in by_size]
        by_size = [one + other for one, other in zip(without, with_it, strict=True)]
    total, orders = 0.0, 1.0 / len(path)
    for size, value in enumerate(by_size):
        # The share of all orders in which exactly the chosen come before: size! (n - 1 - size)! / n!
        total += orders * value
        if size < len(others):
            orders *= (size + 1) / (len(others) - size)
    return total * (path[index].known - path[index].unknown)
