"""Emitted forests under sanitizers: no read beyond the row or the stack, no undefined behaviour, whatever the row."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quickthorn.compiling.toolchain import COMPILE_FLAGS, target_flags, target_vectors
from quickthorn.forest.batch_emission import with_batches
from quickthorn.forest.crown_emission import emit_crowns
from quickthorn.forest.crowns import cut_crowns
from quickthorn.forest.emission import ForestSource, Vectors, emit_forest
from quickthorn.forest.ensemble import Ensemble
from quickthorn.forest.importing import LoadedModel, load_model
from quickthorn.forest.probes import probe_rows
from quickthorn.forest.treelet_emission import emit_fastest, emit_treelets
from quickthorn.forest.treelets import cut
from quickthorn.native import _native

LIBRARY = Path(__file__).resolve().parents[2] / "cpp" / "library"
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-O1", "-g"]
# Counts the rows whose margins are not the expected bits; rows and margins come from a file of doubles.
PROGRAM = """
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <vector>
extern "C" double quickthorn_forest_margin(const double*);
extern "C" void quickthorn_forest_leaves(const double*, std::int32_t*);
extern "C" void quickthorn_forest_batch(const double*, std::ptrdiff_t, std::ptrdiff_t, std::uint64_t, double*);
int main(int, char** arguments) {
    std::int64_t shape[3];
    std::FILE* file = std::fopen(arguments[1], "rb");
    if (file == nullptr || std::fread(shape, 8, 3, file) != 3) return 100;
    std::vector<double> row(static_cast<std::size_t>(shape[1]) + 1);
    int wrong = 0;
    std::vector<double> rows, expected;
    for (std::int64_t i = 0; i < shape[0]; ++i) {
        // On the heap and of the exact size, so that a read beyond either end is seen.
        if (std::fread(row.data(), 8, row.size(), file) != row.size()) return 101;
        const std::vector<double> features(row.begin(), row.end() - 1);
        std::vector<std::int32_t> leaves(static_cast<std::size_t>(shape[2]));
        const double margin = quickthorn_forest_margin(features.data());
        quickthorn_forest_leaves(features.data(), leaves.data());
        if (std::memcmp(&margin, &row.back(), 8) != 0) ++wrong;
        rows.insert(rows.end(), features.begin(), features.end());
        expected.push_back(margin);
    }
    std::fclose(file);
    rows.shrink_to_fit();
    std::vector<double> columns(rows.size()), margins(expected.size()), from_columns(expected.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
        columns[i % shape[1] * shape[0] + i / shape[1]] = rows[i];
    }
    quickthorn_forest_batch(rows.data(), shape[1], 1, shape[0], margins.data());
    quickthorn_forest_batch(columns.data(), 1, shape[0], shape[0], from_columns.data());
    if (std::memcmp(margins.data(), expected.data(), 8 * expected.size()) != 0) ++wrong;
    if (std::memcmp(from_columns.data(), expected.data(), 8 * expected.size()) != 0) ++wrong;
    return wrong;
}
"""


def treelets_of(ensemble: Ensemble, vectors: Vectors) -> ForestSource:
    treelets = cut(ensemble)
    assert treelets is not None
    return emit_treelets(ensemble, treelets)


@pytest.fixture(scope="module")
def stacked(xgboost: Any) -> LoadedModel:
    matrix = np.random.default_rng(0).normal(size=(600, 20)).round(2)
    matrix[matrix > 1.5] = np.nan
    data = xgboost.DMatrix(matrix, label=np.nan_to_num(matrix[:, 0]) > 0)
    return load_model(xgboost.train({"max_depth": 5, "nthread": 1, "objective": "binary:logistic"}, data, 70))


@pytest.fixture(scope="module")
def linked(lightgbm: Any) -> LoadedModel:
    matrix = np.random.default_rng(0).normal(size=(600, 20)).round(2)
    data = lightgbm.Dataset(matrix, label=matrix[:, 0] > 0)
    return load_model(lightgbm.train({"num_leaves": 25, "verbosity": -1, "num_threads": 1}, data, 70))


def crowns_of(ensemble: Ensemble, vectors: Vectors) -> ForestSource:
    crowns = cut_crowns(ensemble)
    assert crowns is not None
    return emit_crowns(ensemble, crowns)


@pytest.fixture(scope="module")
def oblivious() -> LoadedModel:
    catboost = pytest.importorskip("catboost")
    random = np.random.default_rng(0)
    matrix = random.normal(size=(600, 20)).round(2).astype(object)
    matrix[:, 7] = random.integers(0, 6, 600)
    parameters = {"iterations": 70, "depth": 5, "verbose": 0, "thread_count": 1, "allow_writing_files": False}
    estimator = catboost.CatBoost(parameters | {"cat_features": [7], "one_hot_max_size": 9, "nan_mode": "Max"})
    return load_model(estimator.fit(matrix, matrix[:, 0] + (matrix[:, 7] == 3)))


@pytest.mark.parametrize(
    ("emit", "level"),
    [(treelets_of, "x86-64-v4"), (crowns_of, "x86-64-v2"), (crowns_of, "x86-64-v3"), (emit_forest, "x86-64-v2")],
)
@pytest.mark.parametrize("name", ["stacked", "linked"])
def test_no_row_makes_a_forest_read_where_it_must_not(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    name: str,
    level: str,
    emit: Callable[[Ensemble, Vectors], ForestSource],
) -> None:
    if not _native.processor_supports(level):
        pytest.skip(f"this processor does not run {level}")
    assert_sound(request.getfixturevalue(name), level, emit, tmp_path)


@pytest.mark.parametrize("level", ["x86-64-v2", "x86-64-v3", "x86-64-v4"])
def test_no_row_makes_oblivious_trees_or_codes_read_where_they_must_not(
    oblivious: LoadedModel, tmp_path: Path, level: str
) -> None:
    if not _native.processor_supports(level):
        pytest.skip(f"this processor does not run {level}")
    text = emit_fastest(oblivious.ensemble, target_vectors(level)).cpp
    assert "forest_oblivious.hpp" in text
    assert "forest_recoding.hpp" in text
    assert_sound(oblivious, level, emit_fastest, tmp_path)


def assert_sound(
    model: LoadedModel, level: str, emit: Callable[[Ensemble, Vectors], ForestSource], tmp_path: Path
) -> None:
    """The forest gives its margins under the sanitizers, and they find nothing."""
    vectors = target_vectors(level)
    source = with_batches(model.ensemble, vectors, emit(model.ensemble, vectors))
    (tmp_path / "forest.cpp").write_text(source.cpp)
    (tmp_path / "tables.bin").write_bytes(source.tables)
    (tmp_path / "tables.S").write_text(source.assembly("tables.bin"))
    (tmp_path / "program.cpp").write_text(PROGRAM)
    rows = probe_rows(model.ensemble, 300, seed=2)
    shape = np.array([*rows.shape, model.ensemble.tree_count], dtype="<i8")
    with_margins = np.column_stack([rows, model.source_margins(rows)]).astype("<f8")
    (tmp_path / "rows").write_bytes(shape.tobytes() + with_margins.tobytes())
    flags = [flag for flag in COMPILE_FLAGS if flag not in ("-O3", "-Wall", "-Wextra", "-Werror")]
    command = [
        "g++",
        *flags,
        *SANITIZERS,
        *target_flags(level),
        f"-I{LIBRARY}",
        "forest.cpp",
        "tables.S",
        "program.cpp",
    ]
    built = subprocess.run([*command, "-o", "program"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    ran = subprocess.run(["./program", "rows"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
