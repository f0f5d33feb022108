"""How verbs end: 0 for done, 1 for a check that does not hold, 2 for what was refused with one line."""

from __future__ import annotations

import sys

DONE, FAILED, REFUSED = 0, 1, 2


def refuse(verb: str, error: Exception, code: int = REFUSED) -> int:
    """Print the one line to standard error; returns the exit code."""
    print(f"quickthorn {verb}: error: {error}", file=sys.stderr)
    return code
