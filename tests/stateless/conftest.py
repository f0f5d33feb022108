"""Stateless features in a compiled bundle, side by side with the slow reference."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

import quickthorn as qt
from quickthorn.compiling import compile_bundle
from quickthorn.reference import ReferenceEngine


class Both:
    """One feature set, native and as specified. Every read is held against the specification."""

    def __init__(self, features: qt.FeatureSet, native: qt.Engine) -> None:
        self.native = native
        self.reference = ReferenceEngine(features)
        self.tolerance = 0.0
        self.required = {"event_id": "e-1", "at": 0}

    def __call__(self, **event: Any) -> dict[str, float]:
        """The native feature vector of this event; it must be the reference's, within 4 ulp or ``tolerance``."""
        whole = {**self.required, **event}
        found, expected = self.native.features(whole), self.reference.features(whole)
        assert list(found) == list(expected)
        for name, value in expected.items():
            same = found[name] == value or (math.isnan(found[name]) and math.isnan(value))
            near = abs(found[name] - value) <= max(self.tolerance, 4 * math.ulp(value))
            assert same or near, (name, found[name], value, whole)
        return found


@pytest.fixture(scope="session")
def both(tmp_path_factory: pytest.TempPathFactory) -> Callable[[qt.FeatureSet], Both]:
    """both(features): the set compiled for one CPU level, and its reference."""
    folder = tmp_path_factory.mktemp("stateless")

    def both(features: qt.FeatureSet) -> Both:
        path = folder / f"{len(list(folder.iterdir()))}.qt"
        compile_bundle(features=features, output=path, target="x86-64-v2")
        return Both(features, qt.Engine.load(path, allow_unsigned=True))

    return both
