"""Quickthorn's own forest, at every CPU level it emits code for."""

from __future__ import annotations

import ctypes
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from benchmarks.rivals.adapter import Loaded, ModelFiles, Refused
from benchmarks.rivals.native_code import row_call

LEVELS = ("x86-64-v2", "x86-64-v3", "x86-64-v4")


class Quickthorn:
    """The forest compiled for one level, given rows of float32."""

    environment = ""
    libraries = ("xgboost", "lightgbm", "catboost")
    tolerance = 0.0
    # The source it emits changes with every commit, so what it compiles is never kept.
    recipe = ""

    def __init__(self, level: str) -> None:
        self.level = level
        self.name = f"Quickthorn {level}"

    def version(self) -> str:
        from quickthorn.compiling.toolchain import find_compiler
        from quickthorn.native import _native

        if not _native.processor_supports(self.level):
            raise Refused(f"this processor is below {self.level}")
        return f"quickthorn {metadata.version('quickthorn')}, {find_compiler().version}"

    def prepare(self, model: ModelFiles, folder: Path) -> list[Path]:
        from quickthorn.compiling.library import include_directory
        from quickthorn.compiling.toolchain import (
            COMPILE_FLAGS,
            LINK_FLAGS,
            find_compiler,
            target_flags,
            target_vectors,
        )
        from quickthorn.forest.importing import load_model
        from quickthorn.forest.treelet_emission import emit_fastest

        source = emit_fastest(load_model(model.file).ensemble, target_vectors(self.level))
        (folder / "forest.cpp").write_text(source.cpp)
        (folder / "tables.bin").write_bytes(source.tables)
        (folder / "tables.S").write_text(source.assembly("tables.bin"))
        compiler = find_compiler()
        flags = [*COMPILE_FLAGS, *target_flags(self.level), "-I", str(include_directory())]
        for name in ("forest.cpp", "tables.S"):
            compiler.run([*flags, "-c", name, "-o", f"{name}.o"], folder)
        compiler.run([*LINK_FLAGS, "forest.cpp.o", "tables.S.o", "-lm", "-o", "forest.so"], folder)
        return [folder / "forest.so"]

    def load(self, model: ModelFiles, folder: Path) -> Loaded:
        library = ctypes.CDLL(str(folder / "forest.so"))
        call = row_call("quickthorn_row.cpp", folder, model.rows(), function=library.quickthorn_forest_margins_f32)
        native_batch = library.quickthorn_forest_batch_f32
        native_batch.restype, count = None, ctypes.c_ssize_t
        native_batch.argtypes = [ctypes.c_void_p, count, count, ctypes.c_uint64, ctypes.c_void_p]

        def batch(rows: npt.NDArray[np.float32]) -> Any:
            margins = np.empty(len(rows))
            native_batch(rows.ctypes.data, rows.shape[1], 1, len(rows), margins.ctypes.data)
            return margins

        return Loaded(batch=batch, native=call, keep=library)


ADAPTERS = tuple(Quickthorn(level) for level in LEVELS)
