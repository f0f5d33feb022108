"""Treelite's GTIL: trees walked node by node, from Python and through its C API."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from benchmarks.rivals.adapter import Loaded, ModelFiles, Refused
from benchmarks.rivals.native_code import row_call


class TreeliteGTIL:
    """A Treelite model on one thread."""

    name = "Treelite GTIL"
    environment = ""
    libraries = ("xgboost", "lightgbm")
    tolerance = 1e-4
    recipe = "gtil.predict; TreeliteGTILPredict"

    def version(self) -> str:
        try:
            import treelite
        except ImportError:
            raise Refused("treelite is not installed") from None
        return f"treelite {treelite.__version__}"

    def prepare(self, model: ModelFiles, folder: Path) -> list[Path]:
        return [Path(shutil.copy(model.file, folder / model.file.name))]

    def load(self, model: ModelFiles, folder: Path) -> Loaded:
        import treelite
        from treelite.core import _LIB
        from treelite.gtil.gtil import GTILConfig

        loaded = getattr(treelite.frontend, f"load_{model.library}_model")(str(folder / model.file.name))
        doubles = loaded.input_type == "float64"

        def predict(rows: npt.NDArray[Any]) -> Any:
            return treelite.gtil.predict(loaded, rows, nthread=1, pred_margin=True)

        config = GTILConfig(nthread=1, predict_type="raw")
        call = row_call(
            "treelite_row.cpp",
            folder,
            np.ascontiguousarray(model.rows(), dtype=np.float64 if doubles else np.float32),
            function=_LIB.TreeliteGTILPredict,
            handle=loaded.handle.value,
        )
        call.keep[0].configure(config.handle, doubles)
        return Loaded(batch=predict, one_row=predict, native=call, keep=(loaded, config))


ADAPTERS = (TreeliteGTIL(),)
