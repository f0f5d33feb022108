"""Quickthorn's own forest, at every CPU level it emits code for."""

from __future__ import annotations

import ctypes
from importlib import metadata
from pathlib import Path

import numpy as np
from benchmarks.rivals.adapter import Loaded, ModelFiles, NativeCall, Refused
from benchmarks.rivals.native_code import address_of

LEVELS = ("x86-64-v2", "x86-64-v3", "x86-64-v4")


class Quickthorn:
    """The forest compiled for one level: `double quickthorn_forest_margin(const double*)`."""

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
        from quickthorn.compiling.toolchain import COMPILE_FLAGS, LINK_FLAGS, find_compiler, target_flags
        from quickthorn.forest.importing import load_model
        from quickthorn.forest.treelet_emission import emit_fastest

        source = emit_fastest(load_model(model.file).ensemble)
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
        rows = np.ascontiguousarray(model.rows(), dtype=np.float64)
        call = NativeCall(address_of(library.quickthorn_forest_margin), rows, keep=library)
        return Loaded(native=call)


ADAPTERS = tuple(Quickthorn(level) for level in LEVELS)
