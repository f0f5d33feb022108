"""Golden events told to an engine, and the first thing that it says otherwise than the bundle."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from typing import Any, TypeAlias

from quickthorn.bundle import Bundle
from quickthorn.bundle.golden_events import GOLDEN_KEY, TOLERANCE, GoldenDecision, GoldenStep, decode_lines
from quickthorn.bundle.manifest import GOLDEN_DECISIONS, GOLDEN_EVENT_FEATURES, GOLDEN_EVENTS, library_member
from quickthorn.errors import EventError, QuickthornError
from quickthorn.native import _native
from quickthorn.serving.engine_parts import engage_kill_switch, engine_limits, engine_parts
from quickthorn.serving.signals import as_row, source_named

# What golden events leave in the engine that they are told to: a few keys, and some hundred rows of each.
_KEYS_MOST = 2**9
_HISTORY_BYTES = 2**26

Told: TypeAlias = tuple[bytes, tuple[float, ...] | None, Any]


def golden_engine(library: object, parts: dict[str, Any], bundle: Bundle) -> _native.Engine:
    """An engine to tell golden events to, so that they leave nothing behind in another.

    ``library``  the library's bytes, or an engine to share it with
    """
    engine = _native.Engine(
        library=library,
        hash_key=GOLDEN_KEY,
        limits=engine_limits(bundle.manifest, _KEYS_MOST, _HISTORY_BYTES),
        raise_errors=False,
        **parts,
    )
    engage_kill_switch(engine, bundle.manifest.policy)
    return engine


def vectors_told(bundle: Bundle, target: str) -> list[tuple[float, ...] | None]:
    """The feature vector that the library for a CPU level computes of every golden event; None for an invalid one."""
    engine = golden_engine(bundle.members[library_member(target)], engine_parts(bundle), bundle)
    return [vector for _, vector, _ in replayed(engine, bundle)]


def replayed(engine: _native.Engine, bundle: Bundle) -> Iterator[Told]:
    """Every golden event in order, with its feature vector (None where it is invalid) and its decision or status.

    The engine is told all steps, labels and signals too; it must be new.
    """
    decides = bundle.manifest.forest is not None
    for step in decode_lines(bundle.members[GOLDEN_EVENTS], GoldenStep, f"member {GOLDEN_EVENTS}"):
        if step.label is not None:
            engine.label(*step.label)
        elif step.signal is not None:
            source, key, values, at = step.signal
            number, summary = source_named(bundle.manifest, source)
            engine._signal(number, as_row(summary, key, values, at))
        else:
            event = bytes(step.event)
            try:
                vector = engine._read_features(event)
            except EventError:
                vector = None
            yield event, vector, engine.decide(event) if decides else engine.observe(event)


def replay_disagreement(engine: _native.Engine, bundle: Bundle) -> str | None:
    """The first golden event of which a new engine says something else, and what; None where there is none."""
    decisions = decode_lines(bundle.members[GOLDEN_DECISIONS], GoldenDecision, f"member {GOLDEN_DECISIONS}")
    rows = bundle.members[GOLDEN_EVENT_FEATURES].cast("d")
    names = bundle.manifest.features
    number = -1
    try:
        for number, (event, vector, told) in enumerate(replayed(engine, bundle)):
            if number == len(decisions):
                return f"golden events: expected {len(decisions)}, found more"
            expected = decisions[number]
            found = _vector_disagreement(
                names, vector, rows[number * len(names) : (number + 1) * len(names)], expected.estimated
            )
            found = found or (_status(told, expected) if isinstance(told, str) else _disagreement(told, expected))
            if found:
                return f"golden event {number} ({_shown(event)}): {found}"
    except QuickthornError as error:
        return f"golden event {number + 1}: {error}"
    if number + 1 != len(decisions):
        return f"golden events: expected {len(decisions)}, found {number + 1}"
    return None


def _vector_disagreement(
    names: tuple[str, ...], vector: tuple[float, ...] | None, expected: memoryview[float], estimated: tuple[str, ...]
) -> str | None:
    if vector is None or array("d", vector).tobytes() == expected.tobytes():
        return None
    for name, value, wanted in zip(names, vector, expected.tolist(), strict=True):
        if value == wanted or _is_near(value, wanted) or name in estimated:
            continue
        return f"expected feature {name} {wanted!r}, found {value!r}"
    return None


def _disagreement(told: _native.Decision, expected: GoldenDecision) -> str | None:
    if told.status != expected.status:
        return _status(told.status, expected)
    if expected.outcome is None:
        return None
    for name in ("outcome", "rule", "propensity"):
        found, wanted = getattr(told, name), getattr(expected, name)
        if found != wanted:
            return f"expected {name} {wanted!r}, found {found!r}"
    for name in ("margin", "score"):
        found, wanted = getattr(told, name), getattr(expected, name)
        if wanted is not None and not _is_near(found, wanted):
            return f"expected {name} {wanted!r}, found {found!r}"
    if told.aligned_score != expected.aligned_score:
        return f"expected aligned score {expected.aligned_score!r}, found {told.aligned_score!r}"
    reasons = tuple(reason.code for reason in told.reasons)
    if expected.reasons is not None and reasons != expected.reasons:
        return f"expected reasons {expected.reasons!r}, found {reasons!r}"
    return None


def _status(found: str, expected: GoldenDecision) -> str | None:
    return None if found == expected.status else f"expected status {expected.status!r}, found {found!r}"


def _is_near(found: float, expected: float) -> bool:
    if math.isnan(expected):
        return math.isnan(found)
    return math.isclose(found, expected, rel_tol=TOLERANCE, abs_tol=0.0)


def _shown(event: bytes) -> str:
    text = event.decode("utf-8", "replace")
    return text if len(text) <= 160 else f"{text[:157]}..."
