"""Numba's compiler, used ahead of time: Python functions in, LLVM modules out, nothing put into this process.

Numba's own dispatcher compiles for the CPU it runs on and loads the result. Here its type inference and lowering are
kept, but the code generator is one for a generic CPU that never emits machine code: the modules are the same on every
build machine, and :mod:`quickthorn.features.objects` optimises them once for the CPU they are meant for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import Any

from numba import _dynfunc, types
from numba.core import codegen, cpu
from numba.core.descriptors import TargetDescriptor
from numba.core.dispatcher import Dispatcher
from numba.core.registry import cpu_target


class _AheadOfTimeTarget(TargetDescriptor):  # type: ignore[misc]
    options = cpu.CPUTargetOptions

    @property
    def typing_context(self) -> Any:
        return cpu_target.typing_context

    @cached_property
    def target_context(self) -> Any:
        # A copy that shares the registered implementations, so kernels may call the user's own @njit functions.
        return cpu_target.target_context.subtarget(
            _internal_codegen=codegen.AOTCPUCodegen("quickthorn"), aot_mode=True, get_executable=_placeholder
        )


def _placeholder(library: Any, description: Any, environment: Any) -> Any:
    # Numba keys a compiled function by its entry point. There is none; a built-in function object of its own serves as
    # the key, and AheadOfTime refuses to call it.
    return _dynfunc.make_function(
        description.lookup_module(), description.qualname, "compiled ahead of time", 0, environment, (library,)
    )


class AheadOfTime(Dispatcher):
    """A Python function that other kernels can call and that is only ever lowered, never run."""

    targetdescr = _AheadOfTimeTarget("cpu")

    def __init__(self, function: Callable[..., Any], *, checked: bool = False) -> None:
        super().__init__(
            function,
            targetoptions={
                "nopython": True,
                "error_model": "numpy",
                "boundscheck": checked,
                "no_cpython_wrapper": True,
                "no_cfunc_wrapper": True,
            },
        )

    def get_call_template(self, args: Any, kws: Any) -> Any:
        """One compilation serves every constant: as types of their own, each offset would be a version of the kernel.

        Inlined, the constants are constants again.
        """
        return super().get_call_template(tuple(types.unliteral(argument) for argument in args), kws)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        raise TypeError(f"{self.py_func.__qualname__} is compiled ahead of time and cannot be called from Python")


def ahead_of_time(function: Callable[..., Any], *, checked: bool = False) -> Any:
    """The function as a kernel. ``checked``: an index out of range raises instead of reading past the end."""
    return AheadOfTime(function, checked=checked)


class Lowered:
    """One kernel compiled for one tuple of argument types: its result's type, symbol and Numba library."""

    def __init__(self, kernel: Any, argument_types: tuple[Any, ...]) -> None:
        kernel.compile(argument_types)
        result = kernel.overloads[argument_types]
        self.return_type = result.signature.return_type
        self.symbol: str = result.fndesc.llvm_func_name
        self.library = result.library


def modules(lowered: Iterable[Lowered]) -> Iterator[Any]:
    """The kernels' LLVM modules and those of all they call, each once, in an order that depends on the code alone."""
    waiting = [kernel.library for kernel in lowered][::-1]
    seen = set(waiting)
    while waiting:
        library = waiting.pop()
        yield library._final_module
        for needed in library._linking_libraries:
            if needed not in seen:
                seen.add(needed)
                waiting.append(needed)
