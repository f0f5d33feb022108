"""The feature stage as native code: a plan in, one relocatable object and the table that describes it out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from quickthorn.errors import FeatureError
from quickthorn.extras import require
from quickthorn.features.components import ComponentPlan
from quickthorn.features.declare import Kernel
from quickthorn.features.groups import Group
from quickthorn.features.plan import Plan, Step
from quickthorn.features.signals import SignalPlan


@dataclass(frozen=True)
class GroupLayout:
    """What the engine needs to know of one group; the fields of ``quickthorn_group`` in library_abi.h.

    Sizes are in bytes and ``horizon_us`` in microseconds; ``label_offset`` is 0 where rows keep no label. ``fill`` to
    ``label`` are C symbols; ``fold`` is None where nothing outlives its window, ``label`` where there is no label.
    """

    entity_slots: tuple[int, ...]
    state_bytes: int
    record_bytes: int
    row_bytes: int
    value_first: int
    value_count: int
    horizon_us: int
    label_offset: int
    fill: str
    read: str
    absorb: str
    release: str
    fold: str | None
    window_offsets: tuple[int, ...]
    label: str | None


@dataclass(frozen=True)
class ComponentLayout:
    """What the engine needs to know of a component; the fields of ``quickthorn_component`` in library_abi.h."""

    entity_slots: tuple[int, ...]
    cap: int
    value_first: int
    value_count: int
    read: str
    keeps_labels: bool


@dataclass(frozen=True)
class SignalLayout:
    """What the engine needs to know of a lookup among signals; the fields of ``quickthorn_signal`` in library_abi.h."""

    source: int
    slot_count: int
    entity_slot: int
    value_first: int
    value_count: int
    read: str


@dataclass(frozen=True)
class LoweredFeatures:
    """A feature set compiled for one target CPU.

    ``object_bytes`` is an ELF relocatable object, position independent, that exports the groups' functions and
    ``derive``, and calls libm (and memcpy, memmove, memset) only. The same plan and target give the same bytes.
    ``fraud_slots`` are the fields whose entities are looked up for being known to be fraudulent.
    ``hashed_slots`` are the fields whose hash is looked at, beside the identifiers.
    """

    object_bytes: bytes
    target: str
    groups: tuple[GroupLayout, ...]
    components: tuple[ComponentLayout, ...]
    fraud_slots: tuple[int, ...]
    signals: tuple[SignalLayout, ...]
    hashed_slots: tuple[int, ...]
    derive: str
    slot_count: int
    value_count: int
    feature_count: int


def lower(plan: Plan, target: str = "host") -> LoweredFeatures:
    """Compiles a plan for ``target``: "host", "x86-64-v2", "x86-64-v3" or "x86-64-v4".

    FeatureError names a kernel that cannot be compiled ahead of time, with its file and line, or an unknown target;
    MissingExtraError says what to install where Numba is absent.
    """
    for package in ("numba", "llvmlite"):
        require(package, "compile", "compiling features")
    # Only now: these import Numba, which serving must never do.
    from quickthorn.features import (
        ahead,
        component_drivers,
        drivers,
        entity_drivers,
        kernels,
        objects,
        signal_drivers,
        user_records,
    )

    machine = objects.target_machine(target)
    compiled: dict[tuple[Kernel, tuple[Any, ...]], Any] = {}

    def kernels_of(steps: tuple[Step, ...]) -> list[Any]:
        for step in steps:
            key = (step.kernel, kernels.kernel_argument_types(step))
            if key not in compiled:
                compiled[key] = kernels.compile_kernel(*key, machine)
        return [compiled[step.kernel, kernels.kernel_argument_types(step)] for step in steps]

    step_kernels = kernels_of(plan.steps)
    conditions = {
        condition.condition: entity_drivers.condition_kernel(condition, kernels_of(condition.steps))
        for condition in plan.conditions
    }
    users = {
        kernel: user_records.wrapped(kernel, kernels.compile_user_kernel(kernel, machine))
        for group in plan.groups
        for kernel in group.user_kernels
    }
    wanted = [
        driver
        for index, group in enumerate(plan.groups)
        for driver in entity_drivers.group_drivers(group, index, conditions, users)
    ]
    wanted += [component_drivers.component_driver(each, index) for index, each in enumerate(plan.components)]
    wanted += [signal_drivers.signal_driver(each, index) for index, each in enumerate(plan.signals)]
    wanted.append(drivers.derive_driver(plan, step_kernels))
    lowered = [ahead.Lowered(driver.kernel, driver.argument_types) for driver in wanted]
    module = objects.link(
        ahead.modules(lowered),
        [
            objects.Export(driver.symbol, code.symbol, drivers.machine_types(driver))
            for driver, code in zip(wanted, lowered, strict=True)
        ],
        machine,
    )
    object_bytes = machine.emit_object(module)
    # Every kernel was checked on its own; this is about the whole, just before it leaves.
    foreign = [name for name in objects.undefined_symbols(object_bytes) if name not in objects.ALLOWED_SYMBOLS]
    if strangers := [*foreign, *objects.process_globals(module)]:
        raise FeatureError(f"features: expected code that needs libm only, found {', '.join(strangers)}")
    return LoweredFeatures(
        object_bytes=object_bytes,
        target=target,
        groups=tuple(_lowered_group(group, index) for index, group in enumerate(plan.groups)),
        components=tuple(_lowered_component(each, index) for index, each in enumerate(plan.components)),
        fraud_slots=tuple(field.index for field in plan.looked_up),
        signals=tuple(_lowered_signal(each, index) for index, each in enumerate(plan.signals)),
        hashed_slots=tuple(sorted({field.index for group in plan.groups for field in group.hashed_fields})),
        derive="quickthorn_derive",
        slot_count=len(plan.schema.fields),
        value_count=plan.value_count,
        feature_count=len(plan.names),
    )


def _lowered_group(group: Group, index: int) -> GroupLayout:
    return GroupLayout(
        entity_slots=tuple(field.index for field in group.by),
        state_bytes=group.state_bytes,
        record_bytes=group.record_bytes,
        row_bytes=group.row_bytes,
        value_first=group.value_first,
        value_count=len(group.values),
        horizon_us=group.horizon_us,
        label_offset=group.label_offset,
        fill=f"quickthorn_fill_{index}",
        read=f"quickthorn_read_{index}",
        absorb=f"quickthorn_absorb_{index}",
        release=f"quickthorn_release_{index}",
        fold=f"quickthorn_fold_{index}" if group.records else None,
        window_offsets=tuple(window.offset for window in group.windows),
        label=f"quickthorn_label_{index}" if group.is_labelled else None,
    )


def _lowered_signal(plan: SignalPlan, index: int) -> SignalLayout:
    return SignalLayout(
        source=plan.source_index,
        slot_count=len(plan.source.values),
        entity_slot=plan.by.index,
        value_first=plan.value_first,
        value_count=len(plan.values),
        read=f"quickthorn_signal_{index}",
    )


def _lowered_component(plan: ComponentPlan, index: int) -> ComponentLayout:
    return ComponentLayout(
        entity_slots=tuple(entity.index for entity in plan.component.entities),
        cap=plan.component.cap,
        value_first=plan.value_first,
        value_count=len(plan.values),
        read=f"quickthorn_members_{index}",
        keeps_labels=plan.keeps_labels,
    )
