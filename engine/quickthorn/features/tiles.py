"""Tiled windows: counts, sums and means of entities with too many events to keep a row of each.

Of a tiled window one count and one sum are kept per tile of event time, whole tiles since 1970. The window's end is
exact; its beginning hops: it holds every event of a tile that (t − over, t] reaches into. Memory is that of
over / tile + 1 tiles, whatever happens, and no row limit touches it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from quickthorn.errors import FeatureError
from quickthorn.event import Field, Money, Number
from quickthorn.features.durations import duration_us
from quickthorn.features.groups import At
from quickthorn.features.kept import Column, FieldColumn, Lifetime, Record

TILES_MOST = 1024


@dataclass(frozen=True)
class Tiled(Lifetime):
    """A "count", "sum" or "mean" over the tiles that (t − over, t] reaches into; ``field`` is None for a count."""

    kind: str
    field: Field | None
    over_us: int
    tile_us: int

    @property
    def reach_us(self) -> int:
        return self.over_us

    @property
    def fields(self) -> tuple[Field, ...]:
        return () if self.field is None else (self.field,)

    @property
    def records(self) -> tuple[Record, ...]:
        return (Tiles(self.where, self.field, self.tile_us, self.over_us // self.tile_us + 1),)

    def value(self, at: At) -> str:
        tiles = at.kept_record(self.records[0])
        assert isinstance(tiles, Tiles)
        window = f"record, {at.record(tiles)}, {tiles.count}, {self.tile_us}, now_us - {self.over_us}"
        current = at.current(self.include_current, self.where)
        if self.field is None:
            return f"tiled_count({window}, {current})"
        load, units = load_of(self.field), units_of(self.field)
        return f"tiled_{self.kind}_{_form(self.field)}({window}, {current}, {load}({at.slot(self.field)}), {units!r})"


@dataclass(frozen=True)
class Tiles(Record):
    """A ring of ``count`` tiles: each its number, how many values it has, and their sum."""

    field: Field | None
    tile_us: int
    count: int

    @property
    def words(self) -> int:
        return self.count * (2 if self.field is None else 4)

    @property
    def columns(self) -> tuple[Column, ...]:
        return () if self.field is None else (FieldColumn(self.field),)

    @property
    def key(self) -> object:
        return (Tiles, self.where, self.field, self.tile_us)

    def joined(self, other: Record) -> Record:
        assert isinstance(other, Tiles)
        return self if self.count >= other.count else other

    def update(self, at: At) -> str:
        ring = f"record, {at.record(self)}, {self.count}, {self.tile_us}, load_int64(rows, row_at)"
        if self.field is None:
            return f"tile_event({ring})"
        value = f"{load_of(self.field)}(rows, row_at + {at.column(FieldColumn(self.field))})"
        return f"tile_{_form(self.field)}({ring}, {value})"


def tiled(kind: str, field: Field | None, window: dict[str, Any], tile: object) -> Tiled:
    """The tiled form of a windowed aggregate, if its tile divides the window."""
    return Tiled(kind=kind, field=field, **tile_options(kind, window, tile))


def tile_options(kind: str, window: dict[str, Any], tile: object) -> dict[str, Any]:
    """What a tiled expression is made with; FeatureError where the tile does not divide the window, or that is late."""
    if window["delay_us"]:
        raise FeatureError(f"{kind}(tile=): expected a window without delay, found one of {window['delay_us']} µs")
    tile_us = duration_us(tile, f"{kind}(tile=)")  # type: ignore[arg-type]
    over_us = window["over_us"]
    if tile_us == 0 or over_us % tile_us:
        raise FeatureError(f"{kind}(tile=): expected a tile that divides the window of {over_us} µs, found {tile!r}")
    if over_us // tile_us > TILES_MOST:
        raise FeatureError(f"{kind}(tile=): expected at most {TILES_MOST} tiles, found {over_us // tile_us}")
    options = {name: window[name] for name in ("by", "where", "include_current", "over_us")}
    return {**options, "tile_us": tile_us}


def _form(field: Field) -> str:
    return "number" if isinstance(field, Number) else "exact"


def load_of(field: Field) -> str:
    """The kernel that loads a value of the field as a float64, money in minor units."""
    return "money_in" if isinstance(field, Money) else "load_float64"


def units_of(field: Field) -> float:
    """How many of what is kept make one of what the feature is in."""
    return 10.0**field.scale if isinstance(field, Money) else 1.0
