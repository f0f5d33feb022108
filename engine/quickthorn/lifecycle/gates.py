"""What a challenger must show before it takes the champion's place."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from quickthorn.errors import GateError
from quickthorn.lifecycle.comparison import Comparison
from quickthorn.lifecycle.settings_file import read_settings

_Ratio = Annotated[float, Meta(gt=0.0)]
_Share = Annotated[float, Meta(ge=0.0, le=1.0)]


class Gates(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits, all of them optional, as the table [gates] of a TOML file has them. Beside them stand always that the
    challenger loads and agrees with its golden vectors, and that its version is the higher one.

    ``latency_ratio_most``           hot p50 of the challenger over the champion's, measured in turns
    ``size_ratio_most``              bytes of the challenger's file over the champion's
    ``average_precision_drop_most``  how much worse the challenger may rank; needs labels
    ``swap_share_most``              share of events that may get another outcome
    ``score_psi_most``               population stability index of the scores
    ``first_reason_change_most``     share of the events with reasons from both whose first reason may be another
    """

    latency_ratio_most: _Ratio | None = None
    size_ratio_most: _Ratio | None = None
    average_precision_drop_most: _Share | None = None
    swap_share_most: _Share | None = None
    score_psi_most: _Ratio | None = None
    first_reason_change_most: _Share | None = None

    @classmethod
    def from_toml(cls, path: str | os.PathLike[str]) -> Gates:
        """Read a gates file; GateError names what is wrong in it."""
        return read_settings(path, _File, "gates", GateError).gates


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    gates: Gates


class GateResult(msgspec.Struct, frozen=True, kw_only=True):
    """One gate: the most that was allowed, what was found, and whether that holds."""

    gate: str
    most: float
    found: float
    holds: bool


def judge(gates: Gates, found: Comparison, latency_ratio: Callable[[], float]) -> tuple[GateResult, ...]:
    """Every gate that is set, in the order of the file's description; ``latency_ratio`` is called only if asked for.

    GateError where a gate is set that nothing was measured for, such as a ranking without labels: a gate that is not
    looked at is not passed.
    """
    return tuple(
        GateResult(gate=gate, most=most, found=value, holds=value <= most)
        for gate, most, value in _measured(gates, found, latency_ratio)
    )


def _measured(
    gates: Gates, found: Comparison, latency_ratio: Callable[[], float]
) -> Iterator[tuple[str, float, float]]:
    drop = (
        None
        if found.old_average_precision is None or found.new_average_precision is None
        else found.old_average_precision - found.new_average_precision
    )
    reasons = found.reasons if found.reasons is not None and found.reasons.events else None
    decided = found.events > 0 and found.scores is not None
    measures: dict[str, Callable[[], Any]] = {
        "latency_ratio_most": latency_ratio,
        "size_ratio_most": lambda: found.new_size_bytes / found.old_size_bytes,
        "average_precision_drop_most": lambda: drop,
        "swap_share_most": lambda: found.swap_share if decided else None,
        "score_psi_most": lambda: found.scores.psi if decided and found.scores is not None else None,
        "first_reason_change_most": lambda: None if reasons is None else 1.0 - reasons.first_same_share,
    }
    for gate, measure in measures.items():
        most = getattr(gates, gate)
        if most is None:
            continue
        value = measure()
        if value is None:
            raise GateError(
                f"gates.{gate}: expected events, with labels where ranking is judged, and with reasons from both "
                "bundles where those are, found none"
            )
        yield gate, most, value
