"""What a decision can come to."""

from __future__ import annotations

from typing import Final

OUTCOMES: Final[tuple[str, ...]] = ("approve", "step_up", "review", "decline")
"""The outcomes of a policy that names none of its own, mildest first."""

MOST_OUTCOMES: Final = 8

STATUSES: Final[tuple[str, ...]] = ("ok", "capped", "late", "duplicate", "invalid")
"""How an event was taken, in the order of their codes in batches."""
