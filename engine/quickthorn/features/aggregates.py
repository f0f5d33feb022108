"""The running sums of a window, as kernels over the engine's memory, and the values read from them.

Sums are over exactly the rows between the window's cursors (:mod:`quickthorn.features.cursors`), so a read costs what
has changed since the last one. Sums of money and of booleans are int64 and therefore exact. Sums of numbers are kept as
an unevaluated sum of two float64 (high, low) with a bound on the error made so far:

* ``two_sum`` (Knuth, The Art of Computer Programming, volume 2, 4.2.2; after Dekker's double-length arithmetic of 1971)
  gives a + b as the rounded sum and its exact rounding error, whatever the magnitudes. Adding x to (high, low) is then
  s, e = two_sum(high, x); t = e + low; high, low = two_sum(s, t). Both two_sums are exact, so the only error is that of
  t: at most half an ulp, 2**-53·|t|. Twice that is added to the bound, which so covers its own rounding too.
* Where values share about 106 bits, t stays small and mostly exact, and subtracting a row undoes its addition. When a
  far larger value has passed through, the bound stays behind at that value's scale. A read that finds the bound above
  1e-12 of the sum adds the window's rows up anew.
* A window without values is reset to zero, exactly.
"""

from __future__ import annotations

import math

from quickthorn.event.fields import MISSING_MONEY
from quickthorn.features.ahead import ahead_of_time
from quickthorn.features.memory import Address, load_float64, load_int64, store_float64, store_int64

HEAD = 8
LOW = 8
BOUND = 16
ERROR_PER_ADDITION = 2.0**-52
ERROR_TOLERATED = 1e-12
# An overflow on the way to a sum that is itself in range is avoided by adding up at this scale. Being a power of two
# it is exact, and what underflows is far below the precision of a sum that large.
OVERFLOW_SCALE = 2.0**-64


# Sums: a row's value comes in (sign 1) or leaves (sign −1). ``value_at`` is the value's offset in the ring.


def _shift_money(windows: Address, sum_at: int, rows: Address, value_at: int, sign: int) -> None:
    store_int64(windows, sum_at, load_int64(windows, sum_at) + sign * load_int64(rows, value_at))


def _shift_optional_money(windows: Address, sum_at: int, rows: Address, value_at: int, sign: int) -> None:
    minor = load_int64(rows, value_at)
    if minor != MISSING_MONEY:
        store_int64(windows, sum_at, load_int64(windows, sum_at) + sign * minor)


def _shift_boolean(windows: Address, sum_at: int, rows: Address, value_at: int, sign: int) -> None:
    store_int64(windows, sum_at, load_int64(windows, sum_at) + sign * int(load_float64(rows, value_at)))


def _shift_optional_boolean(windows: Address, sum_at: int, rows: Address, value_at: int, sign: int) -> None:
    flag = load_float64(rows, value_at)
    if not math.isnan(flag):
        store_int64(windows, sum_at, load_int64(windows, sum_at) + sign * int(flag))


def _shift_count(windows: Address, count_at: int, sign: int) -> None:
    store_int64(windows, count_at, load_int64(windows, count_at) + sign)


def _two_sum(a: float, b: float) -> tuple[float, float]:
    total = a + b
    b_part = total - a
    return total, (a - (total - b_part)) + (b - b_part)


def _add_number(windows: Address, sum_at: int, number: float) -> None:
    total, error = two_sum(load_float64(windows, sum_at), number)
    rest = error + load_float64(windows, sum_at + LOW)
    high, low = two_sum(total, rest)
    store_float64(windows, sum_at, high)
    store_float64(windows, sum_at + LOW, low)
    # The bound is kept negated from a rebuild until the next change: see settle.
    bound = abs(load_float64(windows, sum_at + BOUND)) + ERROR_PER_ADDITION * abs(rest)
    store_float64(windows, sum_at + BOUND, bound)


def _shift_number(windows: Address, sum_at: int, rows: Address, value_at: int, sign: int) -> None:
    add_number(windows, sum_at, sign * load_float64(rows, value_at))


def _shift_optional_number(windows: Address, sum_at: int, rows: Address, value_at: int, sign: int) -> None:
    number = load_float64(rows, value_at)
    if not math.isnan(number):
        add_number(windows, sum_at, sign * number)


two_sum = ahead_of_time(_two_sum)
add_number = ahead_of_time(_add_number)
shift_money = ahead_of_time(_shift_money)
shift_optional_money = ahead_of_time(_shift_optional_money)
shift_boolean = ahead_of_time(_shift_boolean)
shift_optional_boolean = ahead_of_time(_shift_optional_boolean)
shift_count = ahead_of_time(_shift_count)
shift_number = ahead_of_time(_shift_number)
shift_optional_number = ahead_of_time(_shift_optional_number)


# The settling of numbers, once the cursor stands where the read wants it.


def _clear_number(windows: Address, sum_at: int) -> None:
    store_float64(windows, sum_at, 0.0)
    store_float64(windows, sum_at + LOW, 0.0)
    store_float64(windows, sum_at + BOUND, 0.0)


def _add_up(
    windows: Address,
    window_at: int,
    sum_at: int,
    rows: Address,
    mask: int,
    row_bytes: int,
    value_at: int,
    flag_at: int,
    flag: int,
    scale: float,
) -> None:
    clear_number(windows, sum_at)
    for position in range(load_int64(windows, window_at), load_int64(windows, window_at + HEAD)):
        row_at = (position & mask) * row_bytes
        number = load_float64(rows, row_at + value_at)
        if not math.isnan(number) and load_int64(rows, row_at + flag_at) & flag == flag:
            add_number(windows, sum_at, number * scale)


def _rebuild(
    windows: Address,
    window_at: int,
    sum_at: int,
    rows: Address,
    mask: int,
    row_bytes: int,
    value_at: int,
    flag_at: int,
    flag: int,
) -> None:
    add_up(windows, window_at, sum_at, rows, mask, row_bytes, value_at, flag_at, flag, 1.0)
    bound = load_float64(windows, sum_at + BOUND)
    if not math.isfinite(load_float64(windows, sum_at)):
        add_up(windows, window_at, sum_at, rows, mask, row_bytes, value_at, flag_at, flag, OVERFLOW_SCALE)
        high = load_float64(windows, sum_at) / OVERFLOW_SCALE
        store_float64(windows, sum_at, high)
        low = load_float64(windows, sum_at + LOW) / OVERFLOW_SCALE
        store_float64(windows, sum_at + LOW, low if math.isfinite(high) else 0.0)
        bound = math.inf
    store_float64(windows, sum_at + BOUND, -bound)


def _settle(
    windows: Address,
    window_at: int,
    sum_at: int,
    valid: int,
    rows: Address,
    mask: int,
    row_bytes: int,
    value_at: int,
    flag_at: int,
    flag: int,
) -> None:
    """Makes a Number's sum as good as a fresh one; ``valid`` is how many values the window holds.

    A row counts where the word ``flag_at`` bytes into it has the bits of ``flag``.

    A sum that truly cancels may miss the tolerance even when fresh. Its bound is negated, so that it is not added up
    again before a row has come or gone.
    """
    if valid == 0:
        clear_number(windows, sum_at)
        return
    bound = load_float64(windows, sum_at + BOUND)
    # An overflow on the way leaves a bound of NaN, which no comparison accepts.
    if bound < 0.0 or bound <= ERROR_TOLERATED * abs(load_float64(windows, sum_at)):
        return
    rebuild(windows, window_at, sum_at, rows, mask, row_bytes, value_at, flag_at, flag)


clear_number = ahead_of_time(_clear_number)
add_up = ahead_of_time(_add_up)
rebuild = ahead_of_time(_rebuild)
settle = ahead_of_time(_settle)


# Values: what a window says, with the current event where it is to be counted (with_current 1, else 0).


def _rows_inside(windows: Address, window_at: int) -> int:
    inside: int = load_int64(windows, window_at + HEAD) - load_int64(windows, window_at)
    return inside


def _money_present(slots: Address, slot_at: int, with_current: int) -> int:
    return with_current if load_int64(slots, slot_at) != MISSING_MONEY else 0


def _float_present(slots: Address, slot_at: int, with_current: int) -> int:
    return 0 if math.isnan(load_float64(slots, slot_at)) else with_current


def _current_money(slots: Address, slot_at: int, with_current: int) -> int:
    minor: int = load_int64(slots, slot_at)
    return minor if with_current != 0 and minor != MISSING_MONEY else 0


def _current_boolean(slots: Address, slot_at: int, with_current: int) -> int:
    return 1 if with_current != 0 and load_float64(slots, slot_at) == 1.0 else 0


def _current_number(slots: Address, slot_at: int, with_current: int) -> float:
    number: float = load_float64(slots, slot_at)
    return 0.0 if with_current == 0 or math.isnan(number) else number


def _exact_sum(windows: Address, sum_at: int, current: int, units: float) -> float:
    total: float = float(load_int64(windows, sum_at) + current) / units
    return total


def _exact_mean(windows: Address, sum_at: int, current: int, valid: int, units: float) -> float:
    if valid == 0:
        return math.nan
    mean: float = float(load_int64(windows, sum_at) + current) / (float(valid) * units)
    return mean


def _number_sum(windows: Address, sum_at: int, current: float) -> float:
    total, error = two_sum(load_float64(windows, sum_at), current)
    corrected: float = total + (error + load_float64(windows, sum_at + LOW))
    # Out of range, the error of two_sum is inf − inf; the sum is the infinity itself.
    return corrected if math.isfinite(total) else total


def _number_mean(windows: Address, sum_at: int, current: float, valid: int) -> float:
    if valid == 0:
        return math.nan
    mean: float = number_sum(windows, sum_at, current) / float(valid)
    return mean


rows_inside = ahead_of_time(_rows_inside)
money_present = ahead_of_time(_money_present)
float_present = ahead_of_time(_float_present)
current_money = ahead_of_time(_current_money)
current_boolean = ahead_of_time(_current_boolean)
current_number = ahead_of_time(_current_number)
exact_sum = ahead_of_time(_exact_sum)
exact_mean = ahead_of_time(_exact_mean)
number_sum = ahead_of_time(_number_sum)
number_mean = ahead_of_time(_number_mean)
