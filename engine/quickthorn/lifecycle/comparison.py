"""What would change if one bundle took another's place: what is in them, and what they say of the same events."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt

from quickthorn.bundle import Manifest, read_bundle
from quickthorn.bundle.distributions import distribution_of
from quickthorn.errors import EventError, ModelError
from quickthorn.extras import require
from quickthorn.lifecycle.changes import Changes, changes
from quickthorn.lifecycle.reason_stability import ReasonStability, reason_stability
from quickthorn.serving import Batch, Engine

if TYPE_CHECKING:
    from quickthorn.signing import Trust

Numbers = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

_CHUNK_ROWS = 65_536


class ScoreShift(msgspec.Struct, frozen=True, kw_only=True):
    """How the scores of the same events moved.

    ``psi``  population stability index over tenths of the old scores: below 0.1 is little, above 0.25 much
    """

    old_mean: float
    new_mean: float
    largest: float
    psi: float


class Comparison(Changes, frozen=True, kw_only=True):
    """Two bundles side by side: what differs by what is written in them, and by what they make of events.

    ``events``      how many events both decided, in order and from empty windows
    ``invalid``     how many of them did not fit the old and the new schema
    ``features_moved``  share of the events in which a feature of one name has another value, where that is not 0
    ``scores``      None where one of the two has no forest
    ``swaps``       how many events went from one outcome to another, by "approve → review"
    ``swap_share``  their share of all events
    ``reasons``     how alike the reasons are; None where one of the two gives none
    ``old_average_precision``, ``new_average_precision``  of the margins' ranking; None without labels
    """

    old_id: str
    new_id: str
    old_version: int
    new_version: int
    old_size_bytes: int
    new_size_bytes: int
    events: int = 0
    invalid: tuple[int, int] = (0, 0)
    features_moved: dict[str, float] = msgspec.field(default_factory=dict)
    scores: ScoreShift | None = None
    swaps: dict[str, int] = msgspec.field(default_factory=dict)
    swap_share: float = 0.0
    reasons: ReasonStability | None = None
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
    on_step: Callable[[str], object] = lambda step: None,
) -> Comparison:
    """Compare two bundle files, and, with events, what they decide.

    ``events``  an Arrow table in event-time order, None to compare what is in the files alone
    ``label``   the name of a column of 0 and 1 in it, for how well both rank; not shown to the bundles
    ``trust``   a trust file, or a Trust, that both must pass
    ``allow_unsigned``  load them without one, and look at no signatures
    ``on_step``  called with what is being done, in words, as each step of it begins

    Raises BundleError or SigningError for a file that does not load, and EventError for events without that column.
    """
    on_step("compare what is in the files")
    before, after = read_bundle(old), read_bundle(new)
    found = Comparison(
        old_id=before.bundle_id,
        new_id=after.bundle_id,
        old_version=before.manifest.version,
        new_version=after.manifest.version,
        old_size_bytes=before.size_bytes,
        new_size_bytes=after.size_bytes,
        **msgspec.structs.asdict(changes(before, after)),
    )
    engines = [Engine.load(path, trust=trust, allow_unsigned=allow_unsigned) for path in (old, new)]
    if events is None:
        return found
    if any(engine.manifest.forest is None for engine in engines):
        raise ModelError("compare: expected two bundles that decide, found one without a forest")
    table, fraud = _split(events, label)
    on_step(f"decide {table.num_rows:,} events with both bundles")
    old_batch, new_batch = (engine.decide_batch(table) for engine in engines)
    on_step("compare the values of their features")
    # With engines of their own: those above have seen the events.
    fresh = [Engine.load(path, trust=trust, allow_unsigned=allow_unsigned) for path in (old, new)]
    return msgspec.structs.replace(
        found,
        features_moved=_features_moved(fresh, table),
        reasons=_reasons([before.manifest, after.manifest], [old_batch, new_batch]),
        **_decided(old_batch, new_batch, fraud),
    )


def population_stability(old: Numbers, new: Numbers) -> float:
    """The population stability index of two samples (Siddiqi, "Credit Risk Scorecards", 2006), over tenths of the old.

    float64 (n,) and (m,), NaN left out; NaN where one of them is empty.
    """
    return distribution_of(old).stability(new)


def _split(events: Any, label: str | None) -> tuple[Any, Flags | None]:
    """The events without their labels, and the labels."""
    pa = require("pyarrow", "compile", "comparing what bundles decide")
    table = pa.table(events)
    if label is None:
        return table, None
    if label not in table.column_names:
        raise EventError(f"events: expected a column {label!r} with labels, found {', '.join(table.column_names)}")
    return table.drop_columns([label]), table[label].to_numpy().astype(bool)


def _features_moved(engines: list[Engine], table: Any) -> dict[str, float]:
    """Share of the events in which a feature that both have has another value, the largest first, as far as any.

    That a name is the same says nothing of what it stands for: a window may have become another one.
    """
    # Imported here: it brings what compiling needs.
    from quickthorn.replay import replay

    names = [name for name in engines[0].manifest.features if name in engines[1].manifest.features]
    moved = np.zeros(len(names), dtype=np.int64)
    for first in range(0, table.num_rows, _CHUNK_ROWS):
        old, new = (replay(engine, table.slice(first, _CHUNK_ROWS), errors="keep") for engine in engines)
        fit = [np.array(side["status"].to_pylist()) != "invalid" for side in (old, new)]
        both = fit[0] & fit[1]
        for place, name in enumerate(names):
            # Sums in floating point are held to 1e-9, however they were compiled.
            same = np.isclose(old[name].to_numpy(), new[name].to_numpy(), rtol=1e-9, atol=0.0, equal_nan=True)
            moved[place] += np.count_nonzero(~same & both)
    shares = {name: int(count) / table.num_rows for name, count in zip(names, moved, strict=True) if count}
    return dict(sorted(shares.items(), key=lambda share: -share[1]))


def _reasons(manifests: list[Manifest], batches: list[Batch]) -> ReasonStability | None:
    maps = [manifest.reasons for manifest in manifests]
    if maps[0] is None or maps[1] is None:
        return None
    codes = [[reason.code for reason in reasons.reason] for reasons in maps if reasons is not None]
    return reason_stability(batches[0].reason_codes, batches[1].reason_codes, codes[0], codes[1])


def _decided(old: Batch, new: Batch, fraud: Flags | None) -> dict[str, Any]:
    changed = Counter(
        f"{was} → {became}"
        for was, became in zip(old.outcomes.tolist(), new.outcomes.tolist(), strict=True)
        if was != became
    )
    both = ~(np.isnan(old.scores) | np.isnan(new.scores))
    ranked = [None if fraud is None else _average_precision(fraud, one.margins, both) for one in (old, new)]
    return {
        "events": len(old),
        "invalid": (len(old.errors), len(new.errors)),
        "scores": ScoreShift(
            old_mean=float(np.mean(old.scores[both])) if both.any() else float("nan"),
            new_mean=float(np.mean(new.scores[both])) if both.any() else float("nan"),
            largest=float(np.max(np.abs(new.scores[both] - old.scores[both]), initial=0.0)),
            psi=population_stability(old.scores, new.scores),
        ),
        "swaps": dict(changed.most_common()),
        "swap_share": sum(changed.values()) / max(len(old), 1),
        "old_average_precision": ranked[0],
        "new_average_precision": ranked[1],
    }


def _average_precision(fraud: Flags, margins: Numbers, counted: Flags) -> float | None:
    """By the margin, which no calibration has put steps into; None where there is no fraud among the events."""
    if not fraud[counted].any():
        return None
    metrics = require("sklearn.metrics", "train", "judging how well a bundle ranks")
    return float(metrics.average_precision_score(fraud[counted], margins[counted]))
