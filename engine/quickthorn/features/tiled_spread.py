"""Tiled spreads and extremes: variance, std, min and max of entities with too many events to keep a row of each.

The windows are those of :mod:`quickthorn.features.tiles`. Extremes are exact; spreads are within 1e-9 of recomputation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from quickthorn.event import Field
from quickthorn.features.groups import At
from quickthorn.features.kept import Column, FieldColumn, Lifetime, Record
from quickthorn.features.tiles import load_of, tile_options, units_of


@dataclass(frozen=True)
class TiledField(Lifetime):
    """A statistic of a field over the tiles that (t − over, t] reaches into."""

    field: Field
    over_us: int
    tile_us: int

    @property
    def reach_us(self) -> int:
        return self.over_us

    @property
    def fields(self) -> tuple[Field, ...]:
        return (self.field,)

    @property
    def records(self) -> tuple[Record, ...]:
        return (FieldTiles(self.where, self.field, self.tile_us, self.over_us // self.tile_us + 1, self.tile_sign),)

    @property
    def tile_sign(self) -> int:
        """What the field's values are multiplied by before the greatest is kept; 0 where it is a spread that is."""
        raise NotImplementedError

    def window(self, at: At) -> str:
        """The arguments of a kernel that reads the tiles, but for the current value."""
        tiles = at.kept_record(self.records[0])
        assert isinstance(tiles, FieldTiles)
        current = at.current(self.include_current, self.where)
        return f"record, {at.record(tiles)}, {tiles.count}, {self.tile_us}, now_us - {self.over_us}, {current}"


@dataclass(frozen=True)
class TiledSpread(TiledField):
    """The variance of a field, or its ``root``; missing where there are no more than ``ddof`` values."""

    ddof: int
    root: bool

    @property
    def tile_sign(self) -> int:
        return 0

    def value(self, at: At) -> str:
        current = f"{load_of(self.field)}({at.slot(self.field)})"
        return f"tiled_spread({self.window(at)}, {current}, {self.ddof}, {units_of(self.field)!r}, {int(self.root)})"


@dataclass(frozen=True)
class TiledExtreme(TiledField):
    """The greatest value of a field, or with ``sign`` −1 the least; missing where there is none."""

    sign: int

    @property
    def tile_sign(self) -> int:
        return self.sign

    def value(self, at: At) -> str:
        current = f"{self.sign}.0 * {load_of(self.field)}({at.slot(self.field)})"
        return f"{self.sign}.0 * tiled_extreme({self.window(at)}, {current}) / {units_of(self.field)!r}"


@dataclass(frozen=True)
class FieldTiles(Record):
    """A ring of ``count`` tiles of a field: of its spread, or with a ``sign`` of the greatest ``sign`` × value."""

    field: Field
    tile_us: int
    count: int
    sign: int

    @property
    def words(self) -> int:
        return self.count * (5 if self.sign == 0 else 3)

    @property
    def columns(self) -> tuple[Column, ...]:
        return (FieldColumn(self.field),)

    @property
    def key(self) -> object:
        return (FieldTiles, self.where, self.field, self.tile_us, self.sign)

    def joined(self, other: Record) -> Record:
        assert isinstance(other, FieldTiles)
        return self if self.count >= other.count else other

    def update(self, at: At) -> str:
        ring = f"record, {at.record(self)}, {self.count}, {self.tile_us}, load_int64(rows, row_at)"
        value = f"{load_of(self.field)}(rows, row_at + {at.column(FieldColumn(self.field))})"
        return f"tile_spread({ring}, {value})" if self.sign == 0 else f"tile_extreme({ring}, {self.sign}.0 * {value})"


def tiled_spread(what: str, field: Field, ddof: int, window: dict[str, Any], tile: object) -> TiledSpread:
    """The tiled form of ``variance`` or ``std``, if its tile divides the window."""
    return TiledSpread(field=field, ddof=ddof, root=what == "std", **tile_options(what, window, tile))


def tiled_extreme(what: str, field: Field, window: dict[str, Any], tile: object) -> TiledExtreme:
    """The tiled form of ``min`` or ``max``, if its tile divides the window."""
    return TiledExtreme(field=field, sign=1 if what == "max" else -1, **tile_options(what, window, tile))
