"""Which of a file's libraries this processor is given."""

from __future__ import annotations

from quickthorn.errors import BundleError
from quickthorn.native import _native


def runnable_targets(offered: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the CPU levels that this processor runs, in the same order."""
    return tuple(filter(_native.processor_supports, offered))


def choose_target(offered: tuple[str, ...], wanted: str | None, origin: str) -> str:
    """The most demanding of the CPU levels that this processor runs, or the wanted one.

    BundleError, opened by ``origin``, where there is none.
    """
    candidates = offered if wanted is None else tuple(filter(wanted.__eq__, offered))
    supported = runnable_targets(candidates)
    if not supported:
        levels = " or ".join(offered)
        asked = "" if wanted is None else f" (asked for: {wanted})"
        raise BundleError(f"{origin}: expected a processor of level {levels}, found one without it{asked}")
    return supported[-1]
