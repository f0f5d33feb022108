"""What kernels over text stand on: an event row's texts, constant tables and scratch memory on the stack.

Like those of :mod:`quickthorn.features.memory`, each of these is a few LLVM instructions that cannot allocate or raise.
"""

from __future__ import annotations

from typing import Any

import llvmlite.ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from quickthorn.features.memory import ADDRESS

# As quickthorn_text in library_abi.h: a pointer to the bytes, and their number or −1.
TEXT_RECORD_BYTES, TEXT_LENGTH_OFFSET = 16, 8
TEXT_BYTES = 256  # QUICKTHORN_TEXT_BYTES

_BYTE, _HALF_WORD, _WORD = (llvmlite.ir.IntType(bits) for bits in (8, 32, 64))


def _text_at(typing_context: Any, slots: Any, field: Any) -> tuple[Any, Any]:
    """text_at(slots, field): the text record of the field of that index, which lies before the slots."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        base, index = arguments
        record = builder.mul(builder.add(index, _WORD(1)), _WORD(-TEXT_RECORD_BYTES))
        return builder.gep(base, [record], source_etype=_BYTE)

    return ADDRESS(ADDRESS, types.int64), generate


def _text_bytes(typing_context: Any, text: Any) -> tuple[Any, Any]:
    """text_bytes(text): where the text's bytes are."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _BYTE.as_pointer()
        place = builder.bitcast(arguments[0], pointer.as_pointer())
        return builder.load(place, align=8, typ=pointer)

    return ADDRESS(ADDRESS), generate


def _load(machine_type: Any, align: int) -> tuple[Any, Any]:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        base, offset = arguments
        place = builder.gep(base, [offset], inbounds=True, source_etype=_BYTE)
        value = builder.load(builder.bitcast(place, machine_type.as_pointer()), align=align, typ=machine_type)
        return builder.zext(value, _WORD)

    return types.int64(ADDRESS, types.int64), generate


def _load_byte(typing_context: Any, base: Any, offset: Any) -> tuple[Any, Any]:
    """load_byte(base, offset): the byte there, 0 to 255, as an int64."""
    return _load(_BYTE, 1)


def _load_uint32(typing_context: Any, base: Any, offset: Any) -> tuple[Any, Any]:
    """load_uint32(base, offset): four bytes from any offset, as an int64 that is not negative."""
    return _load(_HALF_WORD, 1)


text_at: Any = intrinsic(_text_at)
text_bytes: Any = intrinsic(_text_bytes)
load_byte: Any = intrinsic(_load_byte)
load_uint32: Any = intrinsic(_load_uint32)


def constant_table(contents: bytes) -> Any:
    """A function of no arguments that gives the address of these bytes in the library, 64-byte aligned."""

    def address(typing_context: Any) -> tuple[Any, Any]:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            kind = llvmlite.ir.ArrayType(_BYTE, len(contents))
            constant = llvmlite.ir.Constant(kind, bytearray(contents))
            table = cgutils.global_constant(builder.module, "quickthorn.table", constant)
            table.align = 64
            return builder.bitcast(table, _BYTE.as_pointer())

        return ADDRESS(), generate

    return intrinsic(address)


def stack_memory(size_bytes: int) -> Any:
    """A function of no arguments that gives the address of that much memory, as long as the calling kernel runs.

    What is in it means nothing. The kernel is never inlined, so that one feature's memory is the next one's again.
    """

    def address(typing_context: Any) -> tuple[Any, Any]:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            builder.function.attributes.add("noinline")
            with builder.goto_entry_block():
                memory = builder.alloca(llvmlite.ir.ArrayType(_BYTE, size_bytes))
                memory.align = 64
            return builder.bitcast(memory, _BYTE.as_pointer())

        return ADDRESS(), generate

    return intrinsic(address)
