"""XGBoost's own prediction: inplace_predict from Python, XGBoosterPredictFromDense at C level."""

from __future__ import annotations

import ctypes
import shutil
from pathlib import Path
from typing import Any

import numpy.typing as npt
from benchmarks.rivals.adapter import Loaded, ModelFiles, Refused
from benchmarks.rivals.native_code import row_call


class XGBoost:
    """A Booster on one thread."""

    name = "XGBoost"
    environment = ""
    libraries = ("xgboost",)
    tolerance = 1e-6
    recipe = "inplace_predict; C API"

    def version(self) -> str:
        try:
            import xgboost
        except ImportError:
            raise Refused("xgboost is not installed") from None
        return f"xgboost {xgboost.__version__}"

    def prepare(self, model: ModelFiles, folder: Path) -> list[Path]:
        return [Path(shutil.copy(model.file, folder / "model.ubj"))]

    def load(self, model: ModelFiles, folder: Path) -> Loaded:
        import xgboost
        from xgboost.core import _LIB

        booster = xgboost.Booster({"nthread": 1}, model_file=folder / "model.ubj")

        def predict(rows: npt.NDArray[Any]) -> Any:
            return booster.inplace_predict(rows, predict_type="margin")

        call = row_call(
            "xgboost_row.cpp",
            folder,
            model.rows(),
            function=_LIB.XGBoosterPredictFromDense,
            handle=ctypes.cast(booster.handle, ctypes.c_void_p).value,
        )
        return Loaded(batch=predict, one_row=predict, native=call, keep=booster)


ADAPTERS = (XGBoost(),)
