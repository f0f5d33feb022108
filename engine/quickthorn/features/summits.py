"""The least and the greatest value of a window, as kernels over the engine's memory.

Only the position of the extreme row is kept. A row that comes in takes its place where it is as good; when the extreme
row leaves, the window is searched at the next read. The search takes the newest of equal rows, so that it is not soon
needed again: over values in no special order one search in n reads finds n rows, which is one row per read.
"""

from __future__ import annotations

import math
from typing import Any

from quickthorn.event.fields import MISSING_MONEY
from quickthorn.features.ahead import ahead_of_time
from quickthorn.features.memory import Address, load_float64, load_int64, store_float64, store_int64

HEAD = 8
VALUE = 8


@ahead_of_time
def money_in(base: Address, offset: int) -> float:
    """A slot of money as a number of minor units, exactly; NaN where it is missing."""
    minor = load_int64(base, offset)
    return math.nan if minor == MISSING_MONEY else float(minor)


@ahead_of_time
def is_ahead(state: Address, summit_at: int, value: float, position: int) -> bool:
    """Whether a row is as great as the one that is known, and newer where they are equal."""
    greatest: float = load_float64(state, summit_at + VALUE)
    # A row that comes in at the tail, the window having moved back, is older.
    return value > greatest or (value == greatest and position >= load_int64(state, summit_at))


@ahead_of_time
def shift_summit(state: Address, summit_at: int, value: float, position: int, sign: int) -> None:
    if math.isnan(value):
        return
    known = load_int64(state, summit_at)
    if sign < 0:
        if known == position + 1:
            store_int64(state, summit_at, -1)
    elif known == 0 or (known > 0 and is_ahead(state, summit_at, value, position)):
        store_int64(state, summit_at, position + 1)
        store_float64(state, summit_at + VALUE, value)


@ahead_of_time
def move_summit(state: Address, summit_at: int, position: int) -> None:
    known = load_int64(state, summit_at)
    if known > position:
        store_int64(state, summit_at, known + 1)


@ahead_of_time
def summit_value(state: Address, summit_at: int, value: float, with_current: int) -> float:
    """The greatest value of window and current event; NaN where neither has one."""
    known = load_int64(state, summit_at)
    greatest = math.nan if known == 0 else load_float64(state, summit_at + VALUE)
    if with_current != 0 and not value <= greatest and not math.isnan(value):
        return value
    return greatest


def _search_kernel(number_in: Any) -> Any:
    def search(
        state: Address,
        window_at: int,
        summit_at: int,
        rows: Address,
        mask: int,
        row_bytes: int,
        value_at: int,
        flag_at: int,
        flag: int,
        sign: float,
    ) -> None:
        if load_int64(state, summit_at) >= 0:
            return
        found = 0
        greatest = 0.0
        tail = load_int64(state, window_at)
        position = load_int64(state, window_at + HEAD)
        while position > tail:
            position -= 1
            row_at = (position & mask) * row_bytes
            value = sign * number_in(rows, row_at + value_at)
            counts = load_int64(rows, row_at + flag_at) & flag == flag and not math.isnan(value)
            if counts and (found == 0 or value > greatest):
                found = position + 1
                greatest = value
        store_int64(state, summit_at, found)
        store_float64(state, summit_at + VALUE, greatest)

    return ahead_of_time(search)


search_money = _search_kernel(money_in)
search_float = _search_kernel(load_float64)
