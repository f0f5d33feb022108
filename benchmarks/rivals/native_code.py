"""Compiling the small C++ files of native/, and calling what comes out."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from benchmarks.rivals.adapter import NativeCall, Refused

SOURCES = Path(__file__).parent / "native"
FLAGS = ("-std=c++20", "-O3", "-fPIC", "-shared", "-Wall", "-Wextra", "-Werror")
SWEPT_BYTES = 64 << 20


def compiler(name: str = "g++") -> str:
    """The compiler's path; Refused where there is none."""
    path = shutil.which(name)
    if path is None:
        raise Refused(f"{name} is not installed")
    return path


def compiler_version(name: str = "g++") -> str:
    """The first line of its --version."""
    ran = subprocess.run([compiler(name), "--version"], capture_output=True, text=True, check=True)
    return ran.stdout.splitlines()[0]


def build(source: Path, library: Path, *flags: str) -> Path:
    """Compile one C++ file into a shared library; Refused with the compiler's first words where it fails."""
    command = [compiler(), *(flags or FLAGS), "-o", str(library), str(source)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise Refused(f"g++ fails on {source.name}: {ran.stderr.strip()[:200]}")
    return library


def row_call(
    source: str, folder: Path, rows: npt.NDArray[Any], function: Any = None, handle: Any = None, entry: str = "one_row"
) -> NativeCall:
    """The shim of this name in native/, set up with the address of a library's function and a handle to give it."""
    library = ctypes.CDLL(str(build(SOURCES / source, folder / f"{Path(source).stem}.so")))
    address = ctypes.cast(function, ctypes.c_void_p)
    library.setup(address, ctypes.c_void_p(handle), ctypes.c_uint(rows.shape[1]))
    return NativeCall(address_of(getattr(library, entry)), rows, keep=(library, function, handle))


def address_of(function: Any) -> int:
    """Where a function of a loaded library is."""
    address = ctypes.cast(function, ctypes.c_void_p).value
    assert address is not None
    return address


class RowTimer:
    """The C++ loops that call one row after the other and look at the processor's counter."""

    def __init__(self, folder: Path) -> None:
        path = folder / "row_timer.so"
        if not path.exists():
            build(SOURCES / "row_timer.cpp", path)
        self._library = ctypes.CDLL(str(path))
        self._library.mean_ns.restype = ctypes.c_double
        self._library.nanoseconds_per_tick.restype = ctypes.c_double
        self._library.empty_call.restype = ctypes.c_void_p
        self._tick_ns = float(self._library.nanoseconds_per_tick())
        rows = np.zeros((2_000, 8))
        empty = NativeCall(self._library.empty_call(), rows)
        self.empty_ns = 0.0
        """What reading the counter twice around an empty call takes; it is taken off every single call."""
        taken = self.hot_ns(empty, rows)
        steps = np.diff(np.unique(taken))
        self.step_ns = float(steps.min()) if len(steps) else 0.0
        """The smallest difference between two readings: what percentiles are rounded to."""
        self.empty_ns = float(np.median(taken))

    def answers(self, call: NativeCall, rows: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """float64 [n]: what the call answers."""
        out = np.empty(len(rows))
        self._library.answers(*self._arguments(call, rows), out.ctypes.data_as(ctypes.c_void_p))
        return out

    def mean_ns(self, call: NativeCall, rows: npt.NDArray[Any]) -> float:
        """Nanoseconds per row of one loop over the rows."""
        return float(self._library.mean_ns(*self._arguments(call, rows)))

    def hot_ns(self, call: NativeCall, rows: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """float64 [n]: nanoseconds of every call, one after the other."""
        taken = np.empty(len(rows), dtype=np.uint64)
        self._library.hot(*self._arguments(call, rows), taken.ctypes.data_as(ctypes.c_void_p))
        return self._nanoseconds(taken)

    def cold_ns(self, call: NativeCall, rows: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """float64 [n]: nanoseconds of every call, each after 64 MiB were read."""
        taken = np.empty(len(rows), dtype=np.uint64)
        swept = _swept()
        self._library.cold(
            *self._arguments(call, rows),
            swept.ctypes.data_as(ctypes.c_void_p),
            ctypes.c_size_t(swept.nbytes),
            taken.ctypes.data_as(ctypes.c_void_p),
        )
        return self._nanoseconds(taken)

    def _nanoseconds(self, taken: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
        return np.asarray(np.maximum(taken * self._tick_ns - self.empty_ns, 0.0), dtype=np.float64)

    @staticmethod
    def _arguments(call: NativeCall, rows: npt.NDArray[Any]) -> tuple[Any, ...]:
        assert rows.flags.c_contiguous
        return (
            ctypes.c_void_p(call.address),
            rows.ctypes.data_as(ctypes.c_void_p),
            ctypes.c_size_t(rows.strides[0]),
            ctypes.c_size_t(len(rows)),
        )


@cache
def _swept() -> npt.NDArray[np.uint8]:
    # Written once: pages that were never written all map to one page of zeros, and reading that sweeps nothing.
    return np.full(SWEPT_BYTES, 1, dtype=np.uint8)
