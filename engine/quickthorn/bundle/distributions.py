"""How features, margins, scores and outcomes were distributed on the data that a bundle was made over.

A distribution is what is needed to say later how far other data have moved away from it: counts in tenths.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from quickthorn.bundle.archive import Bundle
from quickthorn.bundle.event_records import Count, Positive, Record, Text
from quickthorn.bundle.manifest import REFERENCE
from quickthorn.errors import BundleError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Numbers: TypeAlias = npt.NDArray[np.float64]

BINS: Final = 10
# The share that stands for an empty bin, so that its logarithm is finite.
_SHARE_LEAST: Final = 1e-4


class Distribution(Record, frozen=True, kw_only=True):
    """Counts between quantiles.

    ``edges``    strictly rising: bin k has the values from ``edges[k - 1]`` up to but not including ``edges[k]``
    ``counts``   one more than there are edges
    ``missing``  how many values were NaN, which are in no bin
    """

    edges: tuple[float, ...]
    counts: Annotated[tuple[Count, ...], Meta(min_length=1)]
    missing: Count

    def __post_init__(self) -> None:
        if len(self.counts) != len(self.edges) + 1:
            raise ValueError(f"counts: expected {len(self.edges) + 1} for the edges, found {len(self.counts)}")
        if any(not above > below for below, above in zip(self.edges, self.edges[1:], strict=False)):
            raise ValueError("edges: expected each above the one before")

    @property
    def missing_share(self) -> float:
        """The share of values that were missing; 0.0 where there were none at all."""
        total = self.missing + sum(self.counts)
        return self.missing / total if total else 0.0

    def stability(self, values: Numbers) -> float:
        """The population stability index of other values (Siddiqi, "Credit Risk Scorecards", 2006).

        float64 (n,), NaN left out; NaN where none are left on one side. Below 0.1 is little, above 0.25 much.
        """
        import numpy as np

        found = self._counted(values[~np.isnan(values)])
        expected = np.array(self.counts, dtype=np.float64)
        if not expected.sum() or not found.sum():
            return float("nan")
        wanted, seen = (np.maximum(counts / counts.sum(), _SHARE_LEAST) for counts in (expected, found))
        return float(np.sum((seen - wanted) * np.log(seen / wanted)))

    def _counted(self, values: Numbers) -> npt.NDArray[np.int64]:
        import numpy as np

        return np.bincount(np.searchsorted(self.edges, values, "right"), minlength=len(self.counts))


class ReferenceDistributions(Record, frozen=True, kw_only=True):
    """The member ``reference/distributions.json``.

    ``of``        "events", which the bundle decided one after the other from empty windows, or "features", rows of them
    ``rows``      how many; events that do not fit the schema are left out
    ``features``  by name, all of the bundle's
    ``margin``, ``score``  None in a bundle of features only
    ``outcomes``  how many events had each; None unless events were decided
    """

    of: Literal["events", "features"]
    rows: Positive
    features: dict[Text, Distribution]
    margin: Distribution | None = None
    score: Distribution | None = None
    outcomes: dict[Text, Count] | None = None


def distribution_of(values: Numbers) -> Distribution:
    """Counts in tenths of the values, float64 (n,), or in fewer where values repeat; infinities are in outer bins."""
    import numpy as np

    present = values[~np.isnan(values)]
    finite = present[np.isfinite(present)]
    inner = np.quantile(finite, np.linspace(0, 1, BINS + 1)[1:-1]) if len(finite) else finite
    edges = tuple(np.unique(inner).tolist())
    empty = Distribution(edges=edges, counts=(0,) * (len(edges) + 1), missing=len(values) - len(present))
    return msgspec.structs.replace(empty, counts=tuple(map(int, empty._counted(present))))


def read_reference(bundle: Bundle) -> ReferenceDistributions | None:
    """The bundle's reference distributions, None where it has none; BundleError where they are malformed."""
    if bundle.manifest.reference is None:
        return None
    try:
        found = msgspec.json.decode(bundle.members[REFERENCE], type=ReferenceDistributions)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(f"member {REFERENCE}: {error}") from error
    if tuple(found.features) != bundle.manifest.features:
        raise BundleError(f"member {REFERENCE}: expected a distribution of each feature in order, found others")
    return found
