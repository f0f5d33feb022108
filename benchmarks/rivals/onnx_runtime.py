"""ONNX Runtime: forests converted by onnxmltools (CatBoost exports its own), evaluated by the CPU provider."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

import numpy.typing as npt
from benchmarks.rivals.adapter import Loaded, ModelFiles, Refused


class OnnxRuntime:
    """An InferenceSession on one thread. Its wheel has no C headers, so it is called from Python only."""

    name = "ONNX Runtime"
    environment = "onnx_runtime"
    libraries = ("xgboost", "lightgbm", "catboost")
    # float32 probabilities of float32 sums.
    tolerance = 1e-4
    recipe = "onnxmltools, without ZipMap"

    def version(self) -> str:
        try:
            return f"onnxruntime {metadata.version('onnxruntime')}, onnxmltools {metadata.version('onnxmltools')}"
        except metadata.PackageNotFoundError as error:
            raise Refused(f"{error.name} is not installed") from None

    def prepare(self, model: ModelFiles, folder: Path) -> list[Path]:
        path = folder / "model.onnx"
        converted = {"xgboost": _from_xgboost, "lightgbm": _from_lightgbm, "catboost": _from_catboost}
        path.write_bytes(converted[model.library](model, folder).SerializeToString())
        return [path]

    def load(self, model: ModelFiles, folder: Path) -> Loaded:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors: it warns of a shape that LightGBM's converter states too narrowly
        session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options)
        name = session.get_inputs()[0].name
        outputs = [session.get_outputs()[1].name]

        def predict(rows: npt.NDArray[Any]) -> Any:
            return session.run(outputs, {name: rows})[0][:, 1]

        return Loaded(batch=predict, one_row=predict, scores=True, keep=session)


def _from_xgboost(model: ModelFiles, folder: Path) -> Any:
    import onnxmltools
    import xgboost

    classifier = xgboost.XGBClassifier()
    classifier.load_model(model.file)
    return onnxmltools.convert_xgboost(classifier, initial_types=_rows_type(model))


def _from_lightgbm(model: ModelFiles, folder: Path) -> Any:
    import lightgbm
    import onnxmltools

    booster = lightgbm.Booster(model_file=model.file)
    return onnxmltools.convert_lightgbm(booster, initial_types=_rows_type(model), zipmap=False)


def _from_catboost(model: ModelFiles, folder: Path) -> Any:
    import catboost
    import onnx

    loaded = catboost.CatBoostClassifier()
    loaded.load_model(str(model.file))
    loaded.save_model(str(folder / "exported.onnx"), format="onnx")
    exported = onnx.load(folder / "exported.onnx")
    (folder / "exported.onnx").unlink()
    # ZipMap makes a Python dict of every row, which is not the forest's work.
    zipmap = next(node for node in exported.graph.node if node.op_type == "ZipMap")
    exported.graph.node.remove(zipmap)
    probabilities = onnx.helper.make_tensor_value_info(zipmap.input[0], onnx.TensorProto.FLOAT, [None, 2])
    del exported.graph.output[1]
    exported.graph.output.append(probabilities)
    return exported


def _rows_type(model: ModelFiles) -> list[tuple[str, Any]]:
    from onnxmltools.convert.common.data_types import FloatTensorType

    return [("rows", FloatTensorType([None, model.features]))]


ADAPTERS = (OnnxRuntime(),)
