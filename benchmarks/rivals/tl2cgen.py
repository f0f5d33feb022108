"""TL2cgen: forests as C source of nested ifs, compiled by gcc and by clang."""

from __future__ import annotations

import ctypes
import shutil
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from benchmarks.rivals.adapter import Loaded, ModelFiles, Refused
from benchmarks.rivals.native_code import compiler, compiler_version, row_call

# Into how many C files it cuts a forest: compilers take more than proportionally longer for longer functions.
C_FILES = 32


class TL2cgen:
    """Its C code called directly, and its Predictor from Python, on one thread."""

    environment = "tl2cgen"
    libraries = ("xgboost", "lightgbm")
    # It sums in an order of its own, XGBoost's leaves in float32.
    tolerance = 1e-4

    def __init__(self, toolchain: str) -> None:
        self.toolchain = toolchain
        self.name = f"TL2cgen, {toolchain}"
        self.recipe = f"{toolchain} -O3, parallel_comp={C_FILES}"

    def version(self) -> str:
        try:
            versions = [f"{package} {metadata.version(package)}" for package in ("tl2cgen", "treelite")]
        except metadata.PackageNotFoundError as error:
            raise Refused(f"{error.name} is not installed") from None
        return ", ".join([*versions, compiler_version(self.toolchain)])

    def prepare(self, model: ModelFiles, folder: Path) -> list[Path]:
        import tl2cgen
        import treelite

        compiler(self.toolchain)
        load = getattr(treelite.frontend, f"load_{model.library}_model")
        source = folder / "source"
        tl2cgen.generate_c_code(load(str(model.file)), source, {"parallel_comp": C_FILES})
        built = tl2cgen.create_shared(self.toolchain, source, nthread=1, long_build_time_warning=False)
        kept = Path(shutil.move(built, folder / "predictor.so"))
        shutil.rmtree(source)
        return [kept]

    def load(self, model: ModelFiles, folder: Path) -> Loaded:
        import tl2cgen

        predictor = tl2cgen.Predictor(folder / "predictor.so", nthread=1)
        doubles = model.library == "lightgbm"

        def predict(rows: npt.NDArray[Any]) -> Any:
            return predictor.predict(tl2cgen.DMatrix(rows), pred_margin=True)

        library = ctypes.CDLL(str(folder / "predictor.so"))
        call = row_call(
            "tl2cgen_row.cpp",
            folder,
            entries(model.rows(), doubles),
            function=library.predict,
            entry="one_row_of_doubles" if doubles else "one_row",
        )
        return Loaded(batch=predict, one_row=predict, native=call, keep=(library, predictor))


def entries(rows: npt.NDArray[np.float32], doubles: bool) -> npt.NDArray[Any]:
    """The rows as arrays of `union Entry`: the value, or the integer -1 in its place where it is missing."""
    taken = np.ascontiguousarray(rows, dtype=np.float64 if doubles else np.float32)
    words = taken.view(np.int32).reshape(*taken.shape, -1)
    words[..., 0][np.isnan(taken)] = -1
    return taken


ADAPTERS = (TL2cgen("gcc"), TL2cgen("clang"))
