"""CatBoost's own prediction from Python, and the C++ source it exports, compiled with g++ -O3."""

from __future__ import annotations

import ctypes
import shutil
from pathlib import Path
from typing import Any

import numpy.typing as npt
from benchmarks.rivals.adapter import Loaded, ModelFiles, NativeCall, Refused
from benchmarks.rivals.native_code import SOURCES, address_of, build, compiler_version


class CatBoost:
    """A CatBoost object on one thread."""

    name = "CatBoost"
    environment = ""
    libraries = ("catboost",)
    tolerance = 1e-12
    recipe = "predict"

    def version(self) -> str:
        try:
            import catboost
        except ImportError:
            raise Refused("catboost is not installed") from None
        return f"catboost {catboost.__version__}"

    def prepare(self, model: ModelFiles, folder: Path) -> list[Path]:
        return [Path(shutil.copy(model.file, folder / "model.cbm"))]

    def load(self, model: ModelFiles, folder: Path) -> Loaded:
        import catboost

        loaded = catboost.CatBoost()
        loaded.load_model(str(folder / "model.cbm"))

        def predict(rows: npt.NDArray[Any]) -> Any:
            return loaded.predict(rows, prediction_type="RawFormulaVal", thread_count=1)

        return Loaded(batch=predict, one_row=predict)


class CatBoostExported(CatBoost):
    """The exported source, which takes one row."""

    name = "CatBoost, exported C++"
    tolerance = 1e-12
    recipe = 'save_model(format="cpp"), g++ -O3'

    def version(self) -> str:
        return f"{super().version()}, {compiler_version()}"

    def prepare(self, model: ModelFiles, folder: Path) -> list[Path]:
        import catboost

        loaded = catboost.CatBoost()
        loaded.load_model(str(model.file))
        loaded.save_model(str(folder / "model.cpp"), format="cpp")
        shutil.copy(SOURCES / "catboost_row.cpp", folder)
        flags = ("-std=c++17", "-O3", "-fPIC", "-shared", f"-DFEATURES={model.features}")
        return [build(folder / "catboost_row.cpp", folder / "model.so", *flags)]

    def load(self, model: ModelFiles, folder: Path) -> Loaded:
        library = ctypes.CDLL(str(folder / "model.so"))
        return Loaded(native=NativeCall(address_of(library.one_row), model.rows(), keep=library))


ADAPTERS = (CatBoost(), CatBoostExported())
