"""What would change if one bundle took another's place: what is in them, and what they say of the same events."""

from __future__ import annotations

import difflib
import os
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt

from quickthorn.bundle import Bundle, read_bundle
from quickthorn.bundle.manifest import POLICY
from quickthorn.errors import EventError, ModelError
from quickthorn.extras import require
from quickthorn.serving import Engine

if TYPE_CHECKING:
    from quickthorn.signing import Trust

Numbers = npt.NDArray[np.float64]

_PSI_BINS = 10
# The share that stands for an empty bin, so that its logarithm is finite.
_PSI_FLOOR = 1e-4


class ScoreShift(msgspec.Struct, frozen=True, kw_only=True):
    """How the scores of the same events moved.

    ``psi``  population stability index over tenths of the old scores: below 0.1 is little, above 0.25 much
    """

    old_mean: float
    new_mean: float
    largest: float
    psi: float


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two bundles side by side.

    ``schema``, ``features``, ``policy``  a line for each difference, with + for what is new and − for what is gone
    ``events``      how many events both decided, in order and from empty windows
    ``invalid``     how many of them did not fit the old and the new schema
    ``scores``      None where one of the two has no forest
    ``swaps``       how many events went from one outcome to another, by "approve → review"
    ``swap_share``  their share of all events
    ``old_average_precision``, ``new_average_precision``  of the margins' ranking; None without labels
    """

    old_id: str
    new_id: str
    old_version: int
    new_version: int
    old_size_bytes: int
    new_size_bytes: int
    schema: tuple[str, ...]
    features: tuple[str, ...]
    policy: tuple[str, ...]
    events: int = 0
    invalid: tuple[int, int] = (0, 0)
    scores: ScoreShift | None = None
    swaps: dict[str, int] = msgspec.field(default_factory=dict)
    swap_share: float = 0.0
    old_average_precision: float | None = None
    new_average_precision: float | None = None


def compare(
    old: str | os.PathLike[str],
    new: str | os.PathLike[str],
    events: Any = None,
    *,
    label: str | None = None,
    trust: str | os.PathLike[str] | Trust | None = None,
    allow_unsigned: bool = False,
) -> Comparison:
    """Compare two bundle files, and, with events, what they decide.

    ``events``  an Arrow table in event-time order, None to compare what is in the files alone
    ``label``   the name of a column of 0 and 1 in it, for how well both rank; not shown to the bundles
    ``trust``   a trust file, or a Trust, that both must pass
    ``allow_unsigned``  load them without one, and look at no signatures

    Raises BundleError or SigningError for a file that does not load, and EventError for events without that column.
    """
    before, after = read_bundle(old), read_bundle(new)
    found = Comparison(
        old_id=before.bundle_id,
        new_id=after.bundle_id,
        old_version=before.manifest.version,
        new_version=after.manifest.version,
        old_size_bytes=before.size_bytes,
        new_size_bytes=after.size_bytes,
        schema=_changes(_schema_lines(before), _schema_lines(after)),
        features=_changes(before.manifest.features, after.manifest.features),
        policy=_changes(_policy_lines(before), _policy_lines(after)),
    )
    engines = [Engine.load(path, trust=trust, allow_unsigned=allow_unsigned) for path in (old, new)]
    if events is None:
        return found
    if any(engine.manifest.forest is None for engine in engines):
        raise ModelError("compare: expected two bundles that decide, found one without a forest")
    return msgspec.structs.replace(found, **_decided(engines, events, label))


def population_stability(old: Numbers, new: Numbers) -> float:
    """The population stability index of two samples (Siddiqi, "Credit Risk Scorecards", 2006), over tenths of the old.

    float64 (n,) and (m,), NaN left out; NaN where one of them is empty.
    """
    old, new = old[~np.isnan(old)], new[~np.isnan(new)]
    if not len(old) or not len(new):
        return float("nan")
    edges = np.unique(np.quantile(old, np.linspace(0, 1, _PSI_BINS + 1)[1:-1]))
    expected, found = (_shares(np.searchsorted(edges, sample, "right"), len(edges) + 1) for sample in (old, new))
    return float(np.sum((found - expected) * np.log(found / expected)))


def _shares(bins: npt.NDArray[np.intp], count: int) -> Numbers:
    return np.maximum(np.bincount(bins, minlength=count) / len(bins), _PSI_FLOOR)


def _decided(engines: list[Engine], events: Any, label: str | None) -> dict[str, Any]:
    pa = require("pyarrow", "compile", "comparing what bundles decide")
    table = pa.table(events)
    fraud = None
    if label is not None:
        if label not in table.column_names:
            raise EventError(f"events: expected a column {label!r} with labels, found {', '.join(table.column_names)}")
        fraud = table[label].to_numpy().astype(bool)
        table = table.drop_columns([label])
    old, new = (engine.decide_batch(table) for engine in engines)
    changed = Counter(
        f"{was} → {became}"
        for was, became in zip(old.outcomes.tolist(), new.outcomes.tolist(), strict=True)
        if was != became
    )
    both = ~(np.isnan(old.scores) | np.isnan(new.scores))
    ranked = [None if fraud is None else _average_precision(fraud, one.margins, both) for one in (old, new)]
    return {
        "events": table.num_rows,
        "invalid": (len(old.errors), len(new.errors)),
        "scores": ScoreShift(
            old_mean=float(np.mean(old.scores[both])) if both.any() else float("nan"),
            new_mean=float(np.mean(new.scores[both])) if both.any() else float("nan"),
            largest=float(np.max(np.abs(new.scores[both] - old.scores[both]), initial=0.0)),
            psi=population_stability(old.scores, new.scores),
        ),
        "swaps": dict(changed.most_common()),
        "swap_share": sum(changed.values()) / max(table.num_rows, 1),
        "old_average_precision": ranked[0],
        "new_average_precision": ranked[1],
    }


def _average_precision(fraud: npt.NDArray[np.bool_], margins: Numbers, counted: npt.NDArray[np.bool_]) -> float | None:
    """By the margin, which no calibration has put steps into; None where there is no fraud among the events."""
    if not fraud[counted].any():
        return None
    metrics = require("sklearn.metrics", "train", "judging how well a bundle ranks")
    return float(metrics.average_precision_score(fraud[counted], margins[counted]))


def _changes(old: tuple[str, ...], new: tuple[str, ...]) -> tuple[str, ...]:
    # Lines that moved count too: the order of features is the order of the model's inputs.
    lines = difflib.ndiff(old, new)
    return tuple(line.replace("-", "−", 1) if line[0] == "-" else line for line in lines if line[0] in "+-")


def _schema_lines(bundle: Bundle) -> tuple[str, ...]:
    lines = []
    for field in bundle.manifest.schema:
        given = msgspec.structs.asdict(field)
        name, kind = given.pop("name"), given.pop("kind")
        options = ", ".join(f"{option}={value!r}" for option, value in given.items() if value not in (None, False, ()))
        lines.append(f"{name}: {kind} ({options})" if options else f"{name}: {kind}")
    return tuple(lines)


def _policy_lines(bundle: Bundle) -> tuple[str, ...]:
    text = bytes(bundle.members.get(POLICY, b"")).decode("utf-8")
    return tuple(line for line in text.splitlines() if line.strip())
