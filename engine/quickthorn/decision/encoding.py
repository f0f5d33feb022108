"""Decisions as JSON."""

from __future__ import annotations

from typing import Any, Final

import msgspec

_ENCODER: Final = msgspec.json.Encoder()


def encode(decision: dict[str, Any]) -> bytes:
    """What ``Decision.as_dict`` gives, as JSON in UTF-8; numbers that are not finite are null."""
    return _ENCODER.encode(decision)
