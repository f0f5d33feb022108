"""Kernels that cannot be compiled ahead of time are refused by name, place and reason."""

from __future__ import annotations

import ctypes
import math
import sys
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest

import quickthorn as qt
from quickthorn.errors import FeatureError, MissingExtraError
from quickthorn.features.lowering import lower
from quickthorn.features.plan import plan

TABLE = np.linspace(0.0, 1.0, 5)
BIG_TABLE = np.zeros(200_000)


class Payment(qt.Event):
    event_id: qt.Id
    at: qt.EventTime
    amount: qt.Money


def python_only(x: float) -> float:
    return x


labs = ctypes.CDLL(None).labs
labs.argtypes, labs.restype = [ctypes.c_long], ctypes.c_long


@numba.njit  # type: ignore[untyped-decorator, unused-ignore]
def compiled_elsewhere(x: float) -> float:
    return math.exp(x) + 1.0


def calls_python(x: float) -> float:
    return python_only(x)


def prints(x: float) -> float:
    print(x)
    return x


def runs_in_object_mode(x: float) -> float:
    with numba.objmode(y="float64"):
        y = python_only(x)
    return float(y)


def allocates_an_array(x: float) -> float:
    values = np.empty(int(x))
    values[:] = x
    return float(values.sum())


def allocates_a_list(x: float) -> float:
    values = [x]
    while values[-1] < 1e6:
        values.append(values[-1] * 2.0 + 1.0)
    return values[-2]


def draws(x: float) -> float:
    return x + np.random.random()


def raises(x: float) -> float:
    if x < 0:
        raise ValueError("negative")
    return x


def reads_out_of_range(x: float) -> float:
    return float(TABLE[int(x)])


def calls_by_address(x: float) -> float:
    return float(labs(int(x)))


def reads_a_big_table(x: float) -> float:
    index = int(x)
    return float(BIG_TABLE[index]) if 0 <= index < 200_000 else 0.0


def says_a_word(x: float) -> str:
    return "high" if x > 1 else "low"


def returns_two(x: float) -> tuple[float, float]:
    return x, x


def returns_complex(x: float) -> complex:
    return complex(x, 1.0)


def returns_nothing(x: float) -> None:
    pass


def returns_sometimes(x: float) -> float | None:
    if x > 1:
        return x
    return None


def names_nothing(x: float) -> float:
    return float(x + undefined_name)  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (calls_python, r"without Python objects: .*'python_only'"),
        (names_nothing, r"without Python objects: .*'undefined_name'"),
        (prints, r"needs Python objects: it calls \w+"),
        (runs_in_object_mode, r"needs Python objects: it calls \w+"),
        (allocates_an_array, r"allocates memory: it calls NRT_\w+"),
        (allocates_a_list, r"allocates memory: it calls NRT_\w+"),
        (draws, r"expected calls to libm only, found a call to numba_\w+"),
        (raises, "cannot raise"),
        (reads_out_of_range, "index that is not shown to be in range"),
        (calls_by_address, "holds an address of the compiling process"),
        (reads_a_big_table, "holds an address of the compiling process"),
        (says_a_word, "found a string"),
        (returns_two, "found a tuple"),
        (returns_complex, "found a complex number"),
        (returns_nothing, "a path that returns None"),
        (returns_sometimes, "a path that returns None"),
    ],
)
def test_a_kernel_that_cannot_be_native_is_refused(function: Callable[[float], Any], reason: str) -> None:
    features = qt.FeatureSet(Payment)
    features["fine"] = qt.kernel(compiled_elsewhere.py_func)(Payment.amount)
    features["x"] = qt.kernel(function)(Payment.amount)
    with pytest.raises(FeatureError, match=reason) as refusal:
        lower(plan(features))
    line = function.__code__.co_firstlineno
    assert str(refusal.value).startswith(f"kernel {function.__name__} ({__file__}:{line}): ")
    assert "\n" not in str(refusal.value)


def test_a_kernel_may_call_functions_that_numba_compiled() -> None:
    features = qt.FeatureSet(Payment)
    features["x"] = qt.kernel(lambda amount: compiled_elsewhere(amount) * 2.0)(Payment.amount)
    assert lower(plan(features)).feature_count == 1


def test_an_unknown_target_is_refused() -> None:
    features = qt.FeatureSet(Payment)
    features["amount"] = Payment.amount
    with pytest.raises(FeatureError, match=r"target CPU: expected one of host, x86-64-v2.*found 'pentium'"):
        lower(plan(features), "pentium")


def test_without_numba_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    features = qt.FeatureSet(Payment)
    features["amount"] = Payment.amount
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(MissingExtraError, match=r"'numba'.*quickthorn\[compile\]"):
        lower(plan(features))
