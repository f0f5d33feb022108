"""Kernels as they compute when compiled, run as the Python functions they are."""

from __future__ import annotations

import functools
import math
from types import FunctionType, SimpleNamespace
from typing import Any

import numpy as np

from quickthorn.features.built_in import BuiltIn
from quickthorn.features.declare import Kernel
from quickthorn.reference.built_in import built_in_value

# NumPy's names for functions of the math module, where they differ.
_IN_NUMPY = {"pow": "power", "acosh": "arccosh", "atanh": "arctanh", "acos": "arccos", "asin": "arcsin"}


def apply(kernel: Kernel, *arguments: Any) -> float:
    """A kernel's value with the arithmetic of the machine: x/0 is infinite, 0/0 is missing, int64 wraps around.

    The kernel runs over NumPy scalars, which divide and overflow as compiled code does; event times are ints, the rest
    floats.
    """
    if isinstance(kernel, BuiltIn):
        return built_in_value(kernel, *arguments)
    scalars = (np.int64(argument) if isinstance(argument, int) else np.float64(argument) for argument in arguments)
    return float(run(kernel, *scalars))


def run(kernel: Kernel, *arguments: Any) -> Any:
    """Whatever the kernel's function returns, with the arithmetic of the machine."""
    with np.errstate(all="ignore"):
        return _as_compiled(kernel)(*arguments)


@functools.cache
def _as_compiled(kernel: Kernel) -> FunctionType:
    """The kernel's function with mathematical functions that return what C's return where Python's would raise."""
    function = kernel.function
    seen = {name: _mathematics(value) for name, value in function.__globals__.items()}
    return FunctionType(function.__code__, seen, function.__name__, None, function.__closure__)


def _mathematics(value: Any) -> Any:
    if value is math:
        return SimpleNamespace(**{name: _mathematics(getattr(math, name)) for name in dir(math)})
    name = getattr(value, "__name__", "")
    return _returning(name) if callable(value) and getattr(math, name, None) is value else value


def _returning(name: str) -> Any:
    def function(*arguments: Any) -> Any:
        try:
            result = getattr(math, name)(*arguments)
        except (ValueError, OverflowError):  # outside the domain, at a pole, or past the largest float
            stand_in = getattr(np, _IN_NUMPY.get(name, name), None)
            return stand_in(*map(np.float64, arguments)) if stand_in else np.float64(math.nan)
        return np.float64(result) if isinstance(result, float) else result

    return function
