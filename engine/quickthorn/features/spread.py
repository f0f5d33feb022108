"""Spread: the variance and the standard deviation of a field over a window."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from quickthorn.errors import FeatureError
from quickthorn.event import Boolean, Field, Money, Number
from quickthorn.features.declare import By, Where
from quickthorn.features.groups import At
from quickthorn.features.kept import Column, FieldColumn, Windowed, WindowPart
from quickthorn.features.tiled_spread import TiledSpread, tiled_spread
from quickthorn.features.velocity import Present, Sum, counted, numeric_field, presence_of, units_of, window_of


@dataclass(frozen=True)
class Spread(Windowed):
    """The variance of a field, or its ``root``; missing where there are no more than ``ddof`` values."""

    field: Field
    ddof: int
    root: bool

    @property
    def fields(self) -> tuple[Field, ...]:
        return (self.field,)

    @property
    def parts(self) -> tuple[WindowPart, ...]:
        present = Present(self.where, self.field)
        # The squares of 0 and 1 are what they are themselves.
        squares = () if isinstance(self.field, Boolean) else (Squares(self.where, self.field),)
        return (Sum(self.where, self.field), *squares, *((present,) if present.is_needed else ()))

    def value(self, at: At) -> str:
        field, current = self.field, at.current(self.include_current, self.where)
        slot = f"{at.slot(field)}, {current}"
        present = current if field.required else f"{presence_of(field)}({slot})"
        count = f"{counted(at, Present(self.where, field))} + {present}"
        total = at.part(Sum(self.where, field))
        if isinstance(field, Boolean):
            variance = f"boolean_variance(state, {total}, {count}, {self.ddof}, current_boolean({slot}))"
            return f"square_root({variance})" if self.root else variance
        squares = at.part(Squares(self.where, field))
        if isinstance(field, Money):
            variance = f"money_variance(state, {total}, {squares}, {count}, {self.ddof}, current_money({slot}))"
            units = units_of(field)
            return f"square_root({variance}) / {units!r}" if self.root else f"{variance} / {units * units!r}"
        flag_at, flag = at.flag(self.where)
        rows = f"rows, mask, {at.group.row_bytes}, {at.column(FieldColumn(field))}, {flag_at}, {flag}"
        return (
            f"number_spread(state, {at.cursor}, {total}, {squares}, {rows}, {count}, {self.ddof}, "
            f"current_number({slot}), {present}, {int(self.root)})"
        )


@dataclass(frozen=True)
class Squares(WindowPart):
    """The sum of a field's squares: an int128 for Money, else high part, low part and error bound."""

    field: Field

    @property
    def words(self) -> int:
        return 3 if isinstance(self.field, Number) else 2

    @property
    def columns(self) -> tuple[Column, ...]:
        return (FieldColumn(self.field),)

    def shift(self, at: At) -> str:
        column = at.column(FieldColumn(self.field))
        return f"shift_{self.field.kind}_square(state, {at.part(self)}, rows, row_at + {column}, sign)"

    def settle(self, at: At) -> str | None:
        if not isinstance(self.field, Number):
            return None
        flag_at, flag = at.flag(self.where)
        present = counted(at, Present(self.where, self.field))
        rows = f"rows, mask, {at.group.row_bytes}, {at.column(FieldColumn(self.field))}, {flag_at}, {flag}"
        return f"settle_squares(state, {at.cursor}, {at.part(self)}, {present}, {rows})"


def std(
    field: Money | Number | Boolean | None,
    *,
    by: By,
    over: str | timedelta,
    ddof: int = 1,
    include_current: bool = False,
    delay: str | timedelta = "0s",
    where: Where = None,
    tile: str | timedelta | None = None,
) -> Spread | TiledSpread:
    """The standard deviation of a field over the window: the root of ``variance``."""
    return _spread("std", field, ddof, window_of("std", by, over, include_current, delay, where), tile)


def variance(
    field: Money | Number | Boolean | None,
    *,
    by: By,
    over: str | timedelta,
    ddof: int = 1,
    include_current: bool = False,
    delay: str | timedelta = "0s",
    where: Where = None,
    tile: str | timedelta | None = None,
) -> Spread | TiledSpread:
    """The sum of squared distances from the mean, by the count of values − ``ddof``; missing where that is not above 0.

    ``ddof`` is 1 for the variance of what the values are a sample of, 0 for that of the values alone. ``tile`` is as
    for ``count``; a tiled spread is within 1e-9 of recomputation, of money too.
    """
    return _spread("variance", field, ddof, window_of("variance", by, over, include_current, delay, where), tile)


def _spread(
    what: str, field: object, ddof: int, window: dict[str, Any], tile: str | timedelta | None
) -> Spread | TiledSpread:
    if not isinstance(ddof, int) or isinstance(ddof, bool) or ddof not in (0, 1):
        raise FeatureError(f"{what}(ddof=): expected 0 or 1, found {ddof!r}")
    chosen = numeric_field(field, what)
    if tile is not None:
        return tiled_spread(what, chosen, ddof, window, tile)
    return Spread(field=chosen, ddof=ddof, root=what == "std", **window)
