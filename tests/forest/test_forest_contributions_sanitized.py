"""Emitted contributions under sanitizers: no access beyond row, result or stack, no undefined behaviour."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.forest.test_forest_sanitized import LIBRARY, SANITIZERS

from quickthorn.compiling.toolchain import COMPILE_FLAGS, CONTRIBUTION_FLAGS, target_flags, target_vectors
from quickthorn.forest import explanation_blocks, explanation_emission
from quickthorn.forest.explanation_emission import emit_contributions
from quickthorn.forest.importing import LoadedModel, load_model
from quickthorn.forest.probes import probe_rows
from quickthorn.native import _native

# Counts the rows whose contributions do not add up to the margin, the last of the doubles that belong to a row.
PROGRAM = """
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <vector>
extern "C" void quickthorn_forest_contributions(const double*, double*);
int main(int, char** arguments) {
    std::int64_t shape[2];
    std::FILE* file = std::fopen(arguments[1], "rb");
    if (file == nullptr || std::fread(shape, 8, 2, file) != 2) return 100;
    std::vector<double> row(static_cast<std::size_t>(shape[1]) + 1);
    int wrong = 0;
    for (std::int64_t i = 0; i < shape[0]; ++i) {
        // On the heap and of the exact size, so that an access beyond either end is seen.
        if (std::fread(row.data(), 8, row.size(), file) != row.size()) return 101;
        const std::vector<double> features(row.begin(), row.end() - 1);
        std::vector<double> values(row.size());
        quickthorn_forest_contributions(features.data(), values.data());
        double sum = 0;
        for (const double value : values) sum += value;
        if (!(std::fabs(sum - row.back()) < 1e-6)) ++wrong;
    }
    std::fclose(file);
    return wrong;
}
"""


@pytest.fixture(scope="module")
def model(lightgbm: Any) -> LoadedModel:
    random = np.random.default_rng(0)
    matrix = random.normal(size=(900, 9)).round(2)
    matrix[:, 3] = random.integers(0, 30, 900)
    matrix[random.random(matrix.shape) < 0.1] = np.nan
    data = lightgbm.Dataset(matrix, label=np.nan_to_num(matrix[:, 0] * matrix[:, 1]), categorical_feature=[3])
    return load_model(lightgbm.train({"num_leaves": 40, "verbosity": -1, "num_threads": 1}, data, 12))


@pytest.mark.parametrize("form", ["blocks", "walked"])
@pytest.mark.parametrize("level", ["x86-64-v2", "x86-64-v3", "x86-64-v4"])
def test_no_row_makes_contributions_reach_where_they_must_not(
    model: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: str, form: str
) -> None:
    if not _native.processor_supports(level):
        pytest.skip(f"this processor does not run {level}")
    monkeypatch.setattr(explanation_emission, "MOST_SPLITS", explanation_blocks.MOST_SPLITS if form == "blocks" else -1)
    source = emit_contributions(model.ensemble, target_vectors(level))
    (tmp_path / "contributions.cpp").write_text(source.cpp)
    (tmp_path / "tables.bin").write_bytes(source.tables)
    (tmp_path / "tables.S").write_text(source.assembly("tables.bin"))
    (tmp_path / "program.cpp").write_text(PROGRAM)
    rows = probe_rows(model.ensemble, 200, seed=2)
    with_margins = np.column_stack([rows, model.source_margins(rows)]).astype("<f8")
    (tmp_path / "rows").write_bytes(np.array(rows.shape, "<i8").tobytes() + with_margins.tobytes())
    flags = [flag for flag in COMPILE_FLAGS if flag not in ("-O3", "-Wall", "-Wextra", "-Werror")]
    command = ["g++", *flags, *CONTRIBUTION_FLAGS, *SANITIZERS, *target_flags(level), f"-I{LIBRARY}"]
    command += ["contributions.cpp", "tables.S", "program.cpp", "-o", "program"]
    built = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    ran = subprocess.run(["./program", "rows"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
