"""oneDAL: forests converted by daal4py's model builders (scikit-learn-intelex)."""

from __future__ import annotations

import pickle
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy.typing as npt
from benchmarks.rivals.adapter import Loaded, ModelFiles, Refused


class OneDAL:
    """A converted model on one thread, from Python; its wheel has no C++ headers."""

    name = "oneDAL"
    environment = "onedal"
    libraries = ("xgboost", "lightgbm", "catboost")
    # float32 probabilities of float32 sums.
    tolerance = 1e-4
    recipe = "daal4py.mb.convert_model"

    def version(self) -> str:
        try:
            return f"scikit-learn-intelex {metadata.version('scikit-learn-intelex')}, daal {metadata.version('daal')}"
        except metadata.PackageNotFoundError as error:
            raise Refused(f"{error.name} is not installed") from None

    def prepare(self, model: ModelFiles, folder: Path) -> list[Path]:
        from daal4py import mb

        path = folder / "model.pickle"
        path.write_bytes(pickle.dumps(mb.convert_model(_source(model))))
        return [path]

    def load(self, model: ModelFiles, folder: Path) -> Loaded:
        import daal4py

        daal4py.daalinit(1)
        converted = pickle.loads((folder / "model.pickle").read_bytes())

        def predict(rows: npt.NDArray[Any]) -> Any:
            return converted.predict_proba(rows)[:, 1]

        return Loaded(batch=predict, one_row=predict, scores=True, keep=converted)


def _source(model: ModelFiles) -> Any:
    """The model as the library that trained it holds it."""
    if model.library == "xgboost":
        import xgboost

        return xgboost.Booster(model_file=model.file)
    if model.library == "lightgbm":
        import lightgbm

        return lightgbm.Booster(model_file=model.file)
    import catboost

    loaded = catboost.CatBoostClassifier()
    loaded.load_model(str(model.file))
    return loaded


ADAPTERS = (OneDAL(),)
