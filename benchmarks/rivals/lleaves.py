"""lleaves: LightGBM models compiled by LLVM, with its default settings and with its small code model."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from benchmarks.rivals.adapter import Loaded, ModelFiles, Refused
from benchmarks.rivals.native_code import row_call


class Lleaves:
    """A compiled model on one thread."""

    environment = "lleaves"
    libraries = ("lightgbm",)
    tolerance = 1e-12
    # It takes more memory than machines have on forests of a thousand large trees.
    memory_limit_bytes = 8 << 30

    def __init__(self, small_code: bool) -> None:
        self.small_code = small_code
        self.name = "lleaves, small code model" if small_code else "lleaves"
        self.recipe = 'fcodemodel="small"' if small_code else "default settings"

    def version(self) -> str:
        try:
            return f"lleaves {metadata.version('lleaves')}, llvmlite {metadata.version('llvmlite')}"
        except metadata.PackageNotFoundError as error:
            raise Refused(f"{error.name} is not installed") from None

    def prepare(self, model: ModelFiles, folder: Path) -> list[Path]:
        self._compiled(model, folder)
        return [folder / "model.o"]

    def load(self, model: ModelFiles, folder: Path) -> Loaded:
        compiled = self._compiled(model, folder)

        def predict(rows: npt.NDArray[Any]) -> Any:
            return compiled.predict(rows, n_jobs=1)

        rows = np.ascontiguousarray(model.rows(), dtype=np.float64)
        call = row_call("lleaves_row.cpp", folder, rows, function=compiled._c_entry_func)
        return Loaded(
            batch=predict,
            one_row=predict,
            # What it takes without a copy.
            row_form=lambda row: np.ascontiguousarray(row, dtype=np.float64),
            native=call,
            keep=compiled,
        )

    def _compiled(self, model: ModelFiles, folder: Path) -> Any:
        import lleaves

        compiled = lleaves.Model(model_file=str(model.file))
        settings = {"fcodemodel": "small"} if self.small_code else {}
        compiled.compile(cache=str(folder / "model.o"), raw_score=True, **settings)
        return compiled


ADAPTERS = (Lleaves(small_code=False), Lleaves(small_code=True))
