"""The functions of a feature library, written as Python source from a plan and turned into kernels.

Every offset, window length and scale is a constant in the source, so the optimiser sees straight code: a read is one
call per window to move it and one per value to store it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from numba import types

from quickthorn.event import Field, Money, Number
from quickthorn.event.fields import MISSING_MONEY
from quickthorn.features import aggregates, cursors, memory, text_memory
from quickthorn.features.ahead import ahead_of_time
from quickthorn.features.plan import (
    WORD_BYTES,
    ConstantOperand,
    FieldOperand,
    Group,
    Operand,
    Plan,
    StepOperand,
    TextOperand,
    Value,
    ValueOperand,
    Window,
    WindowSum,
)

_ADDRESS, _INT64 = memory.ADDRESS, types.int64
_READ = {
    "windows": _ADDRESS,
    "rows": _ADDRESS,
    "mask": _INT64,
    "first": _INT64,
    "last": _INT64,
    "now_us": _INT64,
    "with_current": _INT64,
    "slots": _ADDRESS,
    "values": _ADDRESS,
}
_CHANGE = {"windows": _ADDRESS, "rows": _ADDRESS, "mask": _INT64, "position": _INT64}
_DERIVE = {"slots": _ADDRESS, "values": _ADDRESS, "features": _ADDRESS}


def _major_units(minor: int, units: float) -> float:
    """Money as kernels and models see it: one division, NaN where it is missing."""
    return math.nan if minor == MISSING_MONEY else float(minor) / units


_NAMES: dict[str, Any] = {
    "major_units": ahead_of_time(_major_units),
    "text_at": text_memory.text_at,
    "float64": types.float64,
}
_NAMES |= {
    name: getattr(module, name)
    for module, names in (
        (memory, ("load_int64", "load_float64", "store_int64", "store_float64")),
        (
            aggregates,
            (
                "shift_money",
                "shift_optional_money",
                "shift_boolean",
                "shift_optional_boolean",
                "shift_number",
                "shift_optional_number",
                "settle",
                "rows_inside",
                "money_present",
                "float_present",
                "current_money",
                "current_boolean",
                "current_number",
                "exact_sum",
                "exact_mean",
                "number_sum",
                "number_mean",
            ),
        ),
    )
    for name in names
}


@dataclass(frozen=True)
class Driver:
    """One function of the library: its C symbol, and the kernel with its argument types (int64 or address)."""

    symbol: str
    kernel: Any
    argument_types: tuple[Any, ...]


def machine_types(driver: Driver) -> tuple[str, ...]:
    """The LLVM types of a driver's arguments."""
    return tuple("ptr" if kind is _ADDRESS else "i64" for kind in driver.argument_types)


def group_drivers(group: Group, index: int) -> Iterator[Driver]:
    """The read, absorb and release functions of one group."""
    cursor_names: dict[str, Any] = {}
    shapes: dict[tuple[WindowSum, ...], int] = {}
    for window in group.windows:
        if window.sums not in shapes:
            shape = shapes.setdefault(window.sums, len(shapes))
            shift_row = _define("shift_row", _shift_row_source(group, window), {})
            cursor_names[f"advance_{shape}"] = cursors.advance_kernel(shift_row)
            cursor_names[f"absorb_{shape}"] = cursors.absorb_kernel(shift_row)
            cursor_names[f"release_{shape}"] = cursors.release_kernel(shift_row)
    yield _driver(f"quickthorn_read_{index}", _READ, _read_lines(group, shapes), cursor_names)
    for change in ("absorb", "release"):
        lines = [
            f"{change}_{shapes[window.sums]}(windows, {window.offset}, rows, mask, {group.row_bytes}, position)"
            for window in group.windows
        ]
        yield _driver(f"quickthorn_{change}_{index}", _CHANGE, lines, cursor_names)


def derive_driver(plan: Plan, kernels: Sequence[Any]) -> Driver:
    """The function that computes the feature vector; ``kernels[i]`` is the compiled kernel of step i."""
    names = {f"kernel_{index}": kernel for index, kernel in enumerate(kernels)}
    written: dict[Operand, str] = {}
    constants: dict[str, float] = {}
    lines: list[str] = []

    def name_of(operand: Operand) -> str:
        if isinstance(operand, ConstantOperand):
            name = f"constant_{len(constants)}"
            constants[name] = operand.value
            return name
        if operand not in written:
            written[operand] = f"operand_{len(written)}"
            lines.append(f"{written[operand]} = {_load(operand)}")
        return written[operand]

    for index, step in enumerate(plan.steps):
        arguments = ", ".join([name_of(operand) for operand in step.operands])
        written[StepOperand(index)] = f"result_{index}"
        lines.append(f"result_{index} = float64(kernel_{index}({arguments}))")
    for index, output in enumerate(plan.outputs):
        lines.append(f"store_float64(features, {WORD_BYTES * index}, {name_of(output)})")
    return _driver("quickthorn_derive", _DERIVE, lines, {**names, **constants})


def _driver(symbol: str, parameters: dict[str, Any], lines: list[str], names: dict[str, Any]) -> Driver:
    source = f"def {symbol}({', '.join(parameters)}):\n" + "".join(f"    {line}\n" for line in lines)
    return Driver(symbol, _define(symbol, source, names), tuple(parameters.values()))


def _define(name: str, source: str, names: dict[str, Any]) -> Any:
    namespace: dict[str, Any] = {**_NAMES, **names, "__name__": "quickthorn.features.generated"}
    exec(compile(source, f"<{name}>", "exec"), namespace)
    return ahead_of_time(namespace[name])


def _shift_row_source(group: Group, window: Window) -> str:
    lines = []
    for total in window.sums:
        column = group.columns[total.column]
        value_at = f"rows, row_at + {column.row_offset}, sign"
        if total.valid_offset is None:
            lines.append(f"shift_{column.field.kind}(windows, window_at + {total.offset}, {value_at})")
        else:
            sums = f"window_at + {total.offset}, window_at + {total.valid_offset}"
            lines.append(f"shift_optional_{column.field.kind}(windows, {sums}, {value_at})")
    body = "".join(f"    {line}\n" for line in lines or ["pass"])
    return f"def shift_row(windows, window_at, rows, row_at, sign):\n{body}"


def _read_lines(group: Group, shapes: dict[tuple[WindowSum, ...], int]) -> list[str]:
    lines: list[str] = []
    for window in group.windows:
        low_us, high_us = f"now_us - {window.delay_us + window.over_us}", f"now_us - {window.delay_us}"
        lines.append(
            f"advance_{shapes[window.sums]}(windows, {window.offset}, rows, mask, {group.row_bytes}, first, last, "
            f"{low_us}, {high_us})"
        )
        for total in window.sums:
            column = group.columns[total.column]
            if isinstance(column.field, Number):
                lines.append(
                    f"settle(windows, {window.offset}, {window.offset + total.offset}, {_valid(window, total)}, "
                    f"rows, mask, {group.row_bytes}, {column.row_offset})"
                )
    for index, value in enumerate(group.values):
        value_at = WORD_BYTES * (group.value_first + index)
        lines.append(f"store_float64(values, {value_at}, {_value(group, value)})")
    return lines


def _value(group: Group, value: Value) -> str:
    """The expression of one aggregate, once its window has been brought to now."""
    window = group.windows[value.window]
    with_current = "with_current" if value.include_current else "0"
    if value.column is None:
        return f"float(rows_inside(windows, {window.offset}) + {with_current})"
    field, total = group.columns[value.column].field, window.sum_of(value.column)
    slot = f"slots, {WORD_BYTES * field.index}, {with_current}"
    arguments = [f"windows, {window.offset + total.offset}, current_{field.kind}({slot})"]
    if value.kind == "mean":
        present = with_current if field.required else f"{_presence(field)}({slot})"
        arguments.append(f"{_valid(window, total)} + {present}")
    if isinstance(field, Number):
        return f"number_{value.kind}({', '.join(arguments)})"
    arguments.append(repr(10.0**field.scale if isinstance(field, Money) else 1.0))
    return f"exact_{value.kind}({', '.join(arguments)})"


def _valid(window: Window, total: WindowSum) -> str:
    """The expression for how many values the sum is made of."""
    if total.valid_offset is None:
        return f"rows_inside(windows, {window.offset})"
    return f"load_int64(windows, {window.offset + total.valid_offset})"


def _presence(field: Field) -> str:
    return "money_present" if isinstance(field, Money) else "float_present"


def _load(operand: Operand) -> str:
    if isinstance(operand, ValueOperand):
        return f"load_float64(values, {WORD_BYTES * operand.index})"
    if isinstance(operand, TextOperand):
        return f"text_at(slots, {operand.field.index})"
    if not isinstance(operand, FieldOperand):
        raise AssertionError(f"{operand!r} is read before it is computed")
    field, slot = operand.field, f"slots, {WORD_BYTES * operand.field.index}"
    if isinstance(field, Money):
        return f"major_units(load_int64({slot}), {10.0**field.scale!r})"
    if field.kind == "event_time":
        return f"load_int64({slot})" if operand.as_ticks else f"float64(load_int64({slot}))"
    return f"load_float64({slot})"
