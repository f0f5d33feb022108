"""The records of an entity's lifetime: brought up to date once per event, in an order that can no longer change.

An event may still come before another as long as that one is within the lateness of the entity's newest. So rows go
into the records only when they are older than that, and the first position that has not is kept before the records. A
read adds the rows in between, up to its own time, to a copy. Without lateness there is never such a row, and no copy.

Where the row limit makes a row leave the ring earlier than that, it goes into the records all the same. Records cannot
go back, so for a read at a time before it they have no value.

Each kernel here is made for one ``update_row(record, rows, row_at)``.
"""

from __future__ import annotations

from typing import Any

from quickthorn.features.ahead import ahead_of_time
from quickthorn.features.memory import Address, address_at, load_int64, store_int64

# The state opens with the position of the first row that is not in the records and the time of the last that is.
FOLDED_US = 8
RECORDS = 16


@ahead_of_time
def reaches_back(state: Address, now_us: int) -> bool:
    """Whether the records can say how things stood at that time."""
    folded_us: int = load_int64(state, FOLDED_US)
    settled: int = load_int64(state, 0)
    return settled == 0 or now_us >= folded_us


def fold_kernel(update_row: Any) -> Any:
    """fold(state, rows, mask, row_bytes, last, until_us): every row up to that time goes into the records."""

    def fold(state: Address, rows: Address, mask: int, row_bytes: int, last: int, until_us: int) -> None:
        position = load_int64(state, 0)
        while position < last and load_int64(rows, (position & mask) * row_bytes) <= until_us:
            store_int64(state, FOLDED_US, load_int64(rows, (position & mask) * row_bytes))
            update_row(address_at(state, RECORDS), rows, (position & mask) * row_bytes)
            position += 1
        store_int64(state, 0, position)

    return ahead_of_time(fold)


def release_record_kernel(update_row: Any) -> Any:
    """release_record(state, rows, mask, row_bytes, position): the oldest row, there, is about to go."""

    def release_record(state: Address, rows: Address, mask: int, row_bytes: int, position: int) -> None:
        if load_int64(state, 0) <= position:
            store_int64(state, FOLDED_US, load_int64(rows, (position & mask) * row_bytes))
            update_row(address_at(state, RECORDS), rows, (position & mask) * row_bytes)
            store_int64(state, 0, position + 1)

    return ahead_of_time(release_record)


def standing_kernel(update_row: Any) -> Any:
    """standing(state, scratch, record_bytes, rows, mask, row_bytes, last, now_us): the records as they stood then."""

    def standing(
        state: Address,
        scratch: Address,
        record_bytes: int,
        rows: Address,
        mask: int,
        row_bytes: int,
        last: int,
        now_us: int,
    ) -> Address:
        position = load_int64(state, 0)
        if position >= last or load_int64(rows, (position & mask) * row_bytes) > now_us:
            settled: Address = address_at(state, RECORDS)
            return settled
        for offset in range(0, record_bytes, 8):
            store_int64(scratch, offset, load_int64(state, RECORDS + offset))
        while position < last and load_int64(rows, (position & mask) * row_bytes) <= now_us:
            update_row(scratch, rows, (position & mask) * row_bytes)
            position += 1
        return scratch

    return ahead_of_time(standing)
