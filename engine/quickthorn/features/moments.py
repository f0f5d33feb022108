"""Sums of squares of a window, as kernels over the engine's memory, and the spread they give.

Squares of money are added up in 128 bits: 2**20 squares of 2**43 minor units fit, and so does count · squares − sum²,
which is therefore exact. Squares of numbers are kept like their sums (:mod:`quickthorn.features.aggregates`), about
106 bits with a bound on the error. Squares − sum² / count loses as many of them as the mean is larger than the spread;
where what is left is not good to 1e-11, the rows are read twice, for the mean and for the distances from it.
"""

from __future__ import annotations

import math
from typing import Any

import llvmlite.ir
from numba import types
from numba.extending import intrinsic

from quickthorn.event.fields import MISSING_MONEY
from quickthorn.features.aggregates import (
    BOUND,
    ERROR_TOLERATED,
    HEAD,
    LOW,
    add_number,
    clear_number,
    two_sum,
)
from quickthorn.features.ahead import ahead_of_time
from quickthorn.features.memory import ADDRESS, Address, load_float64, load_int64, place, store_float64

SPREAD_TOLERATED = 1e-11
# Relative error of a few operations on sums of two float64.
DOUBLED_ERROR = 2.0**-100
# Squares beyond these under- or overflow, or cannot be split exactly.
SMALLEST_SQUARED = 1e-130
LARGEST_SQUARED = 1e150
SPLITTER = 2.0**27 + 1.0
# Powers of two, so that scaling is exact.
SCALE_STEP = 2.0**64
LARGEST_SCALE = 2.0**960

_WIDE = llvmlite.ir.IntType(128)
_WORD = llvmlite.ir.IntType(64)
_DOUBLE = llvmlite.ir.DoubleType()


def _widened(builder: Any, values: Any) -> list[Any]:
    return [builder.sext(value, _WIDE) for value in values]


def _add_square(typing_context: Any, base: Any, offset: Any, value: Any, sign: Any) -> tuple[Any, Any]:
    """add_square(base, offset, value, sign): sign · value² more in the int128 there."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        base, offset, *words = arguments
        value, sign = _widened(builder, words)
        where = place(builder, base, offset, _WIDE)
        square = builder.mul(builder.mul(value, value), sign)
        builder.store(builder.add(builder.load(where, align=8, typ=_WIDE), square), where, align=8)
        return context.get_dummy_value()

    return types.void(ADDRESS, types.int64, types.int64, types.int64), generate


def _squares_beyond(typing_context: Any, base: Any, offset: Any, value: Any, count: Any, total: Any) -> tuple[Any, Any]:
    """squares_beyond(base, offset, value, count, total): count · (the int128 there + value²) − total², as a float64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        base, offset, *words = arguments
        value, count, total = _widened(builder, words)
        squares = builder.load(place(builder, base, offset, _WIDE), align=8, typ=_WIDE)
        squares = builder.add(squares, builder.mul(value, value))
        beyond = builder.sub(builder.mul(count, squares), builder.mul(total, total))
        # In two halves: one conversion of 128 bits would be a call.
        high = builder.trunc(builder.ashr(beyond, _WIDE(64)), _WORD)
        low = builder.trunc(beyond, _WORD)
        scaled = builder.fmul(builder.sitofp(high, _DOUBLE), _DOUBLE(2.0**64))
        return builder.fadd(scaled, builder.uitofp(low, _DOUBLE))

    return types.float64(ADDRESS, types.int64, types.int64, types.int64, types.int64), generate


add_square: Any = intrinsic(_add_square)
squares_beyond: Any = intrinsic(_squares_beyond)


@ahead_of_time
def shift_money_square(state: Address, squares_at: int, rows: Address, value_at: int, sign: int) -> None:
    minor = load_int64(rows, value_at)
    if minor != MISSING_MONEY:
        add_square(state, squares_at, minor, sign)


@ahead_of_time
def money_variance(state: Address, sum_at: int, squares_at: int, count: int, ddof: int, current: int) -> float:
    """The variance in squared minor units; NaN where there are no more than ddof values."""
    if count <= ddof:
        return math.nan
    total = load_int64(state, sum_at) + current
    beyond: float = squares_beyond(state, squares_at, current, count, total)
    return beyond / (float(count) * float(count - ddof))


@ahead_of_time
def boolean_variance(state: Address, sum_at: int, count: int, ddof: int, current: int) -> float:
    if count <= ddof:
        return math.nan
    total = load_int64(state, sum_at) + current
    return float((count - total) * total) / (float(count) * float(count - ddof))


@ahead_of_time
def square_root(value: float) -> float:
    return math.sqrt(value)


@ahead_of_time
def two_product(a: float, b: float) -> tuple[float, float]:
    """a · b as the rounded product and its rounding error (Dekker 1971, after Veltkamp's splitting)."""
    product = a * b
    high = a * SPLITTER
    a_high = high - (high - a)
    a_low = a - a_high
    high = b * SPLITTER
    b_high = high - (high - b)
    b_low = b - b_high
    return product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low


@ahead_of_time
def add_number_square(state: Address, squares_at: int, number: float, sign: float) -> None:
    if number == 0.0:
        return
    if not SMALLEST_SQUARED < abs(number) < LARGEST_SQUARED:
        # Poisons the sum, and no read trusts it as long as the row is in the window.
        add_number(state, squares_at, sign * math.inf)
        return
    product, error = two_product(number, number)
    add_number(state, squares_at, sign * product)
    add_number(state, squares_at, sign * error)


@ahead_of_time
def shift_number_square(state: Address, squares_at: int, rows: Address, value_at: int, sign: int) -> None:
    number = load_float64(rows, value_at)
    if not math.isnan(number):
        add_number_square(state, squares_at, number, float(sign))


@ahead_of_time
def settle_squares(
    state: Address,
    window_at: int,
    squares_at: int,
    valid: int,
    rows: Address,
    mask: int,
    row_bytes: int,
    value_at: int,
    flag_at: int,
    flag: int,
) -> None:
    """Makes a sum of squares as good as a fresh one where values that have left have spoilt it."""
    if valid == 0:
        clear_number(state, squares_at)
        return
    bound = load_float64(state, squares_at + BOUND)
    if bound < 0.0 or bound <= ERROR_TOLERATED * abs(load_float64(state, squares_at)):
        return
    clear_number(state, squares_at)
    for position in range(load_int64(state, window_at), load_int64(state, window_at + HEAD)):
        row_at = (position & mask) * row_bytes
        number = load_float64(rows, row_at + value_at)
        if not math.isnan(number) and load_int64(rows, row_at + flag_at) & flag == flag:
            add_number_square(state, squares_at, number, 1.0)
    bound = load_float64(state, squares_at + BOUND)
    # Negated, as in a sum: not to be added up again before a row has come or gone.
    store_float64(state, squares_at + BOUND, -bound if bound >= 0.0 else -math.inf)


@ahead_of_time
def doubled_sum(high: float, low: float, number: float) -> tuple[float, float]:
    total, error = two_sum(high, number)
    summed, rest = two_sum(total, error + low)
    return summed, rest


@ahead_of_time
def number_spread(
    state: Address,
    window_at: int,
    sum_at: int,
    squares_at: int,
    rows: Address,
    mask: int,
    row_bytes: int,
    value_at: int,
    flag_at: int,
    flag: int,
    count: int,
    ddof: int,
    current: float,
    with_current: int,
    root: int,
) -> float:
    """The variance of a number, or its root; NaN where there are no more than ddof values."""
    if count <= ddof:
        return math.nan
    if count == 1:
        return 0.0
    total, total_low = doubled_sum(load_float64(state, sum_at), load_float64(state, sum_at + LOW), current)
    square, square_error = two_product(current, current)
    squares, squares_low = doubled_sum(
        load_float64(state, squares_at), load_float64(state, squares_at + LOW) + square_error, square
    )
    # sum² / count as high and low part.
    product, product_low = two_product(total, total)
    product_low += 2.0 * total * total_low
    mean_square = product / float(count)
    back, back_low = two_product(mean_square, float(count))
    mean_square_low = (((product - back) - back_low) + product_low) / float(count)
    beyond, beyond_low = two_sum(squares, -mean_square)
    beyond += beyond_low + (squares_low - mean_square_low)
    sum_error = abs(load_float64(state, sum_at + BOUND)) * 2.0 * abs(total) / float(count)
    error = abs(load_float64(state, squares_at + BOUND)) + sum_error + DOUBLED_ERROR * squares
    usual = current == 0.0 or SMALLEST_SQUARED < abs(current) < LARGEST_SQUARED
    if usual and error <= SPREAD_TOLERATED * beyond:
        variance = beyond / float(count - ddof)
        return math.sqrt(variance) if root != 0 else variance
    tail, head = load_int64(state, window_at), load_int64(state, window_at + HEAD)
    spread: float = read_spread(
        rows, mask, row_bytes, value_at, flag_at, flag, tail, head, count, ddof, current, with_current, root
    )
    return spread


@ahead_of_time
def counted_number(rows: Address, row_at: int, value_at: int, flag_at: int, flag: int) -> float:
    """A row's number where the row counts, else NaN."""
    if load_int64(rows, row_at + flag_at) & flag != flag:
        return math.nan
    number: float = load_float64(rows, row_at + value_at)
    return number


@ahead_of_time
def read_spread(
    rows: Address,
    mask: int,
    row_bytes: int,
    value_at: int,
    flag_at: int,
    flag: int,
    tail: int,
    head: int,
    count: int,
    ddof: int,
    current: float,
    with_current: int,
    root: int,
) -> float:
    """The same from the rows, at a scale at which nothing over- or underflows."""
    largest = abs(current)
    for position in range(tail, head):
        number = counted_number(rows, (position & mask) * row_bytes, value_at, flag_at, flag)
        if abs(number) > largest:
            largest = abs(number)
    if largest == 0.0:
        return 0.0
    scale = 1.0
    while largest * scale > 1.0:
        scale /= SCALE_STEP
    while largest * scale * SCALE_STEP < 1.0 and scale < LARGEST_SCALE:
        scale *= SCALE_STEP
    total, low = 0.0, 0.0
    if with_current != 0:
        total = current * scale
    for position in range(tail, head):
        number = counted_number(rows, (position & mask) * row_bytes, value_at, flag_at, flag)
        if not math.isnan(number):
            total, low = doubled_sum(total, low, number * scale)
    mean = (total + low) / float(count)
    rest, squares, squares_low = 0.0, 0.0, 0.0
    if with_current != 0:
        rest = current * scale - mean
        squares = rest * rest
    for position in range(tail, head):
        number = counted_number(rows, (position & mask) * row_bytes, value_at, flag_at, flag)
        if not math.isnan(number):
            distance = number * scale - mean
            rest += distance
            squares, squares_low = doubled_sum(squares, squares_low, distance * distance)
    # The rounded mean is off by a little, and so are all distances from it.
    variance = max((squares + squares_low) - rest * rest / float(count), 0.0) / float(count - ddof)
    return math.sqrt(variance) / scale if root != 0 else variance / scale / scale
