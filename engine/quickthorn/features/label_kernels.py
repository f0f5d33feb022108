"""What a window knows of its events' labels, as kernels over the engine's memory.

Counts are kept of what is known by now: a row comes in with the newest change of its label. A read at a time before one
of these changes must not see it; so the latest of them is kept too, and where a read is before it the rows are counted
anew, each by what was known of it then. Times are kept as one more than their distance from the earliest there is, so
that 0 is before all of them.
"""

from __future__ import annotations

import math

from quickthorn.event.fields import EVENT_TIME_LIMIT_US
from quickthorn.features.ahead import ahead_of_time
from quickthorn.features.memory import Address, load_int64, store_int64

# A window's part: how many rows have a label, how many are fraud, the latest change; then both counts as of the read.
FRAUD = 8
LATEST = 16
LABELLED_SEEN = 24
FRAUD_SEEN = 32
NO_LABEL = -(2**63)
TIME_ORIGIN = EVENT_TIME_LIMIT_US + 1


@ahead_of_time
def shift_label(state: Address, part_at: int, rows: Address, label_at: int, sign: int) -> None:
    change = load_int64(rows, label_at)
    if change == NO_LABEL:
        return
    store_int64(state, part_at, load_int64(state, part_at) + sign)
    store_int64(state, part_at + FRAUD, load_int64(state, part_at + FRAUD) + sign * (change & 1))
    if sign > 0:
        store_int64(state, part_at + LATEST, max(load_int64(state, part_at + LATEST), (change >> 1) + TIME_ORIGIN))


@ahead_of_time
def label_known(rows: Address, label_at: int, now_us: int) -> int:
    """1 where the row was known to be fraud at that time, 0 where known not to be, −1 where nothing was known."""
    change = load_int64(rows, label_at)
    if change != NO_LABEL and change >> 1 > now_us:
        change = load_int64(rows, label_at + 8)
    return change & 1 if change != NO_LABEL and change >> 1 <= now_us else -1


@ahead_of_time
def settle_labels(
    state: Address,
    window_at: int,
    part_at: int,
    rows: Address,
    mask: int,
    row_bytes: int,
    label_at: int,
    flag_at: int,
    flag: int,
    now_us: int,
) -> None:
    """Counts what was known at the time of the read; ``window_at`` is the window's cursor."""
    labelled = load_int64(state, part_at)
    fraud = load_int64(state, part_at + FRAUD)
    if labelled == 0:
        store_int64(state, part_at + LATEST, 0)
    elif load_int64(state, part_at + LATEST) - TIME_ORIGIN > now_us:
        labelled, fraud = 0, 0
        for position in range(load_int64(state, window_at), load_int64(state, window_at + 8)):
            row_at = (position & mask) * row_bytes
            known = label_known(rows, row_at + label_at, now_us)
            if known >= 0 and load_int64(rows, row_at + flag_at) & flag == flag:
                labelled += 1
                fraud += known
    store_int64(state, part_at + LABELLED_SEEN, labelled)
    store_int64(state, part_at + FRAUD_SEEN, fraud)


@ahead_of_time
def labels_seen(state: Address, part_at: int) -> float:
    return float(load_int64(state, part_at + LABELLED_SEEN))


@ahead_of_time
def frauds_seen(state: Address, part_at: int) -> float:
    return float(load_int64(state, part_at + FRAUD_SEEN))


@ahead_of_time
def fraud_share(state: Address, part_at: int) -> float:
    """Fraud among what has a label; missing where nothing has one."""
    labelled = load_int64(state, part_at + LABELLED_SEEN)
    return float(load_int64(state, part_at + FRAUD_SEEN)) / float(labelled) if labelled != 0 else math.nan
