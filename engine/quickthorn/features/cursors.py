"""The cursor of a window: which rows it holds, and how it moves over them.

A cursor is two positions, tail and head; the window holds the rows [tail, head). Each kernel here is made for one
``shift_row(state, window_at, rows, row_at, position, sign)``, which takes one row into what the window keeps (sign 1)
or out of it (sign −1).
"""

from __future__ import annotations

from typing import Any

from quickthorn.features.ahead import ahead_of_time
from quickthorn.features.memory import Address, load_int64, store_int64

HEAD = 8


def advance_kernel(shift_row: Any) -> Any:
    """advance(state, window_at, rows, mask, row_bytes, first, last, low_us, high_us): becomes (low_us, high_us].

    Each end first moves outwards, then inwards: after the first two loops [tail, head) holds every row of the new
    window, and the last two drop what is too much. So tail ≤ head throughout, also where a window jumps over rows (they
    pass both ends) or goes back in time.
    """

    def advance(
        state: Address,
        window_at: int,
        rows: Address,
        mask: int,
        row_bytes: int,
        first: int,
        last: int,
        low_us: int,
        high_us: int,
    ) -> None:
        tail = load_int64(state, window_at)
        head = load_int64(state, window_at + HEAD)
        while head < last and load_int64(rows, (head & mask) * row_bytes) <= high_us:
            shift_row(state, window_at, rows, (head & mask) * row_bytes, head, 1)
            head += 1
        while tail > first and load_int64(rows, ((tail - 1) & mask) * row_bytes) > low_us:
            tail -= 1
            shift_row(state, window_at, rows, (tail & mask) * row_bytes, tail, 1)
        while head > tail and load_int64(rows, ((head - 1) & mask) * row_bytes) > high_us:
            head -= 1
            shift_row(state, window_at, rows, (head & mask) * row_bytes, head, -1)
        while tail < head and load_int64(rows, (tail & mask) * row_bytes) <= low_us:
            shift_row(state, window_at, rows, (tail & mask) * row_bytes, tail, -1)
            tail += 1
        store_int64(state, window_at, tail)
        store_int64(state, window_at + HEAD, head)

    return ahead_of_time(advance)


def absorb_kernel(shift_row: Any, move_rows: Any) -> Any:
    """absorb(state, window_at, rows, mask, row_bytes, position): a row came in there, later ones moved up.

    ``move_rows(state, window_at, position)`` tells what the window keeps that they did. Whether the row belongs in the
    window by its time is left to the next read, which looks at both ends anyway.
    """

    def absorb(state: Address, window_at: int, rows: Address, mask: int, row_bytes: int, position: int) -> None:
        tail = load_int64(state, window_at)
        head = load_int64(state, window_at + HEAD)
        if position < tail:
            move_rows(state, window_at, position)
            store_int64(state, window_at, tail + 1)
            store_int64(state, window_at + HEAD, head + 1)
        elif position < head:
            move_rows(state, window_at, position)
            shift_row(state, window_at, rows, (position & mask) * row_bytes, position, 1)
            store_int64(state, window_at + HEAD, head + 1)

    return ahead_of_time(absorb)


def label_kernel(shift_labels: Any) -> Any:
    """label(state, window_at, rows, mask, row_bytes, position, sign): the label of the row there is about to change
    (``sign`` −1), or has changed (1).

    ``shift_labels`` is ``shift_row`` for what the window keeps of labels alone.
    """

    def label(
        state: Address, window_at: int, rows: Address, mask: int, row_bytes: int, position: int, sign: int
    ) -> None:
        if load_int64(state, window_at) <= position < load_int64(state, window_at + HEAD):
            shift_labels(state, window_at, rows, (position & mask) * row_bytes, position, sign)

    return ahead_of_time(label)


def release_kernel(shift_row: Any) -> Any:
    """release(state, window_at, rows, mask, row_bytes, position): the oldest row, there, is about to go."""

    def release(state: Address, window_at: int, rows: Address, mask: int, row_bytes: int, position: int) -> None:
        tail = load_int64(state, window_at)
        head = load_int64(state, window_at + HEAD)
        if tail <= position:
            if position < head:
                shift_row(state, window_at, rows, (position & mask) * row_bytes, position, -1)
            store_int64(state, window_at, position + 1)
            store_int64(state, window_at + HEAD, max(head, position + 1))

    return ahead_of_time(release)
