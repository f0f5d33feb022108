"""Connected components: how large, how old and how fraudulent what an event's entities belong to is.

``qt.Component(Payment.card, Payment.device, Payment.email)`` declares which fields link: all entities of one event
belong to one component, and whatever else was ever seen with any of them. The core keeps the components, by incremental
union-find; what is made of them is computed by kernels like every other value.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from quickthorn.errors import FeatureError
from quickthorn.event import Entity

ENTITIES_MOST = 8
CAP_MOST = 2**24


@dataclass(frozen=True, init=False)
class Component:
    """What links entities: every two that are seen in one event.

    ``entities``  two to eight Entity fields of one event class, in the order of its fields; the same name in two fields
                  is two entities
    ``cap``       most entities of one component (2 to 16,777,216): a link that would make a larger one is left out,
                  counted and visible in the event's status
    """

    entities: tuple[Entity, ...]
    cap: int

    def __init__(self, *entities: Entity | None, cap: int = 65_536) -> None:
        for entity in entities:
            if not isinstance(entity, Entity):
                raise FeatureError(f"Component: expected Entity fields of the event class, found {entity!r}")
        if not 2 <= len(entities) <= ENTITIES_MOST or len(set(entities)) != len(entities):
            found = ", ".join(map(repr, entities)) or "none"
            raise FeatureError(f"Component: expected 2 to {ENTITIES_MOST} different entities to link, found {found}")
        if not isinstance(cap, int) or isinstance(cap, bool) or not 2 <= cap <= CAP_MOST:
            raise FeatureError(f"Component(cap=): expected 2 to {CAP_MOST}, found {cap!r}")
        known: list[Any] = list(entities)
        object.__setattr__(self, "entities", tuple(sorted(known, key=lambda entity: entity.index)))
        object.__setattr__(self, "cap", cap)

    def __repr__(self) -> str:
        return f"Component({', '.join(map(repr, self.entities))})"


@dataclass(frozen=True)
class ComponentValue:
    """The "size", "age" or "fraud" count of what the event's entities belong to, or of what the entity ``of`` does."""

    component: Component
    kind: str
    of: Entity | None
    include_current: bool

    @property
    def is_of_labels(self) -> bool:
        """Whether the value is computed from labels."""
        return self.kind == "fraud"


@dataclass(frozen=True)
class ComponentPlan:
    """A component with the values that are read of it: values[value_first : value_first + len(values)]."""

    component: Component
    values: tuple[ComponentValue, ...]
    value_first: int

    @property
    def keeps_labels(self) -> bool:
        """Whether frauds are counted."""
        return any(value.is_of_labels for value in self.values)


def component_size(component: Component, *, of: Entity | None = None, include_current: bool = False) -> ComponentValue:
    """How many entities there are in the components that the event's entities belong to, together.

    With ``of`` it is the component of that entity of the event alone; 0 where it was never seen, missing where the
    event lacks it. ``include_current`` gives the size as it is once the event is stored.
    """
    return _value("size", component, of, include_current)


def component_age(component: Component, *, of: Entity | None = None, include_current: bool = False) -> ComponentValue:
    """Seconds since the first event of the components that the event's entities belong to.

    With ``of`` it is the component of that entity of the event alone. Missing where none was ever seen; with
    ``include_current`` the event at hand is a first event too.
    """
    return _value("age", component, of, include_current)


def component_fraud(component: Component, *, of: Entity | None = None, include_current: bool = False) -> ComponentValue:
    """How many events of the components that the event's entities belong to are known to be fraud, by labels.

    A label counts from the time on that it is available. With ``of`` it is the component of that entity of the event
    alone; 0 where it was never seen. The event at hand has no label yet, but with ``include_current`` an entity's
    component is what it is once the event is stored.
    """
    return _value("fraud", component, of, include_current)


def component_plans(values: Iterable[ComponentValue], value_first: int) -> tuple[ComponentPlan, ...]:
    """One plan for each component that something is read of, in the order of first use."""
    by_component: dict[Component, dict[ComponentValue, None]] = {}
    for value in values:
        by_component.setdefault(value.component, {})[value] = None
    plans = []
    for component, of_it in by_component.items():
        plans.append(ComponentPlan(component, tuple(of_it), value_first))
        value_first += len(of_it)
    return tuple(plans)


def _value(kind: str, component: object, of: object, include_current: bool) -> ComponentValue:
    what = f"component_{kind}"
    if not isinstance(component, Component):
        raise FeatureError(f"{what}: expected a Component, found {component!r}")
    if of is not None and of not in component.entities:
        linked = ", ".join(map(repr, component.entities))
        raise FeatureError(f"{what}(of=): expected one of the linked entities {linked}, found {of!r}")
    assert of is None or isinstance(of, Entity)
    return ComponentValue(component, kind, of, bool(include_current))
