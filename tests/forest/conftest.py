"""Fixtures of the forest tests: emitted source compiled and called, models trained once, the shared models."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pytest

from quickthorn.compiling.toolchain import target_flags, target_vectors
from quickthorn.forest.emission import ForestSource, Vectors, emit_forest
from quickthorn.forest.ensemble import Ensemble
from quickthorn.forest.importing import LoadedModel
from quickthorn.forest.probes import probe_rows

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "cpp" / "library"
INCLUDED = re.compile(r"#include <(?!arm_neon)")
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
FLAGS = ["-std=c++20", "-fPIC", "-ffp-contract=off", "-fno-exceptions", "-fno-rtti", "-Wno-psabi", *WARNINGS]


Emit: TypeAlias = Callable[[Ensemble, Vectors], ForestSource]


class SystemHeaders:
    """The system's headers that forests include, precompiled: reading them is most of compiling one for a level."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._flags: dict[tuple[str, ...], list[str]] = {}

    def read_once(self, flags: list[str]) -> list[str]:
        """What to add to these flags."""
        if tuple(flags) not in self._flags:
            folder = self._folder / str(len(self._flags))
            folder.mkdir()
            path = folder / "system.hpp"
            lines = {line for header in LIBRARY.glob("*.hpp") for line in header.read_text().splitlines()}
            path.write_text("\n".join(sorted(line for line in lines if INCLUDED.match(line))))
            subprocess.run(["g++", *flags, "-x", "c++-header", path], check=True, capture_output=True)
            self._flags[tuple(flags)] = ["-include", str(path), "-Winvalid-pch"]
            if any("avx512" in flag for flag in flags):
                # GCC forgets of a precompiled header that the system's own may leave a variable unset.
                self._flags[tuple(flags)].append("-Wno-maybe-uninitialized")
        return self._flags[tuple(flags)]


class NativeForest:
    """An emitted forest as the shared library it compiles to."""

    def __init__(
        self,
        ensemble: Ensemble,
        folder: Path,
        optimise: str = "-O3",
        *,
        emit: Emit = emit_forest,
        level: str = "",
        headers: SystemHeaders,
    ) -> None:
        source = emit(ensemble, target_vectors(level) if level else "portable")
        flags = [*FLAGS, *(target_flags(level) if level else ()), optimise]
        if level:
            flags += headers.read_once(flags)
        (folder / "forest.cpp").write_text(source.cpp)
        (folder / "tables.bin").write_bytes(source.tables)
        (folder / "tables.S").write_text(source.assembly("tables.bin"))
        include = f"-I{LIBRARY}"
        self.path = folder / "forest.so"
        for command in (
            ["g++", *flags, include, "-c", "forest.cpp"],
            ["g++", "-c", "tables.S"],
            ["gcc", "-shared", "-Wl,-z,defs", "-o", self.path.name, "forest.o", "tables.o", "-lm"],
        ):
            ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            assert ran.returncode == 0, ran.stderr
        library = ctypes.CDLL(str(self.path))
        pointer, count = ctypes.c_void_p, ctypes.c_ssize_t
        one, many = [pointer, pointer], [pointer, count, count, ctypes.c_uint64, pointer]
        self._margin = _function(library.quickthorn_forest_margin, [pointer], ctypes.c_double)
        self._leaves = _function(library.quickthorn_forest_leaves, one)
        self._margins = _function(library.quickthorn_forest_margins, one)
        self._margins_f32 = _function(library.quickthorn_forest_margins_f32, one)
        self._batch = _function(library.quickthorn_forest_batch, many)
        self._batch_f32 = _function(library.quickthorn_forest_batch_f32, many)
        self._trees, self._outputs = ensemble.tree_count, ensemble.output_count

    def margins(self, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """[n] for one output, [n, outputs] for several, as the source library gives them; single rows and batches."""
        rows = np.ascontiguousarray(rows)
        margins = self._one_by_one(self._margins, rows)
        first = np.array([self._margin(row.ctypes.data) for row in rows])
        assert np.array_equal(first, margins[:, 0], equal_nan=True)
        assert np.array_equal(self._at_once(self._batch, rows), margins, equal_nan=True)
        assert np.array_equal(self._at_once(self._batch, np.asfortranarray(rows)), margins, equal_nan=True)
        with np.errstate(over="ignore"):
            single = rows.astype(np.float32)
        widened = self._one_by_one(self._margins, single.astype(np.float64))
        assert np.array_equal(self._one_by_one(self._margins_f32, single), widened, equal_nan=True)
        assert np.array_equal(self._at_once(self._batch_f32, single), widened, equal_nan=True)
        return first if self._outputs == 1 else margins

    def _one_by_one(self, function: Any, rows: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        margins = np.full((len(rows), self._outputs), np.nan)
        for row, out in zip(rows, margins, strict=True):
            function(row.ctypes.data, out.ctypes.data)
        return margins

    def _at_once(self, function: Any, rows: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        margins = np.full((len(rows), self._outputs), np.nan)
        row_stride, feature_stride = (stride // rows.itemsize for stride in rows.strides)
        function(rows.ctypes.data, row_stride, feature_stride, len(rows), margins.ctypes.data)
        return margins

    def leaves(self, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.int32]:
        rows = np.ascontiguousarray(rows)
        leaves = np.full((len(rows), self._trees), -7, np.int32)
        for row, out in zip(rows, leaves, strict=True):
            self._leaves(row.ctypes.data, out.ctypes.data)
        return leaves


def _function(function: Any, argument_types: list[Any], result_type: Any = None) -> Any:
    function.argtypes, function.restype = argument_types, result_type
    return function


@pytest.fixture(scope="session")
def system_headers(tmp_path_factory: pytest.TempPathFactory) -> SystemHeaders:
    return SystemHeaders(tmp_path_factory.mktemp("headers"))


@pytest.fixture
def compile_forest(tmp_path: Path, system_headers: SystemHeaders) -> Callable[..., NativeForest]:
    """Compile an Ensemble; skips where there is no compiler."""
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed")
    count = 0

    def compile_one(ensemble: Ensemble, optimise: str = "-O3", **how: Any) -> NativeForest:
        nonlocal count
        count += 1
        folder = tmp_path / f"forest{count}"
        folder.mkdir()
        return NativeForest(ensemble, folder, optimise, headers=system_headers, **how)

    return compile_one


@pytest.fixture
def assert_equal_to_source(compile_forest: Callable[..., NativeForest]) -> Callable[..., None]:
    """The compiled forest gives the source library's leaves and its very margins, on probes and given rows."""

    def check(model: LoadedModel, rows: npt.NDArray[np.float64] | None = None, optimise: str = "-O3") -> None:
        native = compile_forest(model.ensemble, optimise)
        probes = probe_rows(model.ensemble, 400, seed=5)
        every = probes if rows is None else np.concatenate([probes, rows])
        assert np.array_equal(native.leaves(every), model.source_leaves(every))
        # Linear leaves make NaN of opposite infinities.
        assert np.array_equal(native.margins(every), model.source_margins(every), equal_nan=True)

    return check


@pytest.fixture(scope="session")
def training() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """600 rows of 5 features (the last a category of 40, a tenth of the others missing), labels and targets."""
    random = np.random.default_rng(11)
    rows = random.normal(size=(600, 5))
    rows[:, 1] = np.where(random.random(600) < 0.4, 0.0, rows[:, 1])
    rows[:, 2] = np.round(rows[:, 2], 1)
    rows[:, 4] = random.integers(0, 40, 600)
    target = rows[:, 0] + rows[:, 1] * rows[:, 2] + (rows[:, 4] % 3 == 0) + 0.1 * random.normal(size=600)
    rows[:, :4][random.random((600, 4)) < 0.1] = np.nan
    return rows, (target > 0.5).astype(float), target


def wanted(what: str, training: Any) -> npt.NDArray[np.float64] | None:
    """What a model is to predict, by name, from the labels and targets of `training`."""
    _, labels, targets = training
    return {
        "labels": labels,
        "classes": labels + (targets > 1.5),
        "targets": targets,
        "positive": np.exp(targets),
        "both": np.stack([targets, -(targets**2)], axis=1),
        "tags": np.stack([labels, 1 - labels], axis=1),
        "nothing": None,
    }[what]


@pytest.fixture(scope="session")
def shared_models() -> Path:
    """The folder of real models beside the repository."""
    folder = ROOT.parent / "shared" / "models"
    if not folder.is_dir():
        pytest.skip("the real models (../shared/models) are not here")
    return folder


@pytest.fixture(scope="session")
def xgboost() -> Any:
    return pytest.importorskip("xgboost")


@pytest.fixture(scope="session")
def lightgbm() -> Any:
    return pytest.importorskip("lightgbm")
