"""Sources of third-party signals: a Python class whose annotations say what a source says of an entity."""

from __future__ import annotations

import inspect
import typing
from dataclasses import dataclass
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

from quickthorn.errors import SchemaError
from quickthorn.event.fields import Boolean, Category, Entity, EventTime, Field, Money, Number
from quickthorn.event.schema import Schema, declared_field

# The name of a signal's time where it has one: in tables of signals, and in messages.
TIME = "at"
VALUES_MOST = 256


@dataclass(frozen=True)
class Source(Schema):
    """The fields of one source: the key, the values in declaration order, and the time of the signal."""

    @property
    def key(self) -> Field:
        """Whom a signal is about."""
        return self.fields[0]

    @property
    def values(self) -> tuple[Field, ...]:
        """What it says."""
        return self.fields[1:-1]


_SOURCES: WeakKeyDictionary[Field, Source] = WeakKeyDictionary()


def source_of(field: Field) -> Source | None:
    """The source that the field is a value of; None where it is none's."""
    return _SOURCES.get(field)


class Signal:
    """Base of sources of signals. Subclass it with annotated fields; it is a declaration and is never instantiated.

    One required ``Entity`` is whom a signal is about; its name need not be one of an event's fields. The values are
    ``Number``, ``Money``, ``Boolean`` and ``Category``; ``X | None`` where the source may have nothing to say. The time
    of a signal is called ``at`` and is not declared. A declaration that breaks a rule raises SchemaError naming class
    and field.
    """

    source: ClassVar[Source]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        try:
            annotations = typing.get_type_hints(cls)
        except (NameError, AttributeError) as error:
            raise SchemaError(f"{cls.__name__}: an annotation cannot be resolved: {error}") from error
        annotations.pop("source")  # this class's own; a field of that name would hide it
        taken = {"source", TIME} & inspect.get_annotations(cls).keys()
        if taken:
            raise SchemaError(f"{cls.__name__}.{min(taken)}: expected another name for the field, this one is taken")
        keys = [name for name, annotation in annotations.items() if annotation is Entity]
        if len(keys) != 1:
            found = ", ".join(keys) or "none"
            raise SchemaError(f"{cls.__name__}: expected exactly one required Entity to speak of, found {found}")
        names = [keys[0], *(name for name in annotations if name != keys[0])]
        if not 2 <= len(names) <= 1 + VALUES_MOST:
            raise SchemaError(f"{cls.__name__}: expected 1 to {VALUES_MOST} values, found {len(names) - 1}")
        fields = []
        for index, name in enumerate(names):
            field = declared_field(cls, name, index, annotations[name])
            if index > 0 and not isinstance(field, (Number, Money, Boolean, Category)):
                found = type(field).__name__
                raise SchemaError(f"{field!r}: expected a Number, Money, Boolean or Category, found {found}")
            setattr(cls, name, field)
            fields.append(field)
        fields.append(EventTime(name=TIME, index=len(fields), event=cls.__name__))
        cls.source = Source(cls.__name__, tuple(fields))
        _SOURCES.update(dict.fromkeys(cls.source.values, cls.source))

    def __init__(self) -> None:
        raise SchemaError(f"{type(self).__name__} declares a source; tell the engine its signals by engine.signal()")
