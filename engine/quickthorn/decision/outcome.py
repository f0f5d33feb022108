"""What a decision can come to."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

Outcome: TypeAlias = Literal["approve", "review", "decline"]

OUTCOMES: Final[tuple[Outcome, Outcome, Outcome]] = ("approve", "review", "decline")
"""Every outcome, mildest first; an outcome's place here is its severity and its number in the engine."""
