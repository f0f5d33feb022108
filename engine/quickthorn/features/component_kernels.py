"""What is made of the components that an event's entities belong to, as kernels over ``quickthorn_member`` structures.

``of`` is the place of the one entity that is asked about, −1 where it is all of them.
"""

from __future__ import annotations

import math

from quickthorn.features.ahead import ahead_of_time
from quickthorn.features.memory import Address, load_int64

MEMBER_BYTES = 56
COMPONENT = 8
JOINED = 16
SIZE = 24
FIRST_US = 32
NEWEST_US = 40
FRAUD_COUNT = 48
SECOND_US = 1e6


@ahead_of_time
def _is_asked_about(members: Address, place: int, of: int, with_current: int) -> bool:
    """Whether the event has the entity there, and it is together with the one that is asked about."""
    member = place * MEMBER_BYTES
    if load_int64(members, member) == 0:
        return False
    if of < 0:
        return True
    together = JOINED if with_current != 0 else COMPONENT
    same: bool = load_int64(members, member + together) == load_int64(members, of * MEMBER_BYTES + together)
    return same


@ahead_of_time
def _is_first_of_its_component(members: Address, place: int) -> bool:
    """Whether no entity before it belongs to the same component; those that were never seen belong to none."""
    component = load_int64(members, place * MEMBER_BYTES + COMPONENT)
    for before in range(place):
        member = before * MEMBER_BYTES
        if load_int64(members, member) != 0 and load_int64(members, member + COMPONENT) == component:
            return bool(component == 0)
    return True


@ahead_of_time
def _is_known(members: Address, count: int, of: int, now_us: int, with_current: int) -> bool:
    """Whether the entity is there, and nothing it belongs to has gone on since."""
    if of >= 0 and load_int64(members, of * MEMBER_BYTES) == 0:
        return False
    for place in range(count):
        member = place * MEMBER_BYTES
        seen = _is_asked_about(members, place, of, with_current) and load_int64(members, member + COMPONENT) != 0
        if seen and load_int64(members, member + NEWEST_US) > now_us:
            return False
    return True


@ahead_of_time
def component_size(members: Address, count: int, of: int, now_us: int, with_current: int) -> float:
    if not _is_known(members, count, of, now_us, with_current):
        return math.nan
    size = 0
    for place in range(count):
        member = place * MEMBER_BYTES
        if _is_asked_about(members, place, of, with_current) and _is_first_of_its_component(members, place):
            size += with_current if load_int64(members, member + COMPONENT) == 0 else load_int64(members, member + SIZE)
    return float(size)


@ahead_of_time
def component_age(members: Address, count: int, of: int, now_us: int, with_current: int) -> float:
    if not _is_known(members, count, of, now_us, with_current):
        return math.nan
    seen = with_current != 0
    first_us = now_us
    for place in range(count):
        member = place * MEMBER_BYTES
        if _is_asked_about(members, place, of, with_current) and load_int64(members, member + COMPONENT) != 0:
            first_us = min(first_us, load_int64(members, member + FIRST_US))
            seen = True
    return float(now_us - first_us) / SECOND_US if seen else math.nan


@ahead_of_time
def component_fraud(members: Address, count: int, of: int, now_us: int, with_current: int) -> float:
    if not _is_known(members, count, of, now_us, with_current):
        return math.nan
    frauds = 0
    for place in range(count):
        if _is_asked_about(members, place, of, with_current) and _is_first_of_its_component(members, place):
            frauds += load_int64(members, place * MEMBER_BYTES + FRAUD_COUNT)
    return float(frauds)
