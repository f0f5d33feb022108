"""The functions of a feature library that read signals, as source made from their plans."""

from __future__ import annotations

from numba import types

from quickthorn.event import Field, Money
from quickthorn.features import memory
from quickthorn.features.drivers import Driver, driver
from quickthorn.features.kept import WORD_BYTES
from quickthorn.features.signals import SignalPlan, SignalValue

_READ = {"signal": memory.ADDRESS, "known": types.int64, "now_us": types.int64, "values": memory.ADDRESS}


def signal_driver(plan: SignalPlan, index: int) -> Driver:
    """read(signal, known, now_us, values) of one source and entity."""
    lines = [
        f"store_float64(values, {WORD_BYTES * (plan.value_first + place)}, {_source(value)})"
        for place, value in enumerate(plan.values)
    ]
    return driver(f"quickthorn_signal_{index}", _READ, lines, {})


def _source(value: SignalValue) -> str:
    if value.kind == "age":
        return "signal_age(signal, known, now_us)"
    if value.kind == "value":
        assert value.field is not None
        return _read(value.field, value.ttl_us)
    if value.field is None:
        return f"signal_standing(signal, known, now_us, {value.ttl_us})"
    return f"signal_status(signal, known, now_us, {value.ttl_us}, {_read(value.field, value.ttl_us)})"


def _read(field: Field, ttl_us: int) -> str:
    # Behind the time, in the order of declaration; the key, field 0, is not kept.
    given = f"signal, known, now_us, {ttl_us}, {WORD_BYTES * field.index}"
    return f"signal_money({given}, {10.0**field.scale!r})" if isinstance(field, Money) else f"signal_number({given})"
