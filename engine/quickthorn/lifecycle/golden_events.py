"""A bundle's golden events, as the tests of a repository of models take them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from quickthorn.bundle import Bundle
from quickthorn.bundle.golden_events import GoldenDecision, GoldenStep, decode_lines
from quickthorn.bundle.manifest import GOLDEN_DECISIONS, GOLDEN_EVENT_FEATURES, GOLDEN_EVENTS


@dataclass(frozen=True)
class GoldenEvent:
    """One event that a bundle was proven on, in the order in which it was told.

    ``event``     the event as it was told, decoded from its JSON
    ``features``  what the reference computes of it, by name, NaN where missing; empty for an invalid event
    ``expected``  its status and, in a bundle that decides, its decision (docs/BUNDLE_FORMAT.md says what is left out)
    """

    event: dict[str, Any]
    features: dict[str, float]
    expected: GoldenDecision


def golden_events(bundle: Bundle) -> list[GoldenEvent]:
    """The golden events of a bundle; BundleError where a member is not what it should be.

    They include late and repeated events and some that do not fit the schema. Labels and signals that are told between
    them are left out, so an engine that is told only these may have other features.
    """
    steps = decode_lines(bundle.members[GOLDEN_EVENTS], GoldenStep, f"member {GOLDEN_EVENTS}")
    told = [bytes(step.event) for step in steps if step.label is None and step.signal is None]
    decisions = decode_lines(bundle.members[GOLDEN_DECISIONS], GoldenDecision, f"member {GOLDEN_DECISIONS}")
    names = bundle.manifest.features
    rows: Any = bundle.members[GOLDEN_EVENT_FEATURES].cast("d", shape=[len(decisions), len(names)]).tolist()
    return [
        GoldenEvent(
            msgspec.json.decode(event),
            {} if expected.status == "invalid" else dict(zip(names, row, strict=True)),
            expected,
        )
        for event, row, expected in zip(told, rows, decisions, strict=True)
    ]
