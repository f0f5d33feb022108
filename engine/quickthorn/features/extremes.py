"""Extremes: the least and the greatest value of a field over a window, exactly."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from quickthorn.event import Boolean, Field, Money, Number
from quickthorn.features.declare import By, Where
from quickthorn.features.groups import At
from quickthorn.features.kept import Column, FieldColumn, Windowed, WindowPart
from quickthorn.features.tiled_spread import TiledExtreme, tiled_extreme
from quickthorn.features.velocity import numeric_field, units_of, window_of


@dataclass(frozen=True)
class Extreme(Windowed):
    """The greatest value of a field, or with ``sign`` −1 the least; missing where there is none."""

    field: Field
    sign: int

    @property
    def fields(self) -> tuple[Field, ...]:
        return (self.field,)

    @property
    def parts(self) -> tuple[WindowPart, ...]:
        return (Summit(self.where, self.field, self.sign),)

    def value(self, at: At) -> str:
        summit = Summit(self.where, self.field, self.sign)
        current = at.current(self.include_current, self.where)
        present = f"{_number_in(self.field)}({at.slot(self.field)})"
        extreme = f"summit_value(state, {at.part(summit)}, {self.sign}.0 * {present}, {current})"
        return f"{self.sign}.0 * {extreme} / {units_of(self.field)!r}"


@dataclass(frozen=True)
class Summit(WindowPart):
    """The position of the row with the greatest ``sign`` × value, and that product.

    The position is kept plus 1: 0 where there is no value, −1 where the row has left and the rest are to be searched.
    """

    field: Field
    sign: int

    @property
    def words(self) -> int:
        return 2

    @property
    def columns(self) -> tuple[Column, ...]:
        return (FieldColumn(self.field),)

    def shift(self, at: At) -> str:
        value = f"{self.sign}.0 * {_number_in(self.field)}(rows, row_at + {at.column(FieldColumn(self.field))})"
        return f"shift_summit(state, {at.part(self)}, {value}, position, sign)"

    def move(self, at: At) -> str | None:
        return f"move_summit(state, {at.part(self)}, position)"

    def settle(self, at: At) -> str | None:
        flag_at, flag = at.flag(self.where)
        search = "search_money" if isinstance(self.field, Money) else "search_float"
        return (
            f"{search}(state, {at.cursor}, {at.part(self)}, rows, mask, {at.group.row_bytes}, "
            f"{at.column(FieldColumn(self.field))}, {flag_at}, {flag}, {self.sign}.0)"
        )


def _number_in(field: Field) -> str:
    return "money_in" if isinstance(field, Money) else "load_float64"


def min(
    field: Money | Number | Boolean | None,
    *,
    by: By,
    over: str | timedelta,
    include_current: bool = False,
    delay: str | timedelta = "0s",
    where: Where = None,
    tile: str | timedelta | None = None,
) -> Extreme | TiledExtreme:
    """The least value of a field over the window; missing when there is none. ``tile`` is as for ``count``."""
    window = window_of("min", by, over, include_current, delay, where)
    return _extreme("min", numeric_field(field, "min"), window, tile)


def max(
    field: Money | Number | Boolean | None,
    *,
    by: By,
    over: str | timedelta,
    include_current: bool = False,
    delay: str | timedelta = "0s",
    where: Where = None,
    tile: str | timedelta | None = None,
) -> Extreme | TiledExtreme:
    """The greatest value of a field over the window; missing when there is none. ``tile`` is as for ``count``."""
    window = window_of("max", by, over, include_current, delay, where)
    return _extreme("max", numeric_field(field, "max"), window, tile)


def _extreme(what: str, field: Field, window: dict[str, Any], tile: str | timedelta | None) -> Extreme | TiledExtreme:
    if tile is not None:
        return tiled_extreme(what, field, window, tile)
    return Extreme(field=field, sign=1 if what == "max" else -1, **window)
