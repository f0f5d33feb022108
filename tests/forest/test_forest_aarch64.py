"""Emitted forests compiled for aarch64 give the library's margins and leaves, bit for bit, under qemu."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quickthorn.compiling.toolchain import COMPILE_FLAGS, TARGETS
from quickthorn.forest.importing import LoadedModel, load_model
from quickthorn.forest.probes import probe_rows
from quickthorn.forest.treelet_emission import emit_fastest

LIBRARY = Path(__file__).resolve().parents[2] / "cpp" / "library"
COMPILER = "aarch64-linux-gnu-g++"
QEMU = next(filter(None, map(shutil.which, ("qemu-aarch64", "qemu-aarch64-static"))), None)
# Reads shape and rows, writes every row's margin and its leaves as doubles.
PROGRAM = """
#include <cstdint>
#include <cstdio>
#include <vector>
extern "C" double quickthorn_forest_margin(const double*);
extern "C" void quickthorn_forest_leaves(const double*, std::int32_t*);
int main() {
    std::int64_t shape[3];
    if (std::fread(shape, 8, 3, stdin) != 3) return 1;
    std::vector<double> row(static_cast<std::size_t>(shape[1]));
    std::vector<std::int32_t> leaves(static_cast<std::size_t>(shape[2]));
    for (std::int64_t i = 0; i < shape[0]; ++i) {
        if (std::fread(row.data(), 8, row.size(), stdin) != row.size()) return 2;
        quickthorn_forest_leaves(row.data(), leaves.data());
        std::vector<double> answer(leaves.begin(), leaves.end());
        answer.push_back(quickthorn_forest_margin(row.data()));
        if (std::fwrite(answer.data(), 8, answer.size(), stdout) != answer.size()) return 3;
    }
    return 0;
}
"""


@pytest.fixture
def depth_wise(xgboost: Any) -> LoadedModel:
    matrix = np.random.default_rng(0).normal(size=(600, 20)).round(2)
    matrix[matrix > 1.5] = np.nan
    data = xgboost.DMatrix(matrix, label=np.nan_to_num(matrix).sum(axis=1) > 0)
    return load_model(xgboost.train({"max_depth": 6, "nthread": 1, "objective": "binary:logistic"}, data, 70))


@pytest.fixture
def many_features(xgboost: Any) -> LoadedModel:
    matrix = np.random.default_rng(0).normal(size=(400, 300))
    data = xgboost.DMatrix(matrix, label=matrix[:, :40].sum(axis=1) > 0)
    parameters = {"max_depth": 5, "nthread": 1, "colsample_bynode": 0.03, "min_child_weight": 0}
    return load_model(xgboost.train(parameters, data, 75))


@pytest.fixture
def leaf_wise(lightgbm: Any) -> LoadedModel:
    matrix = np.random.default_rng(0).normal(size=(600, 20)).round(2)
    data = lightgbm.Dataset(matrix, label=matrix.sum(axis=1) > 0)
    return load_model(lightgbm.train({"num_leaves": 25, "verbosity": -1, "num_threads": 1}, data, 70))


@pytest.mark.skipif(not (shutil.which(COMPILER) and QEMU), reason=f"{COMPILER} or qemu-aarch64 is not installed")
@pytest.mark.parametrize("name", ["depth_wise", "leaf_wise", "many_features"])
def test_aarch64_agrees_with_the_library(request: pytest.FixtureRequest, tmp_path: Path, name: str) -> None:
    model: LoadedModel = request.getfixturevalue(name)
    target = TARGETS["aarch64"]["armv8-a"]
    source = emit_fastest(model.ensemble, target.vectors)
    assert "forest_crowns.hpp" in source.cpp
    (tmp_path / "forest.cpp").write_text(source.cpp)
    (tmp_path / "tables.bin").write_bytes(source.tables)
    (tmp_path / "tables.S").write_text(source.assembly("tables.bin"))
    (tmp_path / "program.cpp").write_text(PROGRAM)
    sources = ["forest.cpp", "tables.S", "program.cpp"]
    command = [COMPILER, *COMPILE_FLAGS, *target.flags, f"-I{LIBRARY}", *sources, "-static", "-o", "program"]
    built = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    rows = probe_rows(model.ensemble, 200, seed=2)
    shape = np.array([*rows.shape, model.ensemble.tree_count], dtype="<i8")
    given = shape.tobytes() + rows.astype("<f8").tobytes()
    ran = subprocess.run([str(QEMU), "./program"], cwd=tmp_path, input=given, capture_output=True, check=False)
    assert ran.returncode == 0, ran.stderr
    answers = np.frombuffer(ran.stdout, dtype="<f8").reshape(len(rows), -1)
    np.testing.assert_array_equal(answers[:, :-1], model.source_leaves(rows))
    np.testing.assert_array_equal(answers[:, -1], model.source_margins(rows))
