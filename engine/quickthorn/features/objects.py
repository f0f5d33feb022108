"""LLVM modules to one relocatable object: linked, closed, optimised for a target CPU, with stable names.

The object is position independent and holds nothing of the build machine: no addresses, no names made from counters, no
order that depends on hashing. What it may call from outside is libm and three functions of libc.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import llvmlite.binding as llvm

from quickthorn.errors import FeatureError

# LLVM's names of the CPU levels, and the machine that each belongs to.
_CPUS = {
    "x86-64-v2": ("x86-64-v2", "x86_64"),
    "x86-64-v3": ("x86-64-v3", "x86_64"),
    "x86-64-v4": ("x86-64-v4", "x86_64"),
    "armv8-a": ("generic", "aarch64"),
}
# Globals that tie code to the compiling process: addresses of what Numba could not copy, and Python environments.
PROCESS_PREFIXES = ("numba.dynamic.globals", "_ZN08NumbaEnv")
_DOUBLE_MATH = frozenset(
    re.findall(
        r"\w+",
        """
        acos acosh asin asinh atan atan2 atanh cbrt ceil copysign cos cosh erf erfc exp exp10 exp2 expm1
        fabs fdim floor fma fmax fmin fmod frexp hypot ldexp lgamma log log10 log1p log2 logb modf nearbyint
        nextafter pow remainder rint round roundeven scalbn sin sincos sinh sqrt tan tanh tgamma trunc
        """,
    )
)
ALLOWED_SYMBOLS = _DOUBLE_MATH | {f"{name}f" for name in _DOUBLE_MATH} | {"memcpy", "memmove", "memset"}


@dataclass(frozen=True)
class Export:
    """A C function to export: ``symbol`` calls Numba's ``inner`` with arguments of these LLVM types.

    A void function, unless ``returns_status``: then its first parameter is a pointer to where the result goes, and it
    returns Numba's status as an int32 (0 where nothing was raised).
    """

    symbol: str
    inner: str
    parameters: tuple[str, ...]
    returns_status: bool = False


def target_machine(target: str) -> Any:
    """LLVM's description of the CPU: "host", or a CPU level of any machine; FeatureError for any other name."""
    host = target == "host"
    if not host and target not in _CPUS:
        raise FeatureError(f"target CPU: expected one of {', '.join(['host', *_CPUS])}, found {target!r}")
    triple, cpu = llvm.get_process_triple(), ""
    if not host:
        cpu, machine = _CPUS[target]
        triple = triple if triple.startswith(machine) else f"{machine}-unknown-linux-gnu"
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    return llvm.Target.from_triple(triple).create_target_machine(
        cpu=llvm.get_host_cpu_name() if host else cpu,
        features=llvm.get_host_cpu_features().flatten() if host else "",
        opt=3,
        reloc="pic",
        codemodel="default",
    )


def link(modules: Iterable[Any], exports: Iterable[Export], machine: Any) -> Any:
    """One optimised module of everything the exports need; what they don't reach is gone."""
    exports = tuple(exports)
    text = "\n".join(
        [
            'source_filename = "quickthorn"',
            f'target triple = "{machine.triple}"',
            f'target datalayout = "{machine.target_data}"',
            *(_wrapper(export) for export in exports),
        ]
    )
    linked = llvm.parse_assembly(text)
    for module in modules:
        linked.link_in(module.clone())
    _close(linked, {export.symbol for export in exports})
    linked.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(linked, builder)
    _rename(linked, {export.symbol for export in exports})
    return linked


def _wrapper(export: Export) -> str:
    """A C function around Numba's calling convention: (result place, exception place, arguments...) → status."""
    names = [f"%a{index}" for index in range(len(export.parameters))]
    passed = "".join(f", {kind} {name}" for kind, name in zip(export.parameters, names, strict=True))
    # No two regions overlap: window state, rows, event row, values and features each have memory of their own.
    taken = [
        f"{kind} noalias {name}" if kind == "ptr" else f"{kind} {name}"
        for kind, name in zip(export.parameters, names, strict=True)
    ]
    status = export.returns_status
    return "\n".join(
        [
            f"declare i32 @{export.inner}(ptr, ptr{''.join(f', {kind}' for kind in export.parameters)})",
            f"define {'i32' if status else 'void'} @{export.symbol}({', '.join(['ptr %result'] * status + taken)}) {{",
            *([] if status else ["  %result = alloca ptr"]),
            "  %error = alloca ptr",
            f"  %status = call i32 @{export.inner}(ptr %result, ptr %error{passed})",
            f"  ret {'i32 %status' if status else 'void'}",
            "}",
        ]
    )


def _inner_values(module: Any, exported: set[str]) -> Iterator[Any]:
    """What the module defines and does not export."""
    for value in (*module.functions, *module.global_variables):
        if not value.is_declaration and value.name not in exported:
            yield value


def _close(module: Any, exported: set[str]) -> None:
    """Makes everything but the exports internal, so that the optimiser may drop it."""
    for value in _inner_values(module, exported):
        # What ties code to this process goes too where nothing uses it, but where something does, its use must stay to
        # be seen: an internal global that is never written would be folded into the code as a constant.
        value.linkage = "linkonce_any" if value.name.startswith(PROCESS_PREFIXES) else "internal"


def _rename(module: Any, exported: set[str]) -> None:
    """Numba's names hold counters of this process; local symbols are in the object, so they get names of their own."""
    for index, value in enumerate(_inner_values(module, exported)):
        if not value.name.startswith(PROCESS_PREFIXES):
            value.name = f"quickthorn.{index}"


def process_globals(module: Any) -> list[str]:
    """Names of the globals left in the module that mean something in the compiling process only."""
    return [value.name for value in module.global_variables if value.name.startswith(PROCESS_PREFIXES)]


def undefined_symbols(object_bytes: bytes) -> list[str]:
    """The symbols an ELF64 little-endian object expects from elsewhere, in the order of its symbol table."""
    section_offset = struct.unpack_from("<Q", object_bytes, 0x28)[0]
    entry_bytes, section_count = struct.unpack_from("<HH", object_bytes, 0x3A)
    sections = [
        struct.unpack_from("<IIQQQQIIQQ", object_bytes, section_offset + index * entry_bytes)
        for index in range(section_count)
    ]
    names: list[str] = []
    for _, kind, _, _, offset, size, link_index, _, _, symbol_bytes in sections:
        if kind != 2:  # SHT_SYMTAB
            continue
        strings_offset = sections[link_index][4]
        for position in range(offset + symbol_bytes, offset + size, symbol_bytes):
            name_offset, _, _, defined_in = struct.unpack_from("<IBBH", object_bytes, position)
            if defined_in == 0:  # SHN_UNDEF
                start = strings_offset + name_offset
                names.append(object_bytes[start : object_bytes.index(b"\0", start)].decode())
    return names
