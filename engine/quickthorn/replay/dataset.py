"""Replays past events through the same native code that decides live ones."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from quickthorn.compiling import compile_bundle
from quickthorn.decision import STATUSES
from quickthorn.errors import EventError, LabelError, SignalError
from quickthorn.event import Signal
from quickthorn.extras import require
from quickthorn.features import FeatureSet
from quickthorn.serving import Engine
from quickthorn.serving.signals import source_named

if TYPE_CHECKING:
    import pyarrow as pa

_CHUNK_ROWS = 65_536
THREADS_MOST = 256


def replay(
    features: FeatureSet | Engine,
    events: Any,
    *,
    labels: Any = None,
    signals: Mapping[type[Signal] | str, Any] | None = None,
    errors: Literal["raise", "keep"] = "raise",
    advance: Callable[[int], object] | None = None,
    cache: bool | str | os.PathLike[str] = True,
    threads: int = 1,
) -> pa.Table:
    """The features of every event as they stood when it happened, as a pyarrow.Table.

    ``features``  a FeatureSet, which is compiled first, or an Engine, whose windows go on from where they are
    ``events``    an Arrow table, or any object with the Arrow PyCapsule interface, in event-time order
    ``labels``    an Arrow table, or alike, of event_id, fraud and available_at, in any order: each is told before the
                  first event at or after the time it is available from, or right after its own event where that comes
                  later
    ``signals``   tables of logged signals by source, as ``Engine.signal_batch`` takes them, in any order: each is told
                  before the first event at or after its own time, and the rest after the last event
    ``errors``    "raise" raises EventError for the first event that does not fit the schema, LabelError for the first
                  label that does not fit or whose event has not come, and SignalError for the first signal that
                  does not fit; "keep" keeps an event's row, with missing features and status "invalid", and leaves
                  such labels and signals out
    ``advance``   called with the number of events done since the last call
    ``cache``     where a FeatureSet that was compiled before is taken from, as for ``compile_bundle``
    ``threads``   how many threads share the work, 1 to 256; each takes entities of one kind (cards, merchants), so more
                  than there are kinds gain little, and features of labels or signals keep to one. The result is the
                  same for any number, to the bit

    The table has the event id and event time as they came in, one float64 column per feature (NaN where missing), and
    ``status``, one row per event, in the events' order. Every event is read, then stored: exactly what ``decide`` does.
    """
    pa = require("pyarrow", "compile", "replaying events")
    if errors not in ("raise", "keep"):
        raise ValueError(f'errors: expected "raise" or "keep", found {errors!r}')
    if not isinstance(threads, int) or isinstance(threads, bool) or not 1 <= threads <= THREADS_MOST:
        raise ValueError(f"threads: expected 1 to {THREADS_MOST}, found {threads!r}")
    if not any(hasattr(events, protocol) for protocol in ("__arrow_c_stream__", "__arrow_c_array__")):
        raise EventError(
            f"events: expected an object with the Arrow PyCapsule interface, found {type(events).__name__}"
        )
    table = pa.table(events)
    engine = features if isinstance(features, Engine) else _feature_engine(features, cache)
    names = engine.manifest.features
    label_feed = _LabelFeed(pa, engine, labels, raises=errors == "raise") if labels is not None else None
    signal_feed = _signal_feed(engine, signals, raises=errors == "raise") if signals else None
    # A feature's values side by side, so that they are the table's columns as they stand; in Arrow's memory, which is
    # used again for the next table, where numpy's is the system's each time, to be cleared.
    memory = pa.allocate_buffer(8 * len(names) * table.num_rows)
    columns = np.frombuffer(memory).reshape(len(names), table.num_rows)
    statuses: list[Any] = []
    for first in range(0, max(table.num_rows, 1), _CHUNK_ROWS):
        ran = engine._run_batch(
            table.slice(first, _CHUNK_ROWS),
            "replay",
            columns[:, first : first + _CHUNK_ROWS],
            threads,
            label_feed.native if label_feed else None,
            signal_feed,
        )
        if ran["errors"] and errors == "raise":
            row, message = ran["errors"][0]
            raise EventError(f"events[{first + row}].{message}")
        statuses.append(ran["statuses"])
        if advance is not None:
            advance(len(ran["statuses"]))
    if label_feed is not None:
        label_feed.finish()
    if signal_feed is not None:
        engine._finish_signals(signal_feed)
    return _as_table(pa, table, engine, names, columns, statuses)


class _LabelFeed:
    """The labels of a replay, on their way between the events."""

    def __init__(self, pa: Any, engine: Engine, labels: Any, *, raises: bool) -> None:
        if not any(hasattr(labels, protocol) for protocol in ("__arrow_c_stream__", "__arrow_c_array__")):
            raise LabelError(
                f"labels: expected an object with the Arrow PyCapsule interface, found {type(labels).__name__}"
            )
        self.engine, self.raises = engine, raises
        self.table = pa.table(labels)
        self.native, refused = engine._label_feed(self.table)
        if refused and raises:
            row, message = refused[0]
            raise LabelError(f"labels[{row}].{message}")

    def finish(self) -> None:
        """Tell what no event has come for yet; LabelError where a label's own event never came."""
        strangers = self.engine._finish_labels(self.native)
        if strangers and self.raises:
            found = self.table["event_id"][strangers[0]].as_py()
            raise LabelError(
                f"labels[{strangers[0]}].event_id: expected the id of an event that is remembered, found {found!r}"
            )


def _signal_feed(engine: Engine, signals: Mapping[type[Signal] | str, Any], *, raises: bool) -> Any:
    """All tables of signals as one stream in order of time, to be told between the events."""
    sources = [source_named(engine.manifest, source) for source in signals]
    numbers = [number for number, _ in sources]
    feed, refused = engine._signal_feed(list(zip(numbers, signals.values(), strict=True)))
    for (_, source), rows in zip(sources, refused, strict=True):
        if rows and raises:
            row, message = rows[0]
            raise SignalError(f"signals[{source.name!r}][{row}].{message}")
    return feed


def _as_table(
    pa: Any,
    events: pa.Table,
    engine: Engine,
    names: tuple[str, ...],
    features: npt.NDArray[np.float64],
    statuses: list[Any],
) -> pa.Table:
    kept = [field.name for field in engine.manifest.schema if field.kind in ("id", "event_time")]
    columns = {name: events[name] for name in kept}
    columns |= {name: pa.array(values) for name, values in zip(names, features, strict=True)}
    columns["status"] = pa.chunked_array(
        [pa.DictionaryArray.from_arrays(pa.array(chunk.astype("int8")), list(STATUSES)) for chunk in statuses]
    )
    return pa.table(columns)


def _feature_engine(features: FeatureSet, cache: bool | str | os.PathLike[str]) -> Engine:
    with tempfile.TemporaryDirectory(prefix="quickthorn-") as scratch:
        bundle = Path(scratch) / "features.qt"
        compile_bundle(features=features, output=bundle, cache=cache)
        return Engine.load(bundle, allow_unsigned=True)
