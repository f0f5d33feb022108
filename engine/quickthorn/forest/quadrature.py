"""At how many points each tree's contributions are integrated: as few as are proven to be enough, whatever the row.

explanation.py says what is integrated: of a feature's contribution, a polynomial in p. It is a sum over leaves, of
their values times a factor for every feature on the path to them. With r the product of the shares of the feature's
tests there, the factor is p + (1 - p) * r where the row passes all of them, and (1 - p) * r where it fails one; that of
the contribution's own feature is this one's slope. About the middle, p = (1 + u) / 2 with u in [-1, 1], factors are

    (1 + r) / 2 + (1 - r) / 2 * u    and    r / 2 - r / 2 * u.

n Gauss-Legendre points integrate odd powers of u exactly, and even ones below 2n, and make others too small, by

    missed(n, k) = 1 / (k + 1) - the sum of weight * u**k,    k = 2n, 2n + 2, ...

So an integral can be wrong by the sum of missed(n, k) times what is in front of u**k, whatever its sign, and no more.
In front of u**k there is never more than in the same polynomial without any signs: factors multiplied along paths and
added up over leaves, and at every split the greater of what the two ways that a row can go there have in front of each
power. A contribution's own factor is a slope, and p's is twice u's: so it has at most twice what all factors together
have in front of u**(k + 1).

Where a feature occurs again, its factor is changed rather than multiplied. With s the product of the shares of its
tests above, which the row has passed, the factor is (1 + s) / 2 + (1 - s) / 2 * u above; and below, no power of u has
more than if that were multiplied, r being the test's own share, by

    (1 + s * r) / (1 + s) + 2 * s * (1 - r) / (1 + s)**2 * u    or    s * r / (1 + s) + 2 * s**2 * r / (1 + s)**2 * u,

which for s = 1, a new feature, are the factors above. Where the row has failed one of the tests above, both sides count
by their share, which is between what the two ways come to.

A constant that is taken from all leaves of a tree changes no contribution, so leaves are counted from the middle of
theirs. Bounds add up over an output's trees: points are left out where that adds the least for the work it saves.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from quickthorn.forest.ensemble import Ensemble

# What an output's contributions are proven to be right to: this part of half of what the leaves of its trees differ by,
# added up over the trees. What rows are found to be wrong by is hundreds of times less, about the roundings of float32.
_INTEGRATED_TO = 2e-6
# A tree counts for no more than so many standard deviations that its values have in the training data. Leaves that are
# far from others, but seldom come to, would allow what margins are not wide enough for.
_DEVIATIONS = 2.5
# With more points, there are as many as integrate exactly.
_MOST_BOUNDED_POINTS = 16
# What it costs that trees have a number of points of their own, in splits times points: blocks that are less full.
_GROUP_WORK = 2000
# How many powers of u are told apart; all above are taken for the last.
_POWERS = 64

Numbers = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]


def gauss_legendre(count: int) -> tuple[Reals, Reals]:
    """Points in (0, 1) and their weights, float64 [count] each, exact for polynomials of degree 2 * count - 1."""
    points, weights = np.polynomial.legendre.leggauss(count)
    return (points + 1.0) / 2.0, weights / 2.0


def centred_leaves(ensemble: Ensemble, tree: Numbers) -> Reals:
    """The leaves' values less the middle of their tree's, float64 [leaves, outputs of a tree]; `tree` is a split's."""
    values = ensemble.leaf_value.astype(np.float64).reshape(len(ensemble.leaf_id), -1)
    of_tree = _leaf_trees(ensemble, tree)
    low, high = (np.full((ensemble.tree_count, values.shape[1]), bound) for bound in (np.inf, -np.inf))
    grown = of_tree >= 0
    np.minimum.at(low, of_tree[grown], values[grown])
    np.maximum.at(high, of_tree[grown], values[grown])
    centred = np.zeros_like(values)
    centred[grown] = values[grown] - (low[of_tree[grown]] / 2 + high[of_tree[grown]] / 2)
    return centred


def _leaf_trees(ensemble: Ensemble, tree: Numbers) -> Numbers:
    """Each leaf's tree; -1 where that is no more than the leaf."""
    of_tree = np.full(len(ensemble.leaf_id), -1, np.int64)
    for children in (ensemble.left, ensemble.right):
        of_tree[~children[children < 0]] = tree[children < 0]
    return of_tree


def spreads(ensemble: Ensemble, tree: Numbers, centred: Reals) -> Reals:
    """Of each tree half of what its leaves differ by, or less where little training data came to the outer ones.

    float64 [trees, outputs of a tree].
    """
    assert ensemble.leaf_cover is not None, "explained forests have covers"
    of_tree = _leaf_trees(ensemble, tree)
    grown = of_tree >= 0
    of_tree, cover, values = of_tree[grown], ensemble.leaf_cover[grown, np.newaxis], centred[grown]
    half, total, mean, square = (np.zeros((ensemble.tree_count, centred.shape[1])) for _ in range(4))
    np.maximum.at(half, of_tree, np.abs(values))
    np.add.at(total, of_tree, cover)
    np.add.at(mean, of_tree, cover * values)
    np.add.at(square, of_tree, cover * values**2)
    total = _or_one(total)
    deviation = np.sqrt(np.maximum(square / total - (mean / total) ** 2, 0.0))
    spread: Reals = np.clip(_DEVIATIONS * deviation, 1e-6 * half, half)
    return spread


def point_counts(
    ensemble: Ensemble,
    share: Reals,
    seen: Reals,
    tree: Numbers,
    levels: list[Numbers],
    exact: Numbers,
) -> Numbers:
    """How many points each tree needs, at most the `exact` ones: of splits, what explanation.py makes of them."""
    centred = centred_leaves(ensemble, tree)
    spread = spreads(ensemble, tree, centred)
    output = np.maximum(ensemble.tree_output, 0).astype(np.int64)
    if ensemble.vector_leaves:
        # Every leaf by the output of which it is the greatest part.
        size = (np.abs(centred) / _or_one(spread.sum(axis=0))).max(axis=1)
        total = np.ones(ensemble.tree_count)
    else:
        size = np.abs(centred[:, 0])
        total = _or_one(np.bincount(output, spread[:, 0]).astype(np.float64))[output]
    wrong = most_wrong(ensemble, share, seen, size, levels) / total[:, np.newaxis]
    return enough_points(wrong, exact, np.bincount(tree, minlength=ensemble.tree_count).astype(np.int64), output)


def _or_one(totals: Reals) -> Reals:
    """Divisors: where all is 0, so is what is divided."""
    return np.where(totals > 0.0, totals, 1.0)


def most_wrong(ensemble: Ensemble, share: Reals, seen: Reals, size: Reals, levels: list[Numbers]) -> Reals:
    """What each tree's contributions may be wrong by at 1, 2, ... points, float64 [trees, most bounded points].

    `size` is the leaves', without signs.
    """
    # Of the splits of a level, what is in front of each power. All their children are in the level below.
    number = np.zeros(len(share), np.int64)
    below = np.zeros((0, _POWERS))
    for level in reversed(levels):
        left, right = (np.zeros((len(level), _POWERS)) for _ in range(2))
        for side, child in ((left, ensemble.left[level]), (right, ensemble.right[level])):
            side[child < 0, 0] = size[~child[child < 0]]
            side[child >= 0] = below[number[child[child >= 0]]]
        part, s = share[level, np.newaxis], seen[level, np.newaxis]
        more_left, more_right = _times_u(left), _times_u(right)
        below = np.maximum(
            _passed(left, more_left, part, s) + _failed(right, more_right, 1.0 - part, s),
            _passed(right, more_right, 1.0 - part, s) + _failed(left, more_left, part, s),
        )
        number[level] = np.arange(len(level))
    wrong = np.zeros((ensemble.tree_count, _MOST_BOUNDED_POINTS))
    grown = ensemble.roots >= 0
    wrong[grown] = below[number[ensemble.roots[grown]]] @ _missed().T
    return wrong


def _passed(side: Reals, times_u: Reals, share: Reals, seen: Reals) -> Reals:
    """A side that the row goes to, times its factor."""
    return (1.0 + seen * share) / (1.0 + seen) * side + 2.0 * seen * (1.0 - share) / (1.0 + seen) ** 2 * times_u


def _failed(side: Reals, times_u: Reals, share: Reals, seen: Reals) -> Reals:
    """A side that the row does not go to, times its factor."""
    return seen * share / (1.0 + seen) * (side + 2.0 * seen / (1.0 + seen) * times_u)


def _times_u(polynomials: Reals) -> Reals:
    higher = np.zeros_like(polynomials)
    higher[:, 1:] = polynomials[:, :-1]
    higher[:, -1] += polynomials[:, -1]
    return higher


def _missed() -> Reals:
    """What n points miss of a contribution for what is in front of u**(k + 1), float64 [n - 1, k + 1]: at most."""
    missed = np.zeros((_MOST_BOUNDED_POINTS, _POWERS))
    for count in range(1, _MOST_BOUNDED_POINTS + 1):
        points, weights = gauss_legendre(count)
        for power in range(2 * count, _POWERS - 2, 2):
            missed[count - 1, power + 1] = 2.0 * (1.0 / (power + 1) - (weights * (2.0 * points - 1.0) ** power).sum())
    # Of all higher powers no more than the whole of the lowest.
    missed[:, -1] = 2.0 / (_POWERS - 1)
    return missed


def enough_points(wrong: Reals, exact: Numbers, work: Numbers, output: Numbers) -> Numbers:
    """How many points each tree needs, lest an output's trees are together wrong by more than allowed.

    `wrong` [trees, most bounded points] is what part of that output's total a tree may be wrong by at 1, 2, ... points,
    `exact` with how many it is not, and `work` what a point of it costs.
    """
    bounded = np.arange(1, _MOST_BOUNDED_POINTS + 1)
    counts = np.column_stack([np.minimum(bounded, exact[:, np.newaxis]), exact])
    wrong = np.where(counts < exact[:, np.newaxis], np.column_stack([wrong, np.zeros(len(exact))]), 0.0)
    points = np.zeros_like(exact)
    for number in np.unique(output):
        own = output == number
        points[own] = _least_work(counts[own], wrong[own], work[own])
    return points


def _least_work(counts: Numbers, wrong: Reals, work: Numbers) -> Numbers:
    """Of what each tree can have, in columns, what is least work together: few enough different counts, too."""
    widest = _left_out(counts, wrong, work)
    assert widest is not None, "exact integrals are not wrong"
    columns = np.flatnonzero(np.isin(counts, widest).any(axis=0))
    found = []
    for last in range(columns[0], columns[-1] + 1):
        for first in range(columns[0], last + 1):
            some = slice(first, last + 1)
            points = _left_out(counts[:, some], wrong[:, some], work)
            if points is not None:
                found.append((int((points * work).sum()) + _GROUP_WORK * len(np.unique(points)), first, last, points))
    return min(found, key=lambda one: one[:3])[3]


def _left_out(counts: Numbers, wrong: Reals, work: Numbers) -> Numbers | None:
    """The last columns' points but for those that add the least for the work they save; None if these are too few."""
    # What it adds to leave out a tree's last points, then those before, and so on; and what it adds for the work saved.
    added = wrong[:, -2::-1] - wrong[:, :0:-1]
    saved = (counts[:, :0:-1] - counts[:, -2::-1]) * work[:, np.newaxis]
    price = np.divide(added, saved, out=np.zeros_like(added), where=saved > 0)
    order = np.argsort(np.maximum.accumulate(price, axis=1).ravel(), kind="stable")
    allowed = _INTEGRATED_TO - wrong[:, -1].sum()
    if allowed < 0.0:
        return None
    fits = np.searchsorted(np.maximum.accumulate(added.ravel()[order].cumsum()), allowed, side="right")
    left_out = np.bincount(order[:fits] // max(added.shape[1], 1), minlength=len(counts))
    points: Numbers = counts[np.arange(len(counts)), counts.shape[1] - 1 - left_out]
    return points
