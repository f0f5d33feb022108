"""The event schema: a Python class whose annotations say what an event holds."""

from __future__ import annotations

import inspect
import types
import typing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from quickthorn.errors import SchemaError
from quickthorn.event.fields import Category, EventTime, Field, FieldOptions, Id, Money

_OPTIONS_OF: dict[type[Field], frozenset[str]] = {
    Money: frozenset({"scale", "minor_units", "signed"}),
    Category: frozenset({"values", "closed"}),
}
_MAX_SCALE = 6


@dataclass(frozen=True)
class Schema:
    """The fields of one event class, in declaration order; ``fields[i].index == i``."""

    name: str
    fields: tuple[Field, ...]

    def field(self, name: str) -> Field:
        """The field of that name; SchemaError where there is none."""
        for field in self.fields:
            if field.name == name:
                return field
        raise SchemaError(f"{self.name}.{name}: expected a declared field, found none; declared: {self.names}")

    @property
    def names(self) -> tuple[str, ...]:
        """Field names in declaration order."""
        return tuple(field.name for field in self.fields)

    @property
    def event_id(self) -> Field:
        """The one field that identifies the event."""
        return next(field for field in self.fields if isinstance(field, Id))

    @property
    def event_time(self) -> Field:
        """The one field that says when the event happened."""
        return next(field for field in self.fields if isinstance(field, EventTime))


class _EventType(type):
    if not TYPE_CHECKING:  # a type checker knows which fields there are, and is not to be told that there may be others

        def __getattr__(cls, name: str) -> Any:
            if name.startswith("_") or "schema" not in cls.__dict__:
                raise AttributeError(f"type object {cls.__name__!r} has no attribute {name!r}")
            declared = ", ".join(cls.schema.names)
            raise AttributeError(
                f"{cls.__name__}.{name}: expected a declared field, found none; declared: {declared}",
                name=name,
                obj=cls,
            )


class Event(metaclass=_EventType):
    """Base of event classes. Subclass it with annotated fields; it is a declaration and is never instantiated.

    Exactly one ``Id`` and one ``EventTime`` are required; ``X | None`` makes a field optional; ``field(...)`` gives
    options. A declaration that breaks a rule raises SchemaError naming class and field.
    """

    schema: ClassVar[Schema]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        try:
            annotations = typing.get_type_hints(cls)
        except (NameError, AttributeError) as error:
            raise SchemaError(f"{cls.__name__}: an annotation cannot be resolved: {error}") from error
        annotations.pop("schema")  # this class's own; a field of that name would hide it
        if "schema" in inspect.get_annotations(cls):
            raise SchemaError(f"{cls.__name__}.schema: expected another name for the field, this one is taken")
        fields = []
        for index, (name, annotation) in enumerate(annotations.items()):
            field = declared_field(cls, name, index, annotation)
            setattr(cls, name, field)
            fields.append(field)
        for kind in (Id, EventTime):
            found = [field for field in fields if isinstance(field, kind)]
            if len(found) != 1 or not found[0].required:
                names = ", ".join(field.name for field in found) or "none"
                raise SchemaError(f"{cls.__name__}: expected exactly one required {kind.__name__} field, found {names}")
        cls.schema = Schema(cls.__name__, tuple(fields))

    def __init__(self) -> None:
        raise SchemaError(f"{type(self).__name__} declares events; pass the engine a dict, object, JSON or Arrow row")


def declared_field(cls: type, name: str, index: int, annotation: object) -> Field:
    """The field that an annotation of the class declares; SchemaError where it breaks a rule."""
    where = f"{cls.__name__}.{name}"
    kind, required = _kind(where, annotation)
    value = cls.__dict__.get(name)
    if isinstance(value, Field):  # inherited from a base event class: declared again under this class's name
        options = {o: getattr(value, o) for o in _OPTIONS_OF.get(kind, frozenset())}
    elif isinstance(value, FieldOptions):
        options = value.given
    elif value is None:
        inherited = getattr(cls, name, None)
        options = (
            {o: getattr(inherited, o) for o in _OPTIONS_OF.get(kind, frozenset())}
            if isinstance(inherited, Field)
            else {}
        )
    else:
        raise SchemaError(f"{where}: expected no default other than None or field(...), found {value!r}")
    unfit = sorted(set(options) - _OPTIONS_OF.get(kind, frozenset()))
    if unfit:
        raise SchemaError(f"{where}: {unfit[0]} is not an option of {kind.__name__}")
    _check_options(where, options)
    if "values" in options:
        options = {**options, "values": tuple(options["values"])}
    return kind(name=name, index=index, required=required, event=cls.__name__, **options)


def _kind(where: str, annotation: object) -> tuple[type[Field], bool]:
    required = True
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        members = [member for member in typing.get_args(annotation) if member is not type(None)]
        required = len(members) == len(typing.get_args(annotation))
        annotation = members[0] if len(members) == 1 else annotation
    if not (isinstance(annotation, type) and issubclass(annotation, Field) and annotation is not Field):
        found = getattr(annotation, "__name__", annotation)
        raise SchemaError(
            f"{where}: expected Id, EventTime, Entity, Money, Number, Category, Text or Boolean, found {found}"
        )
    return annotation, required


def _check_options(where: str, options: dict[str, Any]) -> None:
    scale = options.get("scale", 2)
    if not isinstance(scale, int) or isinstance(scale, bool) or not 0 <= scale <= _MAX_SCALE:
        raise SchemaError(f"{where}: scale: expected 0 to {_MAX_SCALE} decimal digits, found {scale!r}")
    values = options.get("values", ())
    if isinstance(values, str) or not all(isinstance(value, str) and value for value in values):
        raise SchemaError(f"{where}: values: expected a tuple of non-empty strings, found {values!r}")
    if len(set(values)) != len(values):
        twice = next(value for value in values if list(values).count(value) > 1)
        raise SchemaError(f"{where}: values: {twice!r} is named twice")
    if options.get("closed") and not values:
        raise SchemaError(f"{where}: closed: expected values to close over, found none")
