"""Users' kernels, compiled one by one, so that a refusal names the kernel and not the library it would have spoilt."""

from __future__ import annotations

import re
from typing import Any

from numba import types
from numba.core.errors import NumbaError

from quickthorn.errors import FeatureError
from quickthorn.features.ahead import Lowered, ahead_of_time, modules
from quickthorn.features.built_in import code_of
from quickthorn.features.declare import Kernel
from quickthorn.features.kept import UserKernel
from quickthorn.features.memory import ADDRESS
from quickthorn.features.objects import ALLOWED_SYMBOLS, Export, link, process_globals, undefined_symbols
from quickthorn.features.plan import FieldOperand, Operand, Step, TextOperand
from quickthorn.features.user_records import record_type

# Lines of Numba's messages that frame the one that says what is wrong.
_FRAMING = re.compile(r"Failed in |Invalid use of|During: |File |\s*$|\x1b")
_PYTHON_SYMBOL = re.compile(r"_?Py[A-Z_]|numba_(gil|unpickle|recreate|runtime_build|unpack)|_?numba_.*Py")
_ALLOCATING_SYMBOL = re.compile(r"NRT_|(m|c|re)alloc$|numba_(list|dict|set)|_Zn[wa]")
_RETURNED = re.compile(r"^\s*ret i32 (.+?)(?:,|$)", re.MULTILINE)
_PROBE = "quickthorn_probe"
_MACHINE_TYPES = {types.int64: "i64", types.float64: "double", ADDRESS: "ptr"}


def kernel_argument_types(step: Step) -> tuple[Any, ...]:
    """Numba's types of a step's arguments: int64 for an event time, an address for a text, else float64."""
    return tuple(_argument_type(operand) for operand in step.operands)


def _argument_type(operand: Operand) -> Any:
    if isinstance(operand, TextOperand):
        return ADDRESS
    return types.int64 if isinstance(operand, FieldOperand) and operand.as_ticks else types.float64


def compile_kernel(kernel: Kernel, argument_types: tuple[Any, ...], machine: Any) -> Any:
    """The kernel as something other kernels can call, proven to run without Python.

    FeatureError, with the kernel's name, file and line, where it needs Python objects, allocates, calls what is not in
    libm, may raise, or returns anything but one number.
    """
    compiled, lowered = _lowered(kernel, argument_types)
    _check_result(kernel, types.unliteral(lowered.return_type))
    _check_calls(kernel, lowered, argument_types, machine)
    return compiled


def compile_user_kernel(user: UserKernel, machine: Any) -> Any:
    """The same for a function of a record: one that reads returns a number, one that updates returns nothing."""
    arguments = tuple(types.int64 if ticks else types.float64 for ticks in user.ticks)
    argument_types = (record_type(user), *arguments)
    compiled, lowered = _lowered(user.kernel, argument_types)
    if user.reads:
        _check_result(user.kernel, types.unliteral(lowered.return_type))
    elif lowered.return_type is not types.none:
        raise _refusal(user.kernel, "expected a function that changes its record and returns nothing")
    _check_calls(user.kernel, lowered, argument_types, machine)
    return compiled


def _lowered(kernel: Kernel, argument_types: tuple[Any, ...]) -> tuple[Any, Lowered]:
    # Checked, unlike our own: an index that might be out of range then counts as raising, instead of reading what lies
    # behind a table when the data is bad.
    function, checked = code_of(kernel)
    compiled = ahead_of_time(function, checked=checked)
    try:
        return compiled, Lowered(compiled, argument_types)
    except NumbaError as error:
        cause = _first_useful_line(error)
        raise _refusal(kernel, f"Numba cannot compile it without Python objects: {cause}") from error
    except Exception as error:
        # Numba's own failures on code it does not foresee are of many types.
        if isinstance(error, KeyError) and isinstance(argument_types[0], types.Record):
            sentence = f"expected only variables that its record has to be set, found {error.args[0]!r}"
            raise _refusal(kernel, sentence) from error
        cause = f"{type(error).__name__}: {error}".splitlines()[0]
        raise _refusal(kernel, f"Numba cannot compile it: {cause}") from error


def _check_result(kernel: Kernel, returned: Any) -> None:
    if isinstance(returned, types.Optional) or returned is types.none:
        raise _refusal(kernel, "expected a number on every path, found a path that returns None")
    if not isinstance(returned, (types.Float, types.Integer, types.Boolean)):
        raise _refusal(kernel, f"expected a float, int or bool as its result, found {_named(returned)}")


def _check_calls(kernel: Kernel, lowered: Lowered, argument_types: tuple[Any, ...], machine: Any) -> None:
    parameters = tuple("ptr" if isinstance(kind, types.Record) else _MACHINE_TYPES[kind] for kind in argument_types)
    export = Export(_PROBE, lowered.symbol, parameters, returns_status=True)
    module = link(modules([lowered]), [export], machine)
    foreign = [name for name in undefined_symbols(machine.emit_object(module)) if name not in ALLOWED_SYMBOLS]
    # A kernel that raises also allocates to build the exception: what it calls by itself is the better message.
    for name in foreign:
        if _PYTHON_SYMBOL.match(name):
            raise _refusal(kernel, f"it needs Python objects: it calls {name}")
    for name in foreign:
        if _ALLOCATING_SYMBOL.match(name):
            raise _refusal(kernel, f"it allocates memory: it calls {name}")
    for name in foreign:
        raise _refusal(kernel, f"expected calls to libm only, found a call to {name}")
    if process_globals(module):
        raise _refusal(kernel, "it holds an address of the compiling process (a function pointer or a big array)")
    # Everything is inlined or has its constant result known, so a status that is not the constant 0 can be an error.
    if any(status != "0" for status in _RETURNED.findall(str(module.get_function(_PROBE)))):
        raise _refusal(
            kernel,
            "expected a kernel that cannot raise, found one that may raise an exception "
            "(a raise or assert, or an index that is not shown to be in range)",
        )


def _refusal(kernel: Kernel, reason: str) -> FeatureError:
    return FeatureError(f"kernel {kernel.name} ({kernel.where}): {reason}")


def _named(returned: Any) -> str:
    known = {types.UnicodeType: "a string", types.BaseTuple: "a tuple", types.Complex: "a complex number"}
    return next((name for kind, name in known.items() if isinstance(returned, kind)), str(returned))


def _first_useful_line(error: Exception) -> str:
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    lines = [line.strip() for line in text.splitlines()]
    useful = [line for line in lines if not _FRAMING.match(line)] or [type(error).__name__]
    # "No implementation of ... found for signature:" says on the next line which one.
    return " ".join(useful[:2]) if useful[0].endswith(":") else useful[0]
