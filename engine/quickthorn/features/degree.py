"""Degree: how many different entities of another type an entity was seen with, over a window or ever.

In the bipartite graph of two entity fields an event that has both is an edge; the degree counts an entity's different
neighbours. It is :mod:`quickthorn.features.distinct` of an Entity field, and shares its memory.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from quickthorn.errors import FeatureError
from quickthorn.event import Entity
from quickthorn.features.declare import By, Where
from quickthorn.features.distinct import Distinct, distinct_options


def degree(
    by: By,
    *,
    to: Entity | None,
    over: str | timedelta | None = None,
    cap: int = 32,
    up_to: int = 2_048,
    include_current: bool = False,
    where: Where = None,
) -> Distinct:
    """How many different entities of ``to`` the entity ``by`` was seen with in (t − over, t]; ever, where that is None.

    Exact up to ``cap`` (1 to 1024), beyond it an estimate whose relative standard error is at most √(2 / cap) up to
    ``up_to``, and which grows no further; ``degree_is_exact`` says which. An entity takes
    16 · cap · (1 + log2(up_to / cap)) bytes, once for all windows. An event where ``to`` is missing is no edge.
    """
    return Distinct(flag=False, **degree_options("degree", by, to, over, cap, up_to, include_current, where))


def degree_is_exact(
    by: By,
    *,
    to: Entity | None,
    over: str | timedelta | None = None,
    cap: int = 32,
    up_to: int = 2_048,
    where: Where = None,
) -> Distinct:
    """1 where ``degree`` of the same options is exact, 0 where it is an estimate."""
    return Distinct(flag=True, **degree_options("degree_is_exact", by, to, over, cap, up_to, False, where))


def degree_options(
    what: str,
    by: object,
    to: object,
    over: str | timedelta | None,
    cap: object,
    up_to: object,
    include_current: bool,
    where: object,
) -> dict[str, Any]:
    """The parts of a Distinct but its flag, where both ends are entities."""
    if not isinstance(to, Entity):
        raise FeatureError(f"{what}(to=): expected an Entity field of the event class, found {to!r}")
    options = distinct_options(what, to, by, over, cap, up_to, include_current, where)
    if to in options["by"]:
        raise FeatureError(f"{what}(to=): expected another entity than {to!r}, whose degree it is")
    return options
