"""Labels: what is known of an event, and from when on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

from quickthorn.errors import EventError, LabelError
from quickthorn.event import Boolean, EventTime, Id, Schema
from quickthorn.features.labels import Labelled
from quickthorn.reference.event import Row, read_event
from quickthorn.reference.features import Moment, value_of

# How an event's label has changed: from each of these times on, the earliest first, whether it is fraud.
Changes: TypeAlias = tuple[tuple[int, bool], ...]
# Where a row has them: no field can be called so.
CHANGES = "changes of the label"
CHANGES_KEPT = 2

_FIELDS = Schema("Label", (Id("event_id", 0), Boolean("fraud", 1), EventTime("available_at", 2)))


@dataclass(frozen=True)
class Label:
    """``fraud`` is known of the event from ``available_us`` on."""

    event_id: str
    fraud: bool
    available_us: int


def read_label(event_id: object, fraud: object, available_at: object) -> Label:
    """The label, or LabelError that names the first argument that does not fit."""
    try:
        row = read_event(_FIELDS, {"event_id": event_id, "fraud": fraud, "available_at": available_at})
    except EventError as error:
        raise LabelError(str(error)) from error
    return Label(row["event_id"], row["fraud"], row["available_at"])


def changed_by(changes: Changes, label: Label) -> Changes:
    """The changes with one label more; of two from the same time the one that came last counts.

    What only repeats the change before it is none. The last two are kept.
    """
    told = sorted({**dict(changes), label.available_us: label.fraud}.items())
    kept = [change for place, change in enumerate(told) if place == 0 or change[1] != told[place - 1][1]]
    return tuple(kept[-CHANGES_KEPT:])


def known_at(row: Row, now_us: int) -> bool | None:
    """Whether the event was known to be fraud then; None where nothing was known."""
    known = [fraud for available_us, fraud in row.get(CHANGES, ()) if available_us <= now_us]
    return known[-1] if known else None


@value_of.register
def labelled(expression: Labelled, moment: Moment) -> float:
    """How many of the window's events are labelled or fraud, or the share of fraud among the labelled."""
    found = [known_at(row, moment.now_us) for row in moment.window(expression)]
    labels = [fraud for fraud in found if fraud is not None]
    if expression.kind == "labels":
        return float(len(labels))
    if expression.kind == "frauds":
        return float(sum(labels))
    return sum(labels) / len(labels) if labels else math.nan
