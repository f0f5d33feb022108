"""The functions of a feature library that read and change what one entity keeps, as source made from its group.

A read moves each window by one call, lets its parts settle, and stores one value per expression.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from numba import types

from quickthorn.features import cursors, memory, records
from quickthorn.features.ahead import ahead_of_time
from quickthorn.features.drivers import Driver, Evaluation, define, driver
from quickthorn.features.groups import FLAGS_PER_WORD, At, Group
from quickthorn.features.kept import WORD_BYTES, Condition, FieldColumn, Kept, Record, UserKernel, Windowed, WindowPart
from quickthorn.features.plan import ConditionPlan

_ADDRESS, _INT64 = memory.ADDRESS, types.int64
_READ = {
    "state": _ADDRESS,
    "scratch": _ADDRESS,
    "rows": _ADDRESS,
    "mask": _INT64,
    "first": _INT64,
    "last": _INT64,
    "now_us": _INT64,
    "with_current": _INT64,
    "slots": _ADDRESS,
    "hashes": _ADDRESS,
    "frauds": _ADDRESS,
    "values": _ADDRESS,
}
_FILL = {"slots": _ADDRESS, "hashes": _ADDRESS, "row": _ADDRESS}
_CHANGE = {"state": _ADDRESS, "rows": _ADDRESS, "mask": _INT64, "position": _INT64}
_LABEL = {**_CHANGE, "sign": _INT64}
_FOLD = {"state": _ADDRESS, "rows": _ADDRESS, "mask": _INT64, "last": _INT64, "until_us": _INT64}


@ahead_of_time
def _holds(value: float) -> int:
    """1 where a condition's value is neither 0 nor missing."""
    return 1 if value == value and value != 0.0 else 0


def condition_kernel(plan: ConditionPlan, kernels: Sequence[Any]) -> Any:
    """condition(slots): 1 where the condition holds for the event, else 0; ``kernels`` are those of its steps."""
    evaluation = Evaluation(plan.steps, kernels)
    name = evaluation.name_of(plan.output)
    return define(
        "condition", "slots", [*evaluation.lines, f"return holds({name})"], {**evaluation.names, "holds": _holds}
    )


def group_drivers(
    group: Group, index: int, conditions: Mapping[Condition, Any], users: Mapping[UserKernel, Any]
) -> Iterator[Driver]:
    """The functions of one group; ``conditions`` and ``users`` have the kernels of what is declared by users."""
    judges = {f"condition_{number}": conditions[condition] for number, condition in enumerate(group.conditions)}
    shapes, shape_names = _shapes(group)
    user_names = {f"user_{number}": users[kernel] for number, kernel in enumerate(group.user_kernels)}
    record_names = {**_record_names(group, user_names), **user_names}
    read_lines = _read_lines(group, shapes)
    yield driver(f"quickthorn_fill_{index}", _FILL, _fill_lines(group), judges)
    yield driver(f"quickthorn_read_{index}", _READ, read_lines, {**judges, **shape_names, **record_names})
    for change in ("absorb", "release"):
        lines = [
            f"{change}_{shapes[window.parts]}(state, {window.offset}, rows, mask, {group.row_bytes}, position)"
            for window in group.windows
        ]
        if change == "release" and group.records:
            lines.insert(0, f"release_record(state, rows, mask, {group.row_bytes}, position)")
        yield driver(f"quickthorn_{change}_{index}", _CHANGE, lines, {**shape_names, **record_names})
    if group.is_labelled:
        lines = [
            f"label_{shapes[window.parts]}(state, {window.offset}, rows, mask, {group.row_bytes}, position, sign)"
            for window in group.windows
            if any(part.is_of_labels for part in window.parts)
        ]
        yield driver(f"quickthorn_label_{index}", _LABEL, lines, shape_names)
    if group.records:
        line = f"fold(state, rows, mask, {group.row_bytes}, last, until_us)"
        yield driver(f"quickthorn_fold_{index}", _FOLD, [line], record_names)


def _shapes(group: Group) -> tuple[dict[tuple[WindowPart, ...], int], dict[str, Any]]:
    """Kernels that move a cursor, once for all windows that keep the same, and which window uses which."""
    shapes: dict[tuple[WindowPart, ...], int] = {}
    names: dict[str, Any] = {}
    for window in group.windows:
        if window.parts in shapes:
            continue
        shape = shapes.setdefault(window.parts, len(shapes))
        at = At(group, window)
        shift_row = _shift_kernel(at, window.parts)
        moves = [move for part in window.parts if (move := part.move(at))]
        move_rows = define("move_rows", "state, window_at, position", moves, {})
        names[f"advance_{shape}"] = cursors.advance_kernel(shift_row)
        names[f"absorb_{shape}"] = cursors.absorb_kernel(shift_row, move_rows)
        names[f"release_{shape}"] = cursors.release_kernel(shift_row)
        labelled = tuple(part for part in window.parts if part.is_of_labels)
        names[f"label_{shape}"] = cursors.label_kernel(_shift_kernel(at, labelled))
    return shapes, names


def _shift_kernel(at: At, parts: tuple[WindowPart, ...]) -> Any:
    lines = [line for part in parts for line in _guarded(at, part, part.shift(at))]
    return define("shift_row", "state, window_at, rows, row_at, position, sign", lines, {})


def _record_names(group: Group, user_names: dict[str, Any]) -> dict[str, Any]:
    if not group.records:
        return {}
    at = At(group)
    lines = [line for record in group.records for line in _guarded(at, record, record.update(at))]
    update_row = define("update_row", "record, rows, row_at", lines, user_names)
    return {
        "fold": records.fold_kernel(update_row),
        "release_record": records.release_record_kernel(update_row),
        "records_reach_back": records.reaches_back,
        "standing": records.standing_kernel(update_row),
    }


def _guarded(at: At, kept: WindowPart | Record, statement: str) -> list[str]:
    if kept.where is None:
        return [statement]
    flag_at, flag = at.flag(kept.where)
    return [f"if load_int64(rows, row_at + {flag_at}) & {flag} != 0:", f"    {statement}"]


def _fill_lines(group: Group) -> list[str]:
    """The row's columns after its event time, and the words of its conditions."""
    lines = []
    at = At(group)
    for column in group.columns:
        value = f"load_int64({at.slot(column.field)})" if isinstance(column, FieldColumn) else at.hash(column.field)
        lines.append(f"store_int64(row, {at.column(column)}, {value})")
    for first in range(0, len(group.conditions), FLAGS_PER_WORD):
        conditions = group.conditions[first : first + FLAGS_PER_WORD]
        bits = " | ".join(f"condition_{first + bit}(slots) << {bit}" for bit in range(len(conditions)))
        lines.append(f"store_int64(row, {at.flag(conditions[0])[0]}, {bits})")
    return lines


def _read_lines(group: Group, shapes: dict[tuple[WindowPart, ...], int]) -> list[str]:
    counted = {value.where for value in group.values if value.include_current}
    lines = [
        f"holds_{number} = with_current * condition_{number}(slots)"
        for number, condition in enumerate(group.conditions)
        if condition in counted
    ]
    if group.records:
        rows = f"rows, mask, {group.row_bytes}, last, now_us"
        lines.append("reaches_back = records_reach_back(state, now_us)")
        lines.append(f"record = standing(state, scratch, {group.record_bytes}, {rows})")
    for window in group.windows:
        low_us, high_us = f"now_us - {window.delay_us + window.over_us}", f"now_us - {window.delay_us}"
        cursor = f"state, {window.offset}, rows, mask, {group.row_bytes}, first, last"
        lines.append(f"advance_{shapes[window.parts]}({cursor}, {low_us}, {high_us})")
        at = At(group, window, str(window.offset))
        lines += [settle for part in window.parts if (settle := part.settle(at))]
    for index, value in enumerate(group.values):
        lines.append(f"store_float64(values, {WORD_BYTES * (group.value_first + index)}, {_value(group, value)})")
    return lines


def _value(group: Group, value: Kept) -> str:
    if isinstance(value, Windowed):
        window = group.window_of(value)
        return value.value(At(group, window, str(window.offset)))
    return f"({value.value(At(group))}) if reaches_back else nan"
