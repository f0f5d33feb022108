"""The functions of a feature library that read components, as source made from their plans."""

from __future__ import annotations

from numba import types

from quickthorn.features import memory
from quickthorn.features.components import ComponentPlan, ComponentValue
from quickthorn.features.drivers import Driver, driver
from quickthorn.features.kept import WORD_BYTES

_READ = {"members": memory.ADDRESS, "now_us": types.int64, "with_current": types.int64, "values": memory.ADDRESS}


def component_driver(plan: ComponentPlan, index: int) -> Driver:
    """read(members, now_us, with_current, values) of one component."""
    lines = [
        f"store_float64(values, {WORD_BYTES * (plan.value_first + place)}, {_source(value)})"
        for place, value in enumerate(plan.values)
    ]
    return driver(f"quickthorn_members_{index}", _READ, lines, {})


def _source(value: ComponentValue) -> str:
    entities = value.component.entities
    of = -1 if value.of is None else entities.index(value.of)
    with_current = "with_current" if value.include_current else "0"
    return f"component_{value.kind}(members, {len(entities)}, {of}, now_us, {with_current})"
