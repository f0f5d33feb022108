"""Events that fit a schema, made up: for measuring and proving a bundle where no events of its own are at hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

START_US = 1_785_000_000_000_000
ENTITIES = 10_000
_MISSING = 0.1

_Column = list[Any]


class DescribedField(Protocol):
    """What has to be known of a field: both a declared one and one in a manifest will do."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def kind(self) -> str:
        """Its kind, as manifests spell it."""

    @property
    def required(self) -> bool:
        """Whether every event has it."""

    @property
    def scale(self) -> int | None:
        """Money: decimal digits of the minor unit."""

    @property
    def minor_units(self) -> bool:
        """Money: numbers are whole minor units."""

    @property
    def signed(self) -> bool:
        """Money: negative amounts are allowed."""

    @property
    def values(self) -> tuple[str, ...]:
        """Category: the known values."""

    @property
    def closed(self) -> bool:
        """Category: there are no others."""


_Maker = Callable[[DescribedField, int, np.random.Generator, int], _Column]


def sample_events(
    schema: Sequence[DescribedField], count: int, *, seed: int = 1, first: int = 0, entities: int = ENTITIES
) -> list[dict[str, Any]]:
    """``count`` events as dicts, three seconds apart on average, the same for the same seed.

    Every entity field has so many different values, amounts are log-normal, optional fields are missing one time in
    ten, and an open category is unknown now and then. ``first`` is the number of the first event: ids and times go on
    from there, so that several calls make one stream.
    """
    random = np.random.default_rng((seed, first))
    columns = {}
    for field in schema:
        column = sample_column(field, count, random, entities)
        if not field.required:
            column = [
                None if gone else value for gone, value in zip(random.random(count) < _MISSING, column, strict=True)
            ]
        columns[field.name] = column
    by_kind = {field.kind: field.name for field in schema if field.kind in ("id", "event_time")}
    columns[by_kind["id"]] = [f"sample-{seed}-{first + number}" for number in range(count)]
    elapsed_us = np.cumsum(random.exponential(3e6, count).astype(np.int64))
    columns[by_kind["event_time"]] = [START_US + first * 3_000_000 + int(at_us) for at_us in elapsed_us]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def sample_column(field: DescribedField, count: int, random: np.random.Generator, entities: int = ENTITIES) -> _Column:
    """``count`` values of one field, none of them missing; None for the event's id and time."""
    return _MAKERS[field.kind](field, count, random, entities)


def _filled_later(field: DescribedField, count: int, random: np.random.Generator, entities: int) -> _Column:
    return [None] * count


def _entities(field: DescribedField, count: int, random: np.random.Generator, entities: int) -> _Column:
    return [f"{field.name}-{number}" for number in random.integers(0, entities, count)]


def _amounts(field: DescribedField, count: int, random: np.random.Generator, entities: int) -> _Column:
    minor = np.exp(random.normal(8.0, 1.0, count)).astype(np.int64)
    if field.signed:
        minor *= random.choice([1, 1, 1, -1], count)
    if field.minor_units:
        return [int(amount) for amount in minor]
    scale = field.scale or 0
    return [f"{int(amount) / 10**scale:.{scale}f}" for amount in minor]


def _numbers(field: DescribedField, count: int, random: np.random.Generator, entities: int) -> _Column:
    return [float(number) for number in np.round(random.exponential(20.0, count), 3)]


def _categories(field: DescribedField, count: int, random: np.random.Generator, entities: int) -> _Column:
    known = field.values or tuple(f"{field.name}-{number}" for number in range(20))
    values = known if field.closed else (*known, "none of these")
    return [values[number] for number in random.integers(0, len(values), count)]


def _texts(field: DescribedField, count: int, random: np.random.Generator, entities: int) -> _Column:
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz0123456789.-@ "))
    lengths = random.integers(6, 30, count)
    return ["".join(random.choice(letters, length)) for length in lengths]


def _booleans(field: DescribedField, count: int, random: np.random.Generator, entities: int) -> _Column:
    return [bool(true) for true in random.random(count) < 0.3]


_MAKERS: dict[str, _Maker] = {
    "id": _filled_later,
    "event_time": _filled_later,
    "entity": _entities,
    "money": _amounts,
    "number": _numbers,
    "category": _categories,
    "text": _texts,
    "boolean": _booleans,
}
