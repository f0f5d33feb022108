"""UBJSON, the binary form XGBoost writes its models in (draft 12, numbers big-endian).

XGBoost's own reader is not safe on altered bytes, so a model is read here first and reaches XGBoost only when sound.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from quickthorn.errors import ModelError

# A model nests about ten levels; the limit stops hostile input long before Python's recursion limit.
_MAX_NESTING = 100

_NUMBERS = {b"i": ">b", b"U": ">B", b"I": ">h", b"l": ">i", b"L": ">q", b"d": ">f", b"D": ">d"}
# How XGBoost types the arrays it writes and insists on reading.
_ARRAYS = {
    "uint8": (b"U", ">u1"),
    "int32": (b"l", ">i4"),
    "int64": (b"L", ">i8"),
    "float32": (b"d", ">f4"),
}
_LENGTHS = (b"i", b"U", b"I", b"l", b"L")
_CONSTANTS = {b"T": True, b"F": False, b"Z": None}


def read_ubjson(data: bytes, where: str) -> Any:
    """The value the bytes hold: dict, list, str, int, float, bool, None, or a NumPy array for a typed array.

    Raises ModelError, prefixed by `where`, when the bytes are not exactly one UBJSON value.
    """
    reader = _Reader(data, where)
    value = reader.value(reader.take(1), 0)
    if reader.at != len(data):
        raise reader.error(f"{len(data) - reader.at} bytes after the end of the document; expected none")
    return value


class _Reader:
    def __init__(self, data: bytes, where: str) -> None:
        self.data = data
        self.where = where
        self.at = 0

    def error(self, problem: str) -> ModelError:
        return ModelError(f"{self.where}: byte {self.at}: {problem}")

    def take(self, count: int) -> bytes:
        """The next bytes; the file is truncated if there are fewer."""
        taken = self.data[self.at : self.at + count]
        if len(taken) != count:
            raise self.error(f"the file ends where {count} more bytes are expected; it is truncated or altered")
        self.at += count
        return taken

    def accept(self, token: bytes) -> bool:
        """Step over the token if it is next."""
        found = self.data[self.at : self.at + 1] == token
        self.at += found
        return found

    def number(self, kind: bytes) -> Any:
        layout = _NUMBERS[kind]
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def length(self) -> int:
        kind = self.take(1)
        if kind not in _LENGTHS:
            raise self.error(f"expected a length, got type {kind!r}")
        length = int(self.number(kind))
        # Every item takes at least a byte except typed constants, which no model uses; so a longer one is a lie.
        if not 0 <= length <= len(self.data) - self.at:
            raise self.error(f"length {length} does not fit the {len(self.data) - self.at} bytes left")
        return length

    def text(self) -> str:
        raw = self.take(self.length())
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            raise self.error("a text is not UTF-8") from None

    def value(self, kind: bytes, nesting: int) -> Any:
        if nesting > _MAX_NESTING:
            raise self.error(f"nested deeper than {_MAX_NESTING} levels")
        if kind == b"{":
            return self.mapping(nesting)
        if kind == b"[":
            return self.array(nesting)
        if kind == b"S":
            return self.text()
        if kind == b"C":
            return self.take(1).decode("latin-1")
        if kind in _NUMBERS:
            return self.number(kind)
        if kind in _CONSTANTS:
            return _CONSTANTS[kind]
        raise self.error(f"unknown type {kind!r}")

    def mapping(self, nesting: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        count = self.length() if self.accept(b"#") else None
        while len(result) != count if count is not None else not self.accept(b"}"):
            key = self.text()
            if key in result:
                raise self.error(f"the key {key!r} occurs twice")
            result[key] = self.value(self.take(1), nesting + 1)
        return result

    def array(self, nesting: int) -> Any:
        kind = self.take(1) if self.accept(b"$") else None
        if self.accept(b"#"):
            count = self.length()
            if kind in _NUMBERS:
                dtype = np.dtype(_NUMBERS[kind])
                return np.frombuffer(self.take(count * dtype.itemsize), dtype).astype(dtype.newbyteorder("="))
            return [self.value(kind or self.take(1), nesting + 1) for _ in range(count)]
        if kind is not None:
            raise self.error("a typed array has no length")
        items: list[Any] = []
        while not self.accept(b"]"):
            items.append(self.value(self.take(1), nesting + 1))
        return items


def write_ubjson(value: Any) -> bytes:
    """A value of str keys, str, numbers, lists and NumPy arrays as XGBoost spells UBJSON.

    Lengths and ints have 64 bits, and floats 32: a float that is no float32 is rounded to one.
    """
    if isinstance(value, dict):
        return b"{" + b"".join(_counted(key) + write_ubjson(item) for key, item in value.items()) + b"}"
    if isinstance(value, str):
        return b"S" + _counted(value)
    if isinstance(value, np.ndarray):
        kind, layout = _ARRAYS[value.dtype.name]
        return b"[$" + kind + b"#L" + struct.pack(">q", len(value)) + value.astype(layout).tobytes()
    if isinstance(value, float):
        return b"d" + struct.pack(">f", value)
    if isinstance(value, int):
        return b"L" + struct.pack(">q", value)
    return b"[#L" + struct.pack(">q", len(value)) + b"".join(map(write_ubjson, value))


def _counted(text: str) -> bytes:
    raw = text.encode("utf-8")
    return b"L" + struct.pack(">q", len(raw)) + raw
