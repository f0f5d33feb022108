"""A bundle of every released format loads for ever, and decides what it decided on the day it was made."""

from __future__ import annotations

import json
import math
import platform
from typing import Any

import pytest

import quickthorn as qt
from quickthorn.bundle import FORMAT_VERSION, read_bundle
from quickthorn.bundle.distributions import read_reference
from quickthorn.cli import main
from quickthorn.compiling.source_model import trained_model
from quickthorn.errors import BundleError
from quickthorn.native import _native
from quickthorn.signing import Trust

from .frozen.make import FOLDER, HASH_KEY, answer

FROZEN = sorted(path.name for path in FOLDER.glob("*.qt"))
# Formats that are read no more: name of the file → how the refusal begins. docs/BUNDLE_FORMAT.md says why.
REFUSED: dict[str, str] = {}
READ = [name for name in FROZEN if name not in REFUSED]
IDS = {"format-4.qt": "afcce2173fc57990382ae944930f01e47ca55bf02706e252aa47d73efe600964"}

runs_here = pytest.mark.skipif(
    platform.machine() != "x86_64" or not _native.processor_supports("x86-64-v2"),
    reason="frozen bundles hold a library for x86-64-v2, which this processor does not run",
)


def test_the_present_format_is_frozen() -> None:
    assert f"format-{FORMAT_VERSION}.qt" in FROZEN, "see tests/bundle/frozen/README.md for what to do"
    assert set(FROZEN) == set(IDS), "a frozen file is never made again, renamed or taken away"


@pytest.mark.parametrize("name", READ)
def test_every_byte_of_it_is_read_and_trusted(name: str) -> None:
    bundle = read_bundle(FOLDER / name)
    assert bundle.bundle_id == IDS[name], "the file is not the one that was frozen: take it back from version control"
    assert list(bundle.members) == sorted(bundle.manifest.expected_members())
    (signer,) = Trust.from_toml(FOLDER / name.replace(".qt", ".trust.toml")).check(bundle, name)
    assert signer.role == "builder"


@pytest.mark.parametrize("name", READ)
def test_what_is_in_it_is_understood(name: str) -> None:
    bundle = read_bundle(FOLDER / name)
    found = read_reference(bundle)
    assert found is not None
    assert found.rows == 2_000
    from_file = trained_model(FOLDER / name.removesuffix(".qt") / "model.json").ensemble
    from_bundle = trained_model(FOLDER / name).ensemble
    for part in ("threshold", "leaf_value", "leaf_id", "feature", "base_margin"):
        assert getattr(from_file, part).tolist() == getattr(from_bundle, part).tolist()


@runs_here
@pytest.mark.parametrize("name", READ)
def test_it_decides_what_it_decided(name: str) -> None:
    engine = qt.Engine.load(FOLDER / name, hash_key=HASH_KEY, trust=FOLDER / name.replace(".qt", ".trust.toml"))
    seen = set()
    for line in (FOLDER / name.replace(".qt", ".decisions.jsonl")).read_text().splitlines():
        step: dict[str, Any] = json.loads(line)
        if "label" in step:
            engine.label(*step["label"])
        elif "signal" in step:
            engine.signal(*step["signal"])
        else:
            found, expected = answer(engine.decide(step["event"], features=True)), step["expected"]
            for part, tolerance in (("features", 1e-9), ("score", 1e-12)):
                held, wanted = numbers(found.pop(part)), numbers(expected.pop(part))
                assert held == pytest.approx(wanted, rel=tolerance, nan_ok=True), (part, step["event"])
            assert found == expected, step["event"]
            seen.add((expected["status"], expected["outcome"]))
    assert {status for status, _ in seen} == {"ok", "late", "invalid"}
    assert len({outcome for _, outcome in seen}) == 4


@runs_here
@pytest.mark.parametrize("name", READ)
def test_it_verifies(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    trust = FOLDER / name.replace(".qt", ".trust.toml")
    assert main(["verify", str(FOLDER / name), "--trust", str(trust), "--json", "--quiet"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["golden_events"], found["golden_rows"], found["targets_run"]) == (256, 512, ["x86-64-v2"])


def test_formats_that_are_read_no_more_are_refused_by_name() -> None:
    assert set(REFUSED) <= set(FROZEN)
    for name, sentence in REFUSED.items():
        with pytest.raises(BundleError, match=sentence):
            read_bundle(FOLDER / name)


def numbers(found: Any) -> Any:
    """NaN for None, in a value or by name."""
    if isinstance(found, dict):
        return {name: numbers(value) for name, value in found.items()}
    return math.nan if found is None else found
