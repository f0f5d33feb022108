"""Lowered features linked with a C compiler and called through ctypes, over memory that NumPy owns."""

from __future__ import annotations

import ctypes
import math
import shutil
import struct
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quickthorn.event import Field
from quickthorn.features import FeatureSet
from quickthorn.features.lowering import GroupLayout, LoweredFeatures, lower
from quickthorn.features.plan import plan

MISSING_MONEY = -(2**63)
Compile = Callable[..., "NativeFeatures"]
_COMPILER = shutil.which("gcc") or shutil.which("cc")


def slot_bits(field: Field, value: Any) -> int:
    """A value as its event slot holds it; None is missing."""
    if field.kind in ("money", "event_time"):
        return MISSING_MONEY if value is None else int(value)
    if field.kind in ("id", "entity", "text"):
        return int(value is not None)
    return int(struct.unpack("<q", struct.pack("<d", math.nan if value is None else float(value)))[0])


class NativeFeatures:
    """A feature set's shared library."""

    def __init__(self, features: FeatureSet, lowered: LoweredFeatures, path: Path) -> None:
        self.features = features
        self.lowered = lowered
        self.library = ctypes.CDLL(str(path))

    def function(self, symbol: str) -> Any:
        function = getattr(self.library, symbol)
        function.restype = None
        return function

    def slots(self, **given: Any) -> np.ndarray[Any, np.dtype[np.int64]]:
        """The event row of these field values; money in minor units, missing where not given."""
        fields = self.features.schema.fields
        assert set(given) <= {field.name for field in fields}
        return np.array([slot_bits(field, given.get(field.name)) for field in fields], np.int64)

    def derive(self, values: Sequence[float] = (), **given: Any) -> dict[str, float]:
        """The feature vector of one event, by name."""
        slots, read = self.slots(**given), np.array([*values, 0.0], np.float64)
        vector = np.full(self.lowered.feature_count, 7e77)
        self.function(self.lowered.derive)(_place(slots), _place(read), _place(vector))
        return dict(zip(self.features.names, vector.tolist(), strict=True))

    def history(self, group: int = 0, capacity: int = 8) -> History:
        """An empty history for one entity of a group."""
        return History(self, self.lowered.groups[group], capacity)


class History:
    """One entity's ring and windows, kept as the engine keeps them."""

    def __init__(self, native: NativeFeatures, layout: GroupLayout, capacity: int) -> None:
        self.native, self.layout = native, layout
        self.capacity = capacity
        self.rows = np.zeros((capacity, layout.row_bytes // 8), np.int64)
        self.state = np.zeros(max(1, layout.state_bytes // 8), np.int64)
        self.scratch = np.full(max(1, layout.record_bytes // 8), 7)
        self.hashes = np.zeros((native.lowered.slot_count, 2), np.int64)
        self.frauds = np.zeros((native.lowered.slot_count, 2), np.int64)
        self.first = self.last = 0
        self.fill_function = native.function(layout.fill)
        self.read_function = native.function(layout.read)
        self.absorb_function = native.function(layout.absorb)
        self.release_function = native.function(layout.release)

    def _row(self, position: int) -> np.ndarray[Any, np.dtype[np.int64]]:
        row: np.ndarray[Any, np.dtype[np.int64]] = self.rows[position & (self.capacity - 1)]
        return row

    def insert(self, at: int, **given: Any) -> None:
        """Store an event after every row that is not newer; a full ring lets its oldest row go."""
        if self.last - self.first == self.capacity:
            self.release()
        slots = self.native.slots(at=at, **given)
        position = self.last
        while position > self.first and self._row(position - 1)[0] > at:
            self._row(position)[:] = self._row(position - 1)
            position -= 1
        self._row(position)[0] = at
        self.fill_function(_place(slots), _place(self.hashes), _place(self._row(position)))
        self.last += 1
        if position != self.last - 1:
            self.absorb_function(_place(self.state), _place(self.rows), *_words(self.capacity - 1, position))

    def release(self) -> None:
        """Let the oldest row go."""
        self.release_function(_place(self.state), _place(self.rows), *_words(self.capacity - 1, self.first))
        # Whatever is read from it after this is wrong, and should look so.
        self._row(self.first)[:] = -(2**60)
        self.first += 1

    def read(self, at: int, *, with_current: bool = False, **given: Any) -> list[float]:
        """The group's values at that time."""
        slots = self.native.slots(at=at, **given)
        values = np.full(self.native.lowered.value_count, 7e77)
        self.read_function(
            _place(self.state),
            _place(self.scratch),
            _place(self.rows),
            *_words(self.capacity - 1, self.first, self.last, at, int(with_current)),
            _place(slots),
            _place(self.hashes),
            _place(self.frauds),
            _place(values),
        )
        start = self.layout.value_first
        assert all(values[:start] == 7e77), "another group's values were written"
        assert all(values[start + self.layout.value_count :] == 7e77), "another group's values were written"
        return [float(value) for value in values[start : start + self.layout.value_count]]


def _place(array: np.ndarray[Any, Any]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def _words(*numbers: int) -> list[ctypes.c_int64]:
    return [ctypes.c_int64(number) for number in numbers]


@pytest.fixture(scope="session")
def compile_features(tmp_path_factory: pytest.TempPathFactory) -> Compile:
    """compile_features(features, target="host"): the set's shared library, loaded."""
    if _COMPILER is None:
        pytest.skip("no C compiler to link the object with")
    directory = tmp_path_factory.mktemp("features")

    def compile_features(features: FeatureSet, target: str = "host") -> NativeFeatures:
        lowered = lower(plan(features), target)
        path = directory / f"{len(list(directory.iterdir()))}.o"
        path.write_bytes(lowered.object_bytes)
        library = path.with_suffix(".so")
        subprocess.run([str(_COMPILER), "-shared", "-o", str(library), str(path), "-lm"], check=True)
        return NativeFeatures(features, lowered, library)

    return compile_features
