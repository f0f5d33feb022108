"""Policies as TOML files that people review (docs/POLICY.md).

[thresholds]
review = 0.30       # scores from here on go to a person
decline = 0.80      # scores from here on are declined

[fallback]
invalid = "review"  # what happens to an event that cannot be scored
"""

from __future__ import annotations

import os
import re
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from quickthorn.decision.policy import Policy
from quickthorn.errors import PolicyError

# A policy is written by hand; a file past this is something else given by mistake.
_SIZE_LIMIT_BYTES: Final = 1 << 20
_LARGEST: Final = sys.float_info.max
_PATH: Final = re.compile(r"(?P<message>.*?) - at `\$\.?(?P<path>.*)`", re.DOTALL)


@dataclass(frozen=True)
class PolicySource:
    """A policy and the text it was read from; ``origin`` opens the messages about it."""

    policy: Policy
    origin: str = "policy"
    text: str = ""

    def place(self, written: str, column: int = 1) -> str:
        """Where a text stands in the source, as ``origin:line:column`` of its character ``column``, where it is found.

        A condition that is written with escapes, or over several lines in pieces, is not found: then it is the origin.
        """
        at = self.text.find(written) if written else -1
        if at < 0:
            return self.origin
        before = self.text[: at + column - 1]
        return f"{self.origin}:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"


def read_policy(source: str | os.PathLike[str] | Policy, origin: str | None = None) -> PolicySource:
    """The policy in a file or a text, or the one given; PolicyError where it is none."""
    if isinstance(source, Policy):
        return PolicySource(source, origin or "policy", policy_text(source))
    if isinstance(source, str) and ("\n" in source or "\r" in source):
        return _parsed(source, origin or "policy")
    named = origin or os.fspath(source)
    return _parsed(_content(source, named), named)


def policy_text(policy: Policy) -> str:
    """A policy as the text of a policy file."""
    document = _without_nothing(msgspec.to_builtins(policy))
    _flatten(document["thresholds"])
    for segment in document.get("segment", ()):
        _flatten(segment["thresholds"])
    plain = {key: value for key, value in document.items() if not _is_table(value)}
    lines = [f"{key} = {_written(value)}" for key, value in plain.items()]
    for key, value in document.items():
        for table in (value if isinstance(value, list) else [value]) if _is_table(value) else []:
            lines += ["", f"[[{key}]]" if isinstance(value, list) else f"[{key}]"]
            lines += [f"{name} = {_written(inner)}" for name, inner in table.items()]
    return "\n".join(lines).lstrip("\n") + "\n"


def _parsed(text: str, origin: str) -> PolicySource:
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also numbers and nesting beyond what the parser bears
        last_line = len(text.splitlines())
        message = str(error).replace("at end of document", f"at the end of the document, line {last_line}")
        raise PolicyError(f"{origin}: expected TOML, found a syntax error: {message}") from error
    for name in ("thresholds", "fallback"):
        if name not in document:
            raise PolicyError(f"{origin}: {name}: expected a table [{name}], found none")
    _nest(document.get("thresholds"), origin, "thresholds")
    segments = document.get("segment")
    for place, segment in enumerate(segments if isinstance(segments, list) else ()):
        if isinstance(segment, dict):
            _nest(segment.get("thresholds"), origin, f"segment[{place}].thresholds")
    try:
        policy = msgspec.convert(document, Policy)
    except msgspec.ValidationError as error:
        raise PolicyError(f"{origin}: {readable(str(error))}") from None
    return PolicySource(policy, origin, text)


def _nest(thresholds: Any, origin: str, where: str) -> None:
    """Thresholds stand beside ``on`` in a file, and in a record of their own in a policy."""
    if not isinstance(thresholds, dict):
        return
    if "least" in thresholds:
        raise PolicyError(f"{origin}: {where}.least: expected an outcome, found a key that is none")
    least = {key: thresholds.pop(key) for key in list(thresholds) if key != "on"}
    for outcome, value in least.items():
        # bool is an int to Python, and `review = true` is a mistake rather than the threshold 1.
        if isinstance(value, bool) or not isinstance(value, (int, float)) or abs(value) > _LARGEST:
            raise PolicyError(f"{origin}: {where}.{outcome}: expected a finite number, found {_shown(value)}")
        least[outcome] = float(value)
    thresholds["least"] = least


def _without_nothing(value: Any) -> Any:
    """Records as plain values without what is None or empty, which TOML cannot say and readers need not."""
    if isinstance(value, dict):
        return {key: _without_nothing(inner) for key, inner in value.items() if inner not in (None, [], ())}
    return [_without_nothing(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def _flatten(thresholds: dict[str, Any]) -> None:
    thresholds |= thresholds.pop("least")


def readable(message: str) -> str:
    """A message of msgspec's with its path in front, as all of ours have it."""
    found = _PATH.fullmatch(message)
    path = found["path"] if found is not None else ""
    text = (found["message"] if found is not None else message).replace(", got ", ", found ")
    text = text[0].lower() + text[1:] if text.startswith(("Expected", "Object", "Invalid")) else text
    # What a record says of itself has the key in front already.
    joint = "." if re.match(r"[a-z_]+(\.[a-z_]+)*: ", text) else ": "
    return f"{path}{joint}{text}" if path else text


def _content(path: str | os.PathLike[str], origin: str) -> str:
    try:
        with Path(path).open("rb") as file:
            content = file.read(_SIZE_LIMIT_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise PolicyError(f"{origin}: expected a readable policy file, found: {reason}") from error
    if len(content) > _SIZE_LIMIT_BYTES:
        raise PolicyError(f"{origin}: expected a policy file of at most {_SIZE_LIMIT_BYTES} bytes, found a longer one")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise PolicyError(
            f"{origin}: expected UTF-8 text, found byte 0x{content[error.start]:02x} on line {line}"
        ) from error


def _shown(value: object) -> str:
    """A value as a message shows it: strings as TOML spells them, and never pages long."""
    if isinstance(value, (dict, list)):
        return "a table" if isinstance(value, dict) else "an array"
    if isinstance(value, int) and value.bit_length() > 64:
        return "an integer of more than 64 bits"
    text = f'"{value}"' if isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _is_table(value: object) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and all(isinstance(entry, dict) for entry in value))


def _written(value: object) -> str:
    """A value as TOML spells it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # JSON's strings are TOML's too, but for one character that TOML wants escaped.
        return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_written(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_written, value)) + "]"
    return repr(value)
