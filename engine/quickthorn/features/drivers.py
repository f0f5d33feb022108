"""The functions of a feature library, written as Python source from a plan and turned into kernels.

Every offset, window length and scale is a constant in the source, so the optimiser sees straight code. Here is what any
function is made with, and the one that computes the feature vector; :mod:`quickthorn.features.entity_drivers` has those
of an entity's history.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numba import types
from numba.core.extending import _Intrinsic

from quickthorn.event import Money
from quickthorn.event.fields import MISSING_MONEY
from quickthorn.features import (
    aggregates,
    component_kernels,
    decay_kernels,
    distinct_kernels,
    label_kernels,
    memory,
    moments,
    neighbour_kernels,
    recency_kernels,
    sequence_kernels,
    signal_kernels,
    summits,
    text_memory,
    tile_kernels,
    tile_spread_kernels,
)
from quickthorn.features.ahead import AheadOfTime, ahead_of_time
from quickthorn.features.kept import WORD_BYTES
from quickthorn.features.plan import (
    ConstantOperand,
    FieldOperand,
    Operand,
    Plan,
    Step,
    StepOperand,
    TextOperand,
    ValueOperand,
)

_DERIVE = {"slots": memory.ADDRESS, "values": memory.ADDRESS, "features": memory.ADDRESS}
# Where the kernels are that generated source calls by name.
KERNEL_MODULES = (
    memory,
    aggregates,
    moments,
    summits,
    recency_kernels,
    sequence_kernels,
    decay_kernels,
    distinct_kernels,
    label_kernels,
    tile_kernels,
    tile_spread_kernels,
    component_kernels,
    neighbour_kernels,
    signal_kernels,
)


def _major_units(minor: int, units: float) -> float:
    """Money as kernels and models see it: one division, NaN where it is missing."""
    return math.nan if minor == MISSING_MONEY else float(minor) / units


_NAMES: dict[str, Any] = {
    "major_units": ahead_of_time(_major_units),
    "text_at": text_memory.text_at,
    "float64": types.float64,
    "nan": math.nan,
}
_NAMES |= {
    name: value
    for module in KERNEL_MODULES
    for name, value in vars(module).items()
    if isinstance(value, (AheadOfTime, _Intrinsic)) and not name.startswith("_")
}


@dataclass(frozen=True)
class Driver:
    """One function of the library: its C symbol, and the kernel with its argument types (int64 or address)."""

    symbol: str
    kernel: Any
    argument_types: tuple[Any, ...]


def machine_types(driver: Driver) -> tuple[str, ...]:
    """The LLVM types of a driver's arguments."""
    return tuple("ptr" if kind is memory.ADDRESS else "i64" for kind in driver.argument_types)


class Evaluation:
    """Source that computes steps from an event row and the groups' values; ``names`` are the kernels it calls."""

    def __init__(self, steps: Sequence[Step], kernels: Sequence[Any]) -> None:
        self.names: dict[str, Any] = {f"kernel_{index}": kernel for index, kernel in enumerate(kernels)}
        self.lines: list[str] = []
        self._written: dict[Operand, str] = {}
        for index, step in enumerate(steps):
            arguments = ", ".join([self.name_of(operand) for operand in step.operands])
            self._written[StepOperand(index)] = f"result_{index}"
            self.lines.append(f"result_{index} = float64(kernel_{index}({arguments}))")

    def name_of(self, operand: Operand) -> str:
        """The variable that holds an operand, loaded where it is first asked for."""
        if isinstance(operand, ConstantOperand):
            name = f"constant_{len(self.names)}"
            self.names[name] = operand.value
            return name
        if operand not in self._written:
            self._written[operand] = f"operand_{len(self._written)}"
            self.lines.append(f"{self._written[operand]} = {_load(operand)}")
        return self._written[operand]


def derive_driver(plan: Plan, kernels: Sequence[Any]) -> Driver:
    """The function that computes the feature vector; ``kernels[i]`` is the compiled kernel of step i."""
    evaluation = Evaluation(plan.steps, kernels)
    for index, output in enumerate(plan.outputs):
        name = evaluation.name_of(output)
        evaluation.lines.append(f"store_float64(features, {WORD_BYTES * index}, {name})")
    return driver("quickthorn_derive", _DERIVE, evaluation.lines, evaluation.names)


def driver(symbol: str, parameters: dict[str, Any], lines: list[str], names: dict[str, Any]) -> Driver:
    """A function of the library from the lines of its body."""
    return Driver(symbol, define(symbol, ", ".join(parameters), lines, names), tuple(parameters.values()))


def define(name: str, parameters: str, lines: Sequence[str], names: dict[str, Any]) -> Any:
    """A kernel of that name from the lines of its body, which may call ``names`` and every kernel of ours."""
    source = f"def {name}({parameters}):\n" + "".join(f"    {line}\n" for line in lines or ["pass"])
    namespace: dict[str, Any] = {**_NAMES, **names, "__name__": "quickthorn.features.generated"}
    exec(compile(source, f"<{name}>", "exec"), namespace)
    return ahead_of_time(namespace[name])


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
