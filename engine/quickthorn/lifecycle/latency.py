"""How long one bundle's decisions take on this machine, call by call, and whether that is within a budget."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

from quickthorn.errors import BudgetError
from quickthorn.lifecycle.settings_file import read_settings

if TYPE_CHECKING:
    from quickthorn.serving import Engine

SWEEP_BYTES = 64 << 20
WARM_CALLS = 2_000


class Percentiles(msgspec.Struct, frozen=True, kw_only=True):
    """Microseconds of single calls: the median, the 99th and the 99.9th percentile, and the longest."""

    calls: int
    p50_us: float
    p99_us: float
    p999_us: float
    max_us: float

    @classmethod
    def of(cls, latency_ns: Sequence[int]) -> Percentiles:
        """Those of some calls, at least one."""
        p50, p99, p999, most = np.percentile(np.asarray(latency_ns, dtype=np.float64), [50, 99, 99.9, 100]) / 1e3
        return cls(calls=len(latency_ns), p50_us=float(p50), p99_us=float(p99), p999_us=float(p999), max_us=float(most))


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """One bundle's calls: one after the other (``hot``), and each after 64 MiB were read in between (``cold``)."""

    hot: Percentiles
    cold: Percentiles


_Limit = Annotated[float, Meta(gt=0.0)] | None


class _Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    p50_us: _Limit = None
    p99_us: _Limit = None
    p999_us: _Limit = None
    max_us: _Limit = None


class Budget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The most that calls may take: tables ``hot`` and ``cold`` of ``p50_us``, ``p99_us``, ``p999_us`` and ``max_us``,
    all of them optional."""

    hot: _Limits = _Limits()
    cold: _Limits = _Limits()

    @classmethod
    def from_toml(cls, path: str | os.PathLike[str]) -> Budget:
        """Read a budget file; BudgetError names what is wrong in it, or that it limits nothing."""
        budget = read_settings(path, cls, "budget", BudgetError)
        if budget == cls():
            raise BudgetError(f"{os.fspath(path)}: expected a limit such as hot.p99_us, found none")
        return budget

    def broken_by(self, latency: Latency) -> tuple[str, ...]:
        """A sentence for every limit that the calls went over; none where all are held."""
        return (*self.broken("hot", latency.hot), *self.broken("cold", latency.cold))

    def broken(self, state: str, calls: Percentiles) -> tuple[str, ...]:
        """The same of the calls of one state, "hot" or "cold"."""
        limits = getattr(self, state)
        return tuple(
            f"{state}.{name}: expected at most {limit:g} µs, found {found:.2f} µs"
            for name in ("p50_us", "p99_us", "p999_us", "max_us")
            if (limit := getattr(limits, name)) is not None and (found := getattr(calls, name)) > limit
        )


def percentile_table(found: Mapping[str, Percentiles], name_width: int) -> Iterator[str]:
    """The lines of a table, its head first: how many calls there were of each name, and their percentiles."""
    yield f"{'':<{name_width}}{'calls':>10}{'p50':>10}{'p99':>10}{'p99.9':>10}{'most':>10}"
    for name, calls in found.items():
        figures = (calls.p50_us, calls.p99_us, calls.p999_us, calls.max_us)
        yield f"{name:<{name_width}}{calls.calls:>10,}" + "".join(f"{figure:>10.2f}" for figure in figures)


def measure_latency(engine: Engine, events: Iterable[Any], *, cold_calls: int = 500) -> Latency:
    """Decide the events one by one and take the time of every call, in process and with Python's own clock.

    The first 2,000 warm up (or a tenth, where there are few events), the last ``cold_calls`` (at most a fifth) come
    after a sweep of 64 MiB each, and those between are hot. The engine's windows are updated: give it one of its own.
    BudgetError where fewer than 10 events are given, or one of them does not fit the schema.
    """
    given = list(events)
    if len(given) < 10:
        raise BudgetError(f"events: expected at least 10 to measure with, found {len(given)}")
    warm = min(WARM_CALLS, len(given) // 10)
    cold = max(1, min(cold_calls, len(given) // 5))
    decide = deciding(engine)
    timed(decide, given[:warm])
    hot_ns = timed(decide, given[warm:-cold])
    other = np.zeros(SWEEP_BYTES // 8)
    cold_ns = timed(decide, given[-cold:], other.sum)
    invalid = engine.counters()["invalid"]
    if invalid:
        raise BudgetError(f"events: expected events that fit the bundle's schema, found {invalid} that do not")
    return Latency(hot=Percentiles.of(hot_ns), cold=Percentiles.of(cold_ns))


def deciding(engine: Engine) -> Callable[[Any], Any]:
    """What is measured of an engine: ``decide``, or ``observe`` where its bundle has features only."""
    call: Callable[[Any], Any] = engine.decide if engine.manifest.forest is not None else engine.observe
    return call


def timed(call: Callable[[Any], Any], events: Sequence[Any], before: Callable[[], Any] | None = None) -> list[int]:
    """Nanoseconds of every single call; ``before`` runs before each and is not counted."""
    clock_ns = time.perf_counter_ns
    latency_ns = []
    for event in events:
        if before is not None:
            before()
        start_ns = clock_ns()
        call(event)
        latency_ns.append(clock_ns() - start_ns)
    return latency_ns
