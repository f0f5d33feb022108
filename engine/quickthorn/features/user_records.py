"""Users' records as Numba sees them: a structure in an entity's state, or a copy of it on the stack."""

from __future__ import annotations

from typing import Any

import llvmlite.ir
import numba
import numpy as np
from numba.core import cgutils
from numba.extending import intrinsic

from quickthorn.features.drivers import define
from quickthorn.features.kept import UserKernel
from quickthorn.features.memory import ADDRESS, place

_WORD = llvmlite.ir.IntType(64)


def record_type(kernel: UserKernel) -> Any:
    """Numba's type of the record: an int64 or a float64 per variable."""
    kinds = [(name, np.int64 if isinstance(start, int) else np.float64) for name, start in kernel.variables]
    return numba.from_dtype(np.dtype(kinds, align=True))


def wrapped(kernel: UserKernel, compiled: Any) -> Any:
    """call(record, record_at, ...): the user's function over the record there, which starts with whether it was begun.

    A read gets a copy, so that what it may write is lost.
    """
    arguments = [f"argument_{index}" for index in range(len(kernel.ticks))]
    names: dict[str, Any] = {"function": compiled, "view": _view(record_type(kernel), copies=kernel.reads)}
    lines = ["kept = view(record, record_at + 8)", "if load_int64(record, record_at) == 0:"]
    for index, (name, start) in enumerate(kernel.variables):
        names[f"start_{index}"] = start
        lines.append(f"    kept.{name} = start_{index}")
    call = f"function({', '.join(['kept', *arguments])})"
    if kernel.reads:
        lines.append(f"return float64({call})")
    else:
        lines += ["    store_int64(record, record_at, 1)", call]
    return define("call", ", ".join(["record", "record_at", *arguments]), lines, names)


def _view(kind: Any, *, copies: bool) -> Any:
    def view(typing_context: Any, base: Any, offset: Any) -> tuple[Any, Any]:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            pointer = context.get_value_type(kind)
            base, offset = arguments
            where = place(builder, base, offset, pointer.pointee)
            if not copies:
                return builder.bitcast(where, pointer)
            copy = cgutils.alloca_once(builder, pointer.pointee)
            cgutils.raw_memcpy(builder, copy, where, _WORD(kind.size), 1)
            return builder.bitcast(copy, pointer)

        return kind(ADDRESS, numba.types.int64), generate

    return intrinsic(view)
