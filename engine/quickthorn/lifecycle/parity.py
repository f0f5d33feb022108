"""A bundle's forest held to the library that trained it, on every row of some data: leaf by leaf and bit by bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from quickthorn.bundle import Bundle, Manifest
from quickthorn.bundle.manifest import GOLDEN_MARGINS, library_member
from quickthorn.compiling.source_model import category_texts
from quickthorn.errors import BundleError
from quickthorn.forest.importing import LoadedModel, load_model
from quickthorn.native import _native
from quickthorn.reference.contributions import contributions_of
from quickthorn.serving.target import runnable_targets

Rows = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

_CHUNK_ROWS: Final = 4096
# Where the library has no contributions of its own, they are those of the slow reference, so that few rows must do.
_ROWS_EXPLAINED_SLOWLY: Final = 16


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """The first row in which something differs, by its place in the data from 0, and on which CPU level's library."""

    row: int
    target: str
    what: str
    expected: float
    found: float


class Parity(msgspec.Struct, frozen=True, kw_only=True):
    """What was found of all rows, on the library of every CPU level that this processor runs.

    ``leaves_differing``        rows that come to another leaf in at least one tree
    ``margins_differing``       rows whose margin differs in at least one bit
    ``margins_undefined``       rows whose margin is not finite to the source library (linear leaves over infinities),
                                where there is no one right answer to hold to; their leaves are compared
    ``contributions_compared``  rows; 0 where the bundle was compiled without contributions
    ``contributions_differing`` rows with a contribution further off than 1e-5 of the span of the golden margins: the
                                source library rounds its own to float32
    ``first``                   None where nothing differs
    """

    rows: int
    targets: tuple[str, ...]
    trees: int
    leaves_differing: int
    margins_differing: int
    margins_undefined: int
    largest_margin_difference: float
    contributions_compared: int
    contributions_differing: int
    largest_contribution_difference: float
    first: Difference | None

    @property
    def holds(self) -> bool:
        """Whether nothing differs."""
        return self.first is None


@dataclass(frozen=True)
class _Wanted:
    """What the source library makes of some rows."""

    leaves: npt.NDArray[np.int32]
    margins: Rows
    finite: Flags
    contributions: Rows


@dataclass
class _Tally:
    leaves: int = 0
    margins: int = 0
    undefined: int = 0
    margin_difference: float = 0.0
    explained: int = 0
    contributions: int = 0
    contribution_difference: float = 0.0
    first: Difference | None = None


def parity(
    bundle: Bundle,
    model: object,
    vectors: Rows,
    values: Mapping[int, Sequence[str]],
    *,
    origin: str = "bundle",
    on_step: Callable[[str], object] = lambda step: None,
) -> Parity:
    """Hold a bundle's forest to its source library on every row.

    ``bundle``   what was read and is trusted: its libraries are mapped
    ``model``    the trained model, as ``load_model`` takes it
    ``vectors``  float64 (n, features), in the order of the bundle's features; NaN is missing
    ``values``   the category values of features that are categories, by their place
    ``on_step``  called with what is being done, in words, as each step of it begins

    Raises ModelError where the model cannot be read over the bundle's features, and BundleError, opened by ``origin``,
    where the bundle has no forest, was made from another model, or is for another processor.
    """
    manifest = bundle.manifest
    if manifest.forest is None or manifest.golden is None:
        raise BundleError(f"{origin}: expected a bundle with a forest to hold to its model, found one of features only")
    on_step("read the model")
    # Not a bundle's own model: that has no library to be held to.
    loaded = load_model(model, categories=category_texts(manifest.features, values))
    loaded = loaded.with_features(manifest.features).with_categories(values)
    if loaded.ensemble.tree_count != manifest.forest.trees:
        raise BundleError(
            f"{origin}: expected the model that it was compiled from, of {manifest.forest.trees} trees, "
            f"found one of {loaded.ensemble.tree_count}"
        )
    targets = runnable_targets(manifest.targets)
    if not targets:
        raise BundleError(f"{origin}: expected a library that this processor runs, found {', '.join(manifest.targets)}")
    forests = {target: _forest(bundle, manifest, target) for target in targets}
    span = float(np.ptp(np.frombuffer(bundle.members[GOLDEN_MARGINS], dtype="<f8")))
    on_step(f"hold {len(vectors):,} rows to {loaded.ensemble.source}")
    tally = _Tally()
    for first in range(0, len(vectors), _CHUNK_ROWS):
        chunk = vectors[first : first + _CHUNK_ROWS]
        wanted = _wanted(loaded, chunk, first, explained=manifest.golden.explained_rows > 0)
        _compare(forests, manifest.features, chunk, wanted, first, span, tally)
    return Parity(
        rows=len(vectors),
        targets=targets,
        trees=manifest.forest.trees,
        leaves_differing=tally.leaves,
        margins_differing=tally.margins,
        margins_undefined=tally.undefined,
        largest_margin_difference=tally.margin_difference,
        contributions_compared=tally.explained,
        contributions_differing=tally.contributions,
        largest_contribution_difference=tally.contribution_difference,
        first=tally.first,
    )


def _forest(bundle: Bundle, manifest: Manifest, target: str) -> _native.Forest:
    assert manifest.forest is not None
    return _native.Forest(
        library=bundle.members[library_member(target)],
        link=manifest.forest.link.value,
        link_scale=manifest.forest.link_scale,
        shape=(len(manifest.features), manifest.forest.trees, 1),
        feature_names=None,
        categories=None,
        unknown_category="missing",
    )


def _wanted(loaded: LoadedModel, chunk: Rows, first: int, *, explained: bool) -> _Wanted:
    margins = np.ascontiguousarray(loaded.source_margins(chunk), dtype=np.float64)
    return _Wanted(
        leaves=loaded.source_leaves(chunk),
        margins=margins,
        finite=np.isfinite(margins),
        contributions=_wanted_contributions(loaded, chunk, first) if explained else np.empty((0, chunk.shape[1] + 1)),
    )


def _wanted_contributions(loaded: LoadedModel, chunk: Rows, first: int) -> Rows:
    """float64 (m, features + 1), of the first m rows of the chunk."""
    own = loaded.source_contributions(chunk)
    if own is None:
        few = chunk[: max(0, _ROWS_EXPLAINED_SLOWLY - first)]
        slow = [contributions_of(loaded.ensemble, row.tolist())[0] for row in few]
        return np.array(slow).reshape(len(few), chunk.shape[1] + 1)
    return own[:, 0, :]


def _compare(
    forests: Mapping[str, _native.Forest],
    features: Sequence[str],
    chunk: Rows,
    wanted: _Wanted,
    first: int,
    span: float,
    tally: _Tally,
) -> None:
    count = len(wanted.contributions)
    trees = [f"leaf of tree {tree}" for tree in range(wanted.leaves.shape[1])]
    contributed = [*(f"contribution of {name}" for name in features), "expected margin"]
    leaves_off, margins_off = np.zeros(len(chunk), bool), np.zeros(len(chunk), bool)
    contributions_off = np.zeros(count, bool)
    found_first: list[Difference] = []
    for target, forest in forests.items():
        leaves = np.array([forest.leaves(row) for row in chunk])
        off = (leaves != wanted.leaves).any(axis=1)
        leaves_off |= off
        # The call that decides, and not the one over many rows.
        margins = np.array([forest.margin(row) for row in chunk])
        differs = (margins.view(np.uint64) != wanted.margins.view(np.uint64)) & wanted.finite
        margins_off |= differs
        gaps = np.abs(margins - wanted.margins)[differs]
        tally.margin_difference = max(tally.margin_difference, float(np.max(gaps, initial=0.0)))
        explained = forest.contributions_batch(chunk[:count]) if count else wanted.contributions
        wide = np.abs(explained - wanted.contributions)
        beyond = ~(wide <= 1e-5 * span + 1e-6 * np.abs(wanted.contributions))
        contributions_off |= beyond.any(axis=1)
        tally.contribution_difference = max(tally.contribution_difference, float(np.max(wide, initial=0.0)))
        found_first += _first_differences(
            target,
            first,
            (trees, leaves, wanted.leaves, leaves != wanted.leaves),
            (["margin"], margins[:, None], wanted.margins[:, None], differs[:, None]),
            (contributed, explained, wanted.contributions, beyond),
        )
    tally.leaves += int(leaves_off.sum())
    tally.margins += int(margins_off.sum())
    tally.undefined += int((~wanted.finite).sum())
    tally.explained += count
    tally.contributions += int(contributions_off.sum())
    if tally.first is None and found_first:
        tally.first = min(found_first, key=lambda difference: difference.row)


def _first_differences(
    target: str,
    first: int,
    *compared: tuple[Sequence[str], npt.NDArray[np.generic], npt.NDArray[np.generic], Flags],
) -> Iterator[Difference]:
    for names, found, wanted, differs in compared:
        places = np.argwhere(differs)
        if len(places):
            row, column = (int(place) for place in places[0])
            yield Difference(
                row=first + row,
                target=target,
                what=names[column],
                expected=float(wanted[row, column]),
                found=float(found[row, column]),
            )
