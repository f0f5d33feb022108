"""Reference data of a bundle: the distributions of what it computes and decides of them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from quickthorn.bundle.distributions import ReferenceDistributions, distribution_of
from quickthorn.decision import STATUSES
from quickthorn.errors import FeatureError
from quickthorn.extras import require

if TYPE_CHECKING:
    from quickthorn.serving import Engine

Numbers: TypeAlias = npt.NDArray[np.float64]


def reference_distributions(
    replaying: Engine, deciding: Engine, data: Any, scores_of: Callable[[Numbers], Numbers] | None
) -> ReferenceDistributions:
    """What two new engines of one bundle make of reference data; each is told its events.

    ``data``       a float64 array (n, features); or an Arrow table, or the path of a Parquet file, with a column for
                   each feature, or else of events in order of time
    ``scores_of``  the scores of margins, float64 (n,); None in a bundle of features only

    Raises FeatureError for any other data, and where no row of them is left.
    """
    names = replaying.manifest.features
    if isinstance(data, np.ndarray):
        return _of_vectors(deciding, data, scores_of)
    table = _table(data)
    if set(names) <= set(table.column_names):
        return _of_vectors(deciding, np.column_stack([_numbers(table, name) for name in names]), scores_of)
    columns = np.empty((len(names), table.num_rows))
    ran = replaying._run_batch(table, "replay", columns, 1, None, None)
    fits = ran["statuses"] != STATUSES.index("invalid")
    if not fits.any():
        raise FeatureError(f"reference: expected events that fit the schema, found none among {table.num_rows}")
    features = {name: distribution_of(column[fits]) for name, column in zip(names, columns, strict=True)}
    rows = int(fits.sum())
    if scores_of is None:
        return ReferenceDistributions(of="events", rows=rows, features=features)
    decided = deciding.decide_batch(table)
    outcomes = Counter(decided.outcomes[fits].tolist())
    return ReferenceDistributions(
        of="events",
        rows=rows,
        features=features,
        margin=distribution_of(decided.margins[fits]),
        score=distribution_of(decided.scores[fits]),
        outcomes={name: outcomes[name] for name in decided.outcome_names},
    )


def _of_vectors(engine: Engine, given: Any, scores_of: Callable[[Numbers], Numbers] | None) -> ReferenceDistributions:
    names = engine.manifest.features
    vectors = np.ascontiguousarray(given, dtype=np.float64)
    if vectors.ndim != 2 or vectors.shape[1] != len(names) or not len(vectors):
        raise FeatureError(f"reference: expected an array of rows of {len(names)} features, found {list(given.shape)}")
    margins = engine._margins(vectors) if scores_of is not None else None
    return ReferenceDistributions(
        of="features",
        rows=len(vectors),
        features={name: distribution_of(column) for name, column in zip(names, vectors.T, strict=True)},
        margin=distribution_of(margins) if margins is not None else None,
        score=distribution_of(scores_of(margins)) if scores_of is not None and margins is not None else None,
    )


def _table(data: Any) -> Any:
    purpose = "reading reference data"
    if isinstance(data, (str, os.PathLike)):
        try:
            return require("pyarrow.parquet", "compile", purpose).read_table(data)
        except (OSError, ValueError) as error:
            raise FeatureError(f"reference: {os.fspath(data)}: expected a Parquet file, found: {error}") from error
    if not any(hasattr(data, protocol) for protocol in ("__arrow_c_stream__", "__arrow_c_array__")):
        raise FeatureError(
            "reference: expected an array, an object with the Arrow PyCapsule interface or the path of a Parquet file, "
            f"found {type(data).__name__}"
        )
    return require("pyarrow", "compile", purpose).table(data)


def _numbers(table: Any, name: str) -> Numbers:
    try:
        return np.asarray(table[name].cast("float64").to_numpy(zero_copy_only=False), dtype=np.float64)
    except (KeyError, ValueError) as error:
        raise FeatureError(f"reference: column {name!r}: expected numbers, once, found: {error}") from error
