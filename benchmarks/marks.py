"""The marks that were set before anything was built, and what a run found of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.rivals.catalogue import is_ours
from benchmarks.summary import Summary

PORTABLE, AVX2, BEST = "Quickthorn x86-64-v2", "Quickthorn x86-64-v3", "Quickthorn x86-64-v4"
COMPILED = ("TL2cgen, gcc", "TL2cgen, clang", "lleaves", "lleaves, small code model", "CatBoost, exported C++")
TL2CGEN = ("TL2cgen, gcc", "TL2cgen, clang")


@dataclass(frozen=True)
class Mark:
    """One mark: what was wanted, what was found, and whether that meets it; None where it could not be measured."""

    what: str
    wanted: str
    found: str
    met: bool | None


def marks(results: Summary) -> Iterator[Mark]:
    """All of them, in the order in which they were set."""
    yield from _c_level(results)
    yield from _other_levels(results)
    yield from _from_python(results)
    yield _times(results, "M6, C level hot", BEST, ("CatBoost, exported C++",), 7, _hot)
    for model in ("M2", "M4"):
        yield _times(results, f"{model}, batches of 10,000 rows", BEST, None, 15, lambda one: one.batch("10000"))
    yield _compiling(results)


def _c_level(results: Summary) -> Iterator[Mark]:
    for model, best, gcc in (("M2", 30, 40), ("M4", 12, 25)):
        yield _times(results, f"{model}, C level hot", BEST, COMPILED, best, _hot)
        yield _times(results, f"{model}, C level hot", BEST, ("TL2cgen, gcc",), gcc, _hot)
        yield _times(results, f"{model}, C level cold", BEST, COMPILED, 10, lambda one: one.cold("p50"))
    for model in results.models:
        ours = results.one(model, BEST)
        found = None if ours is None or _hot(ours) is None else ours.hot("p99") / ours.hot("p50")
        shown = "not measured" if found is None else f"{found:.2f} times"
        yield Mark(f"{model}, p99 to p50, C level hot", "≤ 1.3 times", shown, None if found is None else found <= 1.3)


def _other_levels(results: Summary) -> Iterator[Mark]:
    yield _times(results, "M2, C level hot, AVX2", AVX2, TL2CGEN, 15, _hot)
    yield _times(results, "M2, C level hot, portable", PORTABLE, TL2CGEN, 6, _hot)
    for model in ("M4", "M5"):
        for name, level in (("AVX2", AVX2), ("portable", PORTABLE)):
            yield _times(results, f"{model}, C level hot, {name}", level, TL2CGEN, 5, _hot)


def _from_python(results: Summary) -> Iterator[Mark]:
    for model in ("M1", "M2", "M3", "M4"):
        yield _times(results, f"{model}, one row from Python", BEST, None, 15, lambda one: one.python("p50"))
    ours = results.one("M1", BEST)
    call_ns = None if ours is None else ours.python("p50")
    shown = "not measured" if call_ns is None else f"{call_ns / 1e3:.2f} µs"
    yield Mark("M1, one row from Python", "≤ 0.40 µs", shown, None if call_ns is None else call_ns <= 400)


def _compiling(results: Summary) -> Mark:
    ours = results.one("M5", BEST)
    if ours is None or "compile_seconds" not in ours.prepared:
        return Mark("M5, compiling one level", "< 20 s, < 1 GB", "not measured", None)
    seconds, memory = ours.prepared["compile_seconds"], ours.prepared["peak_memory_bytes"]
    shown = f"{seconds:.1f} s, {memory / 1e9:.2f} GB"
    return Mark("M5, compiling one level", "< 20 s, < 1 GB", shown, seconds < 20 and memory < 1e9)


def _hot(one: Any) -> float | None:
    found = one.hot("p50")
    return None if found is None else float(found)


def _times(
    results: Summary,
    what: str,
    level: str,
    rivals: tuple[str, ...] | None,
    wanted: float,
    figure: Callable[[Any], float | None],
) -> Mark:
    """How many times as long the fastest of some rivals takes (of all, where none is named)."""
    model = what.partition(",")[0]
    ours = results.one(model, level)
    ours_ns = None if ours is None else figure(ours)
    theirs = {
        name: taken
        for name, one in results.all_of(model).items()
        if not is_ours(name) and (rivals is None or name in rivals) and (taken := figure(one)) is not None
    }
    against = rivals[0] if rivals is not None and len(rivals) == 1 else "the fastest"
    if ours_ns is None or not theirs:
        return Mark(what, f"≥ {wanted:g} times {against}", "not measured", None)
    fastest = min(theirs, key=theirs.__getitem__)
    times = theirs[fastest] / ours_ns
    absent = [
        name
        for name, one in results.all_of(model).items()
        if one.refused is not None and not is_ours(name) and (rivals is None or name in rivals)
    ]
    without = f" (no figures of {', '.join(absent)})" if absent else ""
    return Mark(what, f"≥ {wanted:g} times {against}", f"{times:.1f} times {fastest}{without}", times >= wanted)
