"""Quickthorn's own forest, at every CPU level it emits code for."""

from __future__ import annotations

import ctypes
from importlib import metadata
from pathlib import Path

from benchmarks.rivals.adapter import Loaded, ModelFiles, Refused
from benchmarks.rivals.native_code import row_call

LEVELS = ("x86-64-v2", "x86-64-v3", "x86-64-v4")


class Quickthorn:
    """A Forest compiled for one level, given rows of float32; at C level, the shared library that is in its file."""

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
        import quickthorn

        quickthorn.compile_model(model.file, target=self.level).save(folder / "forest.qt")
        return [folder / "forest.qt"]

    def load(self, model: ModelFiles, folder: Path) -> Loaded:
        import quickthorn
        from quickthorn.bundle import read_forest
        from quickthorn.bundle.manifest import library_member

        forest = quickthorn.Forest.load(folder / "forest.qt", target=self.level)
        (folder / "forest.so").write_bytes(read_forest(folder / "forest.qt").members[library_member(self.level)])
        library = ctypes.CDLL(str(folder / "forest.so"))
        return Loaded(
            batch=forest.score_batch,
            one_row=forest.score,
            # A row as a vector.
            row_form=lambda row: row[0],
            native=row_call("quickthorn_row.cpp", folder, model.rows(), function=library.quickthorn_forest_margins_f32),
            scores=True,
            keep=(forest, library),
        )


ADAPTERS = tuple(Quickthorn(level) for level in LEVELS)
