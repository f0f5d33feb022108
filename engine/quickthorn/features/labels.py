"""Delayed-label risk: how many of an entity's past events are known by now to be fraud.

Labels come as a stream of their own, ``engine.label(event_id, fraud, available_at)``, and are kept beside their event.
What may be looked at has one rule: a label counts at t where its event lies in (t − delay − over, t − delay] and it was
available by t. With a ``delay`` that is knowledge by fixed delay: labels that arrive sooner, whenever, wait until their
event is that old. Without one it is knowledge by actual arrival.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from quickthorn.features.declare import By, Where
from quickthorn.features.groups import At
from quickthorn.features.kept import Windowed, WindowPart
from quickthorn.features.velocity import window_of


@dataclass(frozen=True)
class Labelled(Windowed):
    """How many events of a window have a label ("labels"), are fraud ("frauds"), or the share of fraud ("rate")."""

    kind: str

    @property
    def is_of_labels(self) -> bool:
        return True

    @property
    def parts(self) -> tuple[WindowPart, ...]:
        return (Labels(self.where),)

    def value(self, at: At) -> str:
        kernel = {"labels": "labels_seen", "frauds": "frauds_seen", "rate": "fraud_share"}[self.kind]
        return f"{kernel}(state, {at.part(Labels(self.where))})"


@dataclass(frozen=True)
class Labels(WindowPart):
    """How many rows have a label and how many are fraud, by now and as of the read."""

    @property
    def words(self) -> int:
        return 5

    @property
    def is_of_labels(self) -> bool:
        return True

    def shift(self, at: At) -> str:
        return f"shift_label(state, {at.part(self)}, rows, row_at + {at.label}, sign)"

    def settle(self, at: At) -> str | None:
        flag_at, flag = at.flag(self.where)
        rows = f"rows, mask, {at.group.row_bytes}, {at.label}, {flag_at}, {flag}"
        return f"settle_labels(state, {at.cursor}, {at.part(self)}, {rows}, now_us)"


def fraud_rate(*, by: By, over: str | timedelta, delay: str | timedelta = "0s", where: Where = None) -> Labelled:
    """The share of fraud among the events of (t − delay − over, t − delay] whose label is available at t.

    Missing where no label is. Events without a label are left out: where only fraud is ever reported, the share among
    all events is ``ratio(fraud_count(...), count(...))``.
    """
    return _labelled("fraud_rate", "rate", by, over, delay, where)


def fraud_count(*, by: By, over: str | timedelta, delay: str | timedelta = "0s", where: Where = None) -> Labelled:
    """How many events of (t − delay − over, t − delay] are known to be fraud at t."""
    return _labelled("fraud_count", "frauds", by, over, delay, where)


def label_count(*, by: By, over: str | timedelta, delay: str | timedelta = "0s", where: Where = None) -> Labelled:
    """How many events of (t − delay − over, t − delay] have a label at t: what ``fraud_rate`` is a share of."""
    return _labelled("label_count", "labels", by, over, delay, where)


def _labelled(what: str, kind: str, by: By, over: str | timedelta, delay: str | timedelta, where: Where) -> Labelled:
    return Labelled(kind=kind, **window_of(what, by, over, False, delay, where))
