"""House rules about who may know whom."""

from __future__ import annotations

import ast
import builtins
import importlib.util
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from quickthorn import errors

Files = tuple[Path, ...]

_PYTHON_INCLUDE = re.compile(r'^\s*#\s*include\s*[<"](?:Python\.h|pybind11/|bindings/)', re.MULTILINE)
_BUILTIN_ERRORS = {
    name for name, value in vars(builtins).items() if isinstance(value, type) and issubclass(value, BaseException)
}
# What builds bundles or trains models, and what only people look at.
_NOT_FOR_SERVING = (
    "numba", "llvmlite", "treelite", "xgboost", "lightgbm", "sklearn", "scipy", "pandas", "pyarrow", "matplotlib",
    "rich", "quickthorn.compiling", "quickthorn.demo", "quickthorn.cli", "quickthorn.replay",
)  # fmt: skip


def test_the_core_cannot_see_python(root: Path, files: Files) -> None:
    core = [file for file in files if file.parts[:2] == ("cpp", "quickthorn")]
    assert core, "no file of the core was found, so nothing was checked"
    assert [str(file) for file in core if _PYTHON_INCLUDE.search((root / file).read_text())] == []


def test_only_the_bindings_know_pybind11(root: Path, files: Files) -> None:
    elsewhere = [file for file in files if file.parts[0] == "cpp" and file.parts[:2] != ("cpp", "bindings")]
    assert [str(file) for file in elsewhere if "pybind11" in (root / file).read_text()] == []


def test_every_error_has_one_root() -> None:
    found = [value for _, value in inspect.getmembers(errors, inspect.isclass) if value.__module__ == errors.__name__]
    assert len(found) > 5
    assert [error.__name__ for error in found if not issubclass(error, errors.QuickthornError)] == []


def test_error_types_are_declared_in_one_place(root: Path, files: Files) -> None:
    # A public class that derives from a built-in error anywhere else would escape `except QuickthornError`.
    strays = []
    for file in files:
        if file.parts[0] != "engine" or file.suffix != ".py" or file.name == "errors.py":
            continue
        for node in ast.walk(ast.parse((root / file).read_text())):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                bases = {base.id for base in node.bases if isinstance(base, ast.Name)}
                strays += [f"{file}: {node.name}({base})" for base in sorted(bases & _BUILTIN_ERRORS)]
    assert strays == []


def test_serving_imports_nothing_that_compiles_or_trains() -> None:
    specification = importlib.util.find_spec("quickthorn.serving")
    if specification is None or specification.origin is None:
        pytest.skip("quickthorn.serving has no module yet")
    # A fresh interpreter: in this one, other tests have imported everything.
    script = "import sys, quickthorn.serving; print(*sys.modules)"
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    loaded = set(answer.stdout.split())
    assert "quickthorn.serving" in loaded
    assert sorted(loaded.intersection(_NOT_FOR_SERVING)) == []
