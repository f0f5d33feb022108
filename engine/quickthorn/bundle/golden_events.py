"""Golden events as a bundle holds them: what an engine is told, line by line, and what is expected of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, TypeVar

import msgspec

from quickthorn.errors import BundleError

GOLDEN_KEY: Final = bytes(16)
"""What identifiers are hashed under when golden events are replayed: exploration draws by these hashes."""

TOLERANCE: Final = 1e-9
"""How far a feature, a margin or a score may be from what is expected, relative to that."""


class GoldenStep(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """One line of ``golden/events.jsonl``: exactly one of these.

    ``event``   the event's own JSON, as the engine's reader gets it
    ``label``   an event's id, whether it is fraud, and since when that is known (event time, microseconds)
    ``signal``  a source's name, the key, its values, and when it was said (event time, microseconds)
    """

    event: msgspec.Raw = msgspec.Raw()
    label: tuple[str, bool, int] | None = None
    signal: tuple[str, str, dict[str, Any], int] | None = None


class GoldenDecision(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """One line of ``golden/decisions.jsonl``, of the event with the same number; what is left out is not held to.

    ``status``     what became of the event
    ``outcome``    what was decided, with ``rule``, ``propensity`` and ``aligned_score``: None where nothing decides,
                   or what is decided hangs on how the last bit of a feature is rounded
    ``margin``, ``score``  None for an event that is invalid, too, and where they are not finite
    ``reasons``    the codes in order; None where the event is not among the explained ones, or two are too close
    ``estimated``  features that are estimates there, which are not held to what they estimate
    """

    status: str
    outcome: str | None = None
    rule: str | None = None
    propensity: float = 1.0
    margin: float | None = None
    score: float | None = None
    aligned_score: int | None = None
    reasons: tuple[str, ...] | None = None
    estimated: tuple[str, ...] = ()


_Line = TypeVar("_Line", GoldenStep, GoldenDecision)


def encode_lines(lines: Iterable[GoldenStep | GoldenDecision]) -> bytes:
    """A member's bytes: each line's JSON and a line feed."""
    return b"".join(msgspec.json.encode(line) + b"\n" for line in lines)


def decode_lines(member: bytes | memoryview, kind: type[_Line], origin: str) -> list[_Line]:
    """The lines of a member; BundleError, opened by ``origin``, where one is something else."""
    decoder = msgspec.json.Decoder(kind)
    lines = bytes(member).split(b"\n")
    if lines.pop():
        raise BundleError(f"{origin}: expected a line feed at the end of every line, found none at the last")
    try:
        return [decoder.decode(line) for line in lines]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(f"{origin}: {error}") from error
