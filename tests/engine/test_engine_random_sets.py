"""Any feature set over any event class says, for any stream, what the executable specification says."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.engine.conftest import Pair, Specimen
from tests.engine.random_sets import feature_sets, streams

from quickthorn.compiling import compile_bundle

STREAMS_PER_SET = 6
NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sets")


@settings(
    max_examples=4,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
@given(features=feature_sets(), data=st.data())
def test_any_feature_set_gives_what_the_specification_gives(folder: Path, features: Any, data: st.DataObject) -> None:
    path = folder / f"{next(NUMBERS)}.qt"
    compile_bundle(features=features, output=path, target="x86-64-v2")
    for _ in range(STREAMS_PER_SET):
        pair = Pair(Specimen(path, features, None, None))
        for event in data.draw(streams(features)):
            pair.tell("observe", event)
