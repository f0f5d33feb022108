"""What differs between two bundles by what is written in them, line by line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

import msgspec

from quickthorn.bundle import Bundle
from quickthorn.bundle.manifest import POLICY
from quickthorn.lifecycle.inspection import forest_lines, kept_lines, reason_lines

Lines = tuple[str, ...]


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """A line for each difference, with + for what is new and − for what is gone.

    ``schema``    the event's fields
    ``features``  their names, in the order of the model's inputs
    ``kept``      what is kept of entities, how, and how long; signals; tables of constants
    ``forest``    the trained model's kind and size, and the calibration
    ``policy``    the policy file
    ``reason_map``  the reasons, and the features of each
    """

    schema: Lines
    features: Lines
    kept: Lines
    forest: Lines
    policy: Lines
    reason_map: Lines


def changes(old: Bundle, new: Bundle) -> Changes:
    """The differences between two bundles."""
    sides = [_described(bundle) for bundle in (old, new)]
    return Changes(**{subject: _changed(sides[0][subject], sides[1][subject]) for subject in sides[0]})


def _described(bundle: Bundle) -> dict[str, Lines]:
    manifest = bundle.manifest
    # A digest of how a group is kept and computed: the last word where the lines before do not show a difference.
    layouts = (f"layout of {' × '.join(group.entities)}: {group.layout[:16]}" for group in manifest.groups)
    return {
        "schema": _schema_lines(bundle),
        "features": manifest.features,
        "kept": _stripped((*kept_lines(manifest), *layouts)),
        "forest": tuple(" ".join(line.split()) for line in forest_lines(manifest)),
        "policy": _stripped(bytes(bundle.members.get(POLICY, b"")).decode("utf-8").splitlines()),
        "reason_map": _stripped(reason_lines(manifest.reasons)),
    }


def _changed(old: Lines, new: Lines) -> Lines:
    # Lines that moved count too: the order of features is the order of the model's inputs.
    lines = difflib.ndiff(old, new)
    return tuple(line.replace("-", "−", 1) if line[0] == "-" else line for line in lines if line[0] in "+-")


def _stripped(lines: Iterable[str]) -> Lines:
    return tuple(line.strip() for line in lines if line.strip())


def _schema_lines(bundle: Bundle) -> Lines:
    lines = []
    for field in bundle.manifest.schema:
        given = msgspec.structs.asdict(field)
        name, kind = given.pop("name"), given.pop("kind")
        options = ", ".join(f"{option}={value!r}" for option, value in given.items() if value not in (None, False, ()))
        lines.append(f"{name}: {kind} ({options})" if options else f"{name}: {kind}")
    return tuple(lines)
