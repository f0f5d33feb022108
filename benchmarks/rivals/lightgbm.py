"""LightGBM's own prediction: Booster.predict from Python, the fast single-row C API at C level."""

from __future__ import annotations

import ctypes
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from benchmarks.rivals.adapter import Loaded, ModelFiles, Refused
from benchmarks.rivals.native_code import row_call

RAW_SCORE, FLOAT64 = 1, 1  # C_API_PREDICT_RAW_SCORE, C_API_DTYPE_FLOAT64


class LightGBM:
    """A Booster on one thread."""

    name = "LightGBM"
    environment = ""
    libraries = ("lightgbm",)
    tolerance = 1e-12
    recipe = "predict; LGBM_BoosterPredictForMatSingleRowFast"

    def version(self) -> str:
        try:
            import lightgbm
        except ImportError:
            raise Refused("lightgbm is not installed") from None
        return f"lightgbm {lightgbm.__version__}"

    def prepare(self, model: ModelFiles, folder: Path) -> list[Path]:
        return [Path(shutil.copy(model.file, folder / "model.txt"))]

    def load(self, model: ModelFiles, folder: Path) -> Loaded:
        import lightgbm
        from lightgbm.basic import _LIB

        booster = lightgbm.Booster(model_file=folder / "model.txt")

        def predict(rows: npt.NDArray[Any]) -> Any:
            return booster.predict(rows, raw_score=True, num_threads=1)

        settled = ctypes.c_void_p()
        begun = _LIB.LGBM_BoosterPredictForMatSingleRowFastInit(
            booster._handle,
            ctypes.c_int(RAW_SCORE),
            ctypes.c_int(0),
            ctypes.c_int(-1),
            ctypes.c_int(FLOAT64),
            ctypes.c_int32(model.features),
            ctypes.c_char_p(b"num_threads=1"),
            ctypes.byref(settled),
        )
        if begun != 0:
            raise Refused("LGBM_BoosterPredictForMatSingleRowFastInit fails")
        call = row_call(
            "lightgbm_row.cpp",
            folder,
            np.ascontiguousarray(model.rows(), dtype=np.float64),
            function=_LIB.LGBM_BoosterPredictForMatSingleRowFast,
            handle=settled.value,
        )
        return Loaded(batch=predict, one_row=predict, native=call, keep=booster)


ADAPTERS = (LightGBM(),)
