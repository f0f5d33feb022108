"""Loads and stores at an address, for Numba kernels over memory that the engine owns.

Numba has no such thing for plain addresses. Each of these is a single LLVM load or store, so a kernel built of them
cannot allocate, count references or raise. Nothing is checked here: offsets come from the plan.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import llvmlite.ir
from numba import types
from numba.extending import intrinsic

# What Numba sees is void*. As void*, unlike an integer, LLVM can tell that two regions do not overlap.
Address: TypeAlias = int
ADDRESS: Any = types.voidptr

_BYTE, _WORD, _DOUBLE = llvmlite.ir.IntType(8), llvmlite.ir.IntType(64), llvmlite.ir.DoubleType()


def place(builder: Any, base: Any, offset: Any, machine_type: Any) -> Any:
    """LLVM's pointer to a value of that type, ``offset`` bytes after ``base``."""
    place = builder.gep(base, [offset], inbounds=True, source_etype=_BYTE)
    return builder.bitcast(place, machine_type.as_pointer())


def _load(value_type: Any, machine_type: Any) -> tuple[Any, Any]:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        base, offset = arguments
        return builder.load(place(builder, base, offset, machine_type), align=8, typ=machine_type)

    return value_type(ADDRESS, types.int64), generate


def _store(value_type: Any, machine_type: Any) -> tuple[Any, Any]:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        base, offset, value = arguments
        builder.store(value, place(builder, base, offset, machine_type), align=8)
        return context.get_dummy_value()

    return types.void(ADDRESS, types.int64, value_type), generate


def _load_int64(typing_context: Any, base: Any, offset: Any) -> tuple[Any, Any]:
    """load_int64(base, offset): the int64 ``offset`` bytes after ``base``."""
    return _load(types.int64, _WORD)


def _load_float64(typing_context: Any, base: Any, offset: Any) -> tuple[Any, Any]:
    """load_float64(base, offset): the float64 ``offset`` bytes after ``base``."""
    return _load(types.float64, _DOUBLE)


def _store_int64(typing_context: Any, base: Any, offset: Any, value: Any) -> tuple[Any, Any]:
    """store_int64(base, offset, value)."""
    return _store(types.int64, _WORD)


def _store_float64(typing_context: Any, base: Any, offset: Any, value: Any) -> tuple[Any, Any]:
    """store_float64(base, offset, value)."""
    return _store(types.float64, _DOUBLE)


def _load_address(typing_context: Any, base: Any, offset: Any) -> tuple[Any, Any]:
    """load_address(base, offset): the address that is held ``offset`` bytes after ``base``."""
    return _load(ADDRESS, _BYTE.as_pointer())


def _address_at(typing_context: Any, base: Any, offset: Any) -> tuple[Any, Any]:
    """address_at(base, offset): the address ``offset`` bytes after ``base``."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        base, offset = arguments
        return builder.gep(base, [offset], inbounds=True, source_etype=_BYTE)

    return ADDRESS(ADDRESS, types.int64), generate


address_at: Any = intrinsic(_address_at)
load_address: Any = intrinsic(_load_address)
load_int64: Any = intrinsic(_load_int64)
load_float64: Any = intrinsic(_load_float64)
store_int64: Any = intrinsic(_store_int64)
store_float64: Any = intrinsic(_store_float64)
