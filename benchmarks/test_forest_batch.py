"""Many rows at once beside the same rows one by one, through the functions an emitted forest exports, at every level.

The forests are XGBoost's, rows have 100 features with 10 % missing, and all are different. Batches of 15 rows are
evaluated row by row (and pay a fifteenth of a call from Python each).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from benchmarks.conftest import measuring
from benchmarks.test_forest_levels import LEVELS, MODELS, SMOKE_MODELS, per_row_ns, rows_of, train

from quickthorn.compiling.toolchain import COMPILE_FLAGS, find_compiler, target_flags, target_vectors
from quickthorn.forest.ensemble import Ensemble
from quickthorn.forest.importing import load_model
from quickthorn.forest.treelet_emission import emit_fastest
from quickthorn.native import _native

LIBRARY = Path(__file__).resolve().parents[1] / "cpp" / "library"
ROW_BY_ROW = 15


def batch_function(ensemble: Ensemble, level: str, folder: Path) -> Callable[[npt.NDArray[np.float64], int], Any]:
    """A forest's batch function at a level: takes rows, and how many of them to hand over at once."""
    folder.mkdir(parents=True)
    source = emit_fastest(ensemble, target_vectors(level))
    (folder / "forest.cpp").write_text(source.cpp)
    (folder / "tables.bin").write_bytes(source.tables)
    (folder / "tables.S").write_text(source.assembly("tables.bin"))
    arguments = [*COMPILE_FLAGS, *target_flags(level), f"-I{LIBRARY}", "-shared", "forest.cpp", "tables.S"]
    find_compiler().run([*arguments, "-o", "forest.so"], folder)
    function = ctypes.CDLL(str(folder / "forest.so")).quickthorn_forest_batch
    function.argtypes = [ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_ssize_t, ctypes.c_uint64, ctypes.c_void_p]
    function.restype = None

    def call(rows: npt.NDArray[np.float64], at_once: int) -> npt.NDArray[np.float64]:
        margins = np.empty(len(rows))
        for first in range(0, len(rows), at_once):
            part = rows[first : first + at_once]
            function(part.ctypes.data, part.shape[1], 1, len(part), margins[first:].ctypes.data)
        return margins

    return call


def test_many_rows_at_every_level(
    request: pytest.FixtureRequest, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    full = measuring(request.config)
    rows = rows_of(10_000 if full else 300, seed=9)
    levels = [level for level in LEVELS if _native.processor_supports(level)]
    for name, (trees, depth) in (MODELS if full else SMOKE_MODELS).items():
        model = train(trees, depth, rows=60_000 if full else 1_000)
        loaded = load_model(model)
        expected = loaded.source_margins(rows)
        shown = []
        for level in levels:
            call = batch_function(loaded.ensemble, level, tmp_path / name / level)
            taken: dict[int, list[float]] = {len(rows): [], ROW_BY_ROW: []}
            for _ in range(9 if full else 1):
                for at_once, times in taken.items():
                    np.testing.assert_array_equal(call(rows, at_once), expected)
                    times.append(per_row_ns(partial(call, rows, at_once), len(rows)))
            together, alone = (float(np.median(times)) for times in taken.values())
            shown.append(f"{level} {together:,.0f} ns (row by row {alone:,.0f} ns)")
        figure(f"forest, {name}, {len(rows):,} rows at once: {', '.join(shown)}")
