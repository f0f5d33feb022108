"""Tables of recently seen values, as kernels over an entity's records.

A table is a count of values left out, the time the last of those was last seen, then hashes, then times. Events come in
order, so that what is left out was never seen later than anything that is kept.
"""

from __future__ import annotations

from quickthorn.features.ahead import ahead_of_time
from quickthorn.features.memory import Address, load_int64, store_int64

LEFT_OUT_US = 8
HASHES = 16
# The bit of a hash that decides about the first level; tables of keys use those below.
FIRST_LEVEL_BIT = 32


@ahead_of_time
def see_in_table(record: Address, table_at: int, cap: int, value: int, time_us: int) -> None:
    hashes, times = table_at + HASHES, table_at + HASHES + 8 * cap
    oldest = 0
    for entry in range(cap):
        known = load_int64(record, hashes + 8 * entry)
        if known == value or known == 0:
            store_int64(record, hashes + 8 * entry, value)
            store_int64(record, times + 8 * entry, time_us)
            return
        if load_int64(record, times + 8 * entry) < load_int64(record, times + 8 * oldest):
            oldest = entry
    store_int64(record, table_at, load_int64(record, table_at) + 1)
    store_int64(record, table_at + LEFT_OUT_US, load_int64(record, times + 8 * oldest))
    store_int64(record, hashes + 8 * oldest, value)
    store_int64(record, times + 8 * oldest, time_us)


@ahead_of_time
def in_level(value: int, level: int) -> bool:
    """Whether a value is among the 2^−level that a level keeps."""
    return (value >> FIRST_LEVEL_BIT) & ((1 << level) - 1) == 0


@ahead_of_time
def see_value(record: Address, tables_at: int, cap: int, levels: int, value: int, time_us: int) -> None:
    if value == 0:
        return
    for level in range(levels + 1):
        if not in_level(value, level):
            return
        see_in_table(record, tables_at + level * (HASHES + 16 * cap), cap, value, time_us)


@ahead_of_time
def is_whole(record: Address, table_at: int, low_us: int) -> float:
    """1 where nothing that was left out of the table was seen after ``low_us``."""
    left_out = load_int64(record, table_at) != 0 and load_int64(record, table_at + LEFT_OUT_US) > low_us
    return 0.0 if left_out else 1.0


@ahead_of_time
def values_in_table(record: Address, table_at: int, cap: int, low_us: int, with_current: int, current: int) -> int:
    """How many values were seen after ``low_us``, the current event's among them where it is to be counted."""
    hashes, times = table_at + HASHES, table_at + HASHES + 8 * cap
    count = 0
    current_is_new = with_current
    for entry in range(cap):
        known = load_int64(record, hashes + 8 * entry)
        if known == 0:
            break
        if load_int64(record, times + 8 * entry) > low_us:
            count += 1
            if known == current:
                current_is_new = 0
    return count + current_is_new


@ahead_of_time
def distinct_values(
    record: Address, tables_at: int, cap: int, levels: int, low_us: int, with_current: int, current: int
) -> float:
    level = 0
    while level < levels and is_whole(record, tables_at + level * (HASHES + 16 * cap), low_us) == 0.0:
        level += 1
    counts = 1 if with_current != 0 and current != 0 and in_level(current, level) else 0
    values = values_in_table(record, tables_at + level * (HASHES + 16 * cap), cap, low_us, counts, current)
    return float(values) * float(1 << level)
