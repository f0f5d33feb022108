"""What an engine is loaded from: a bundle that is exactly what was compiled, or nothing at all."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import quickthorn as qt
from quickthorn.bundle import read_bundle, write_bundle
from quickthorn.bundle.manifest import library_member
from quickthorn.errors import BundleError, StateError
from quickthorn.native import _native

from .conftest import payments

EVENT = {"event_id": "p", "at": 1_785_000_000_000_000, "customer": "c", "amount": "59.90"}
FORBIDDEN = "numpy numba llvmlite treelite xgboost lightgbm sklearn scipy pandas pyarrow matplotlib rich"


def test_serving_in_a_fresh_interpreter_imports_no_compiler_and_no_training_library(bundle: Path) -> None:
    program = (
        "import sys, quickthorn as qt\n"
        f"engine = qt.Engine.load({str(bundle)!r}, allow_unsigned=True)\n"
        f"assert engine.decide({EVENT!r}).status == 'ok'\n"
        f"engine.score({EVENT!r}), engine.observe({EVENT!r}), engine.features({EVENT!r})\n"
        f"found = [name for name in {FORBIDDEN!r}.split() if name in sys.modules]\n"
        "assert not found, found\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize(
    "member",
    [
        *("library/x86-64-v2.so", "library/x86-64-v3.so", "library/x86-64-v4.so"),
        "policy.toml",
        "golden/features.f64",
        "golden/margins.f64",
        "golden/scores.f64",
        "golden/leaves.i32",
        "golden/events.jsonl",
        "golden/event_features.f64",
        "golden/decisions.jsonl",
        "model.treelite.gz",
    ],
)
@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_a_flipped_bit_in_any_member_is_refused(bundle: Path, tmp_path: Path, member: str, place: str) -> None:
    image = bytearray(bundle.read_bytes())
    listed = {entry.name: entry for entry in read_bundle(bundle).manifest.members}
    area = len(image) - max((entry.offset + entry.size + 63) // 64 * 64 for entry in listed.values())
    begin, size = area + listed[member].offset, listed[member].size
    image[begin + {"first": 0, "middle": size // 2, "last": size - 1}[place]] ^= 0x10
    altered = tmp_path / "altered.qt"
    altered.write_bytes(image)
    with pytest.raises(BundleError, match=f"member {member}: its bytes do not have the digest"):
        qt.Engine.load(altered, allow_unsigned=True)


@pytest.mark.parametrize("kept", [0, 1, 63, 64, 1_000, -1])
def test_a_truncated_bundle_is_refused(bundle: Path, tmp_path: Path, kept: int) -> None:
    image = bundle.read_bytes()
    short = tmp_path / "short.qt"
    short.write_bytes(image[:kept])
    with pytest.raises(BundleError, match="expected"):
        qt.Engine.load(short, allow_unsigned=True)


@pytest.mark.parametrize(
    ("member", "dtype", "message"),
    [
        ("golden/margins.f64", np.uint64, "golden row 3: expected margin"),
        ("golden/leaves.i32", np.uint32, "golden row 0, tree 3: expected leaf"),
        ("golden/scores.f64", np.uint32, "golden row 1: expected score"),
        ("golden/features.f64", None, "golden row 0"),
    ],
)
def test_a_forest_that_disagrees_with_its_golden_vectors_is_refused(
    bundle: Path, tmp_path: Path, member: str, dtype: type | None, message: str
) -> None:
    # Digests in order, contents not: what a miscompiled forest would look like.
    honest = read_bundle(bundle)
    members = {name: bytes(content) for name, content in honest.members.items()}
    if dtype is None:
        members[member] = np.full(len(members[member]) // 8, 1e9).tobytes()
    else:
        words = np.frombuffer(members[member], dtype=dtype).copy()
        words[3] ^= 1 if dtype is np.uint64 or member.endswith("i32") else 1 << 18
        members[member] = words.tobytes()
    lying = tmp_path / "lying.qt"
    write_bundle(lying, honest.manifest, members)
    with pytest.raises(BundleError, match=message):
        qt.Engine.load(lying, allow_unsigned=True)


def test_a_library_that_is_none_is_refused_and_the_loaded_engine_goes_on(
    load: Callable[..., qt.Engine], bundle: Path, tmp_path: Path
) -> None:
    engine = load()
    before = engine.score(EVENT).margin
    honest = read_bundle(bundle)
    members = {name: bytes(content) for name, content in honest.members.items()}
    for target in honest.manifest.targets:
        members[library_member(target)] = b"\x7fELF" + bytes(5_000)
    broken = tmp_path / "broken.qt"
    write_bundle(broken, honest.manifest, members)
    with pytest.raises(BundleError, match=r"broken\.qt: library: cannot be mapped"):
        qt.Engine.load(broken, allow_unsigned=True)
    assert engine.score(EVENT).margin == before


def test_another_processors_bundle_is_refused(bundle: Path, tmp_path: Path) -> None:
    import msgspec

    honest = read_bundle(bundle)
    foreign = tmp_path / "foreign.qt"
    members = {name: content for name, content in honest.members.items() if not name.startswith("library/")}
    members["library/x86-64-v9.so"] = honest.members["library/x86-64-v2.so"]
    write_bundle(foreign, msgspec.structs.replace(honest.manifest, targets=("x86-64-v9",)), members)
    with pytest.raises(BundleError, match=r"expected a processor of level x86-64-v9, found one without it$"):
        qt.Engine.load(foreign, allow_unsigned=True)
    with pytest.raises(BundleError, match=r"found one without it \(asked for: x86-64-v9\)"):
        qt.Engine.load(bundle, target="x86-64-v9", allow_unsigned=True)


def test_every_level_this_processor_runs_decides_alike(bundle: Path, load: Callable[..., qt.Engine]) -> None:
    levels = [level for level in read_bundle(bundle).manifest.targets if _native.processor_supports(level)]
    assert levels
    events = payments(200)
    engines = [load(target=level) for level in levels]
    decided = [[engine.decide(event).margin for event in events] for engine in engines]
    assert all(margins == decided[0] for margins in decided)


def test_a_path_without_a_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"none\.qt: expected a readable bundle file"):
        qt.Engine.load(tmp_path / "none.qt", allow_unsigned=True)
    (tmp_path / "text.qt").write_text(
        "a policy, say, given by mistake; it is long enough to hold a prelude of 64 bytes"
    )
    with pytest.raises(BundleError, match="expected a Quickthorn bundle"):
        qt.Engine.load(tmp_path / "text.qt", allow_unsigned=True)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"errors": "ignore"}, ValueError, 'expected "fallback" or "raise"'),
        ({"hash_key": b"short"}, ValueError, "expected 16 bytes, found 5 bytes"),
        ({"hash_key": "0123456789abcdef"}, ValueError, "expected 16 bytes"),
        ({"max_keys": 0}, StateError, "max_keys: expected 1 to"),
        ({"max_history_bytes": 2**50}, StateError, "max_history_bytes: expected 1 to"),
        ({"max_history_bytes": 2**48}, StateError, "expected to reserve .* bytes of address space"),
    ],
)
def test_limits_that_cannot_be_met_are_refused(
    load: Callable[..., qt.Engine], options: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        load(**options)


def test_engines_of_one_bundle_share_nothing(load: Callable[..., qt.Engine]) -> None:
    one, other = load(), load()
    one.observe(EVENT)
    later = {**EVENT, "event_id": "q", "at": EVENT["at"] + 1}
    assert one.features(later)["count"] == 2.0
    assert other.features(later)["count"] == 1.0


def test_an_engine_is_only_made_by_loading() -> None:
    with pytest.raises(TypeError, match=r"Engine\.load"):
        qt.Engine()


def test_many_engines_can_come_and_go(load: Callable[..., qt.Engine]) -> None:
    margins = {load().score(EVENT).margin for _ in range(50)}
    assert len(margins) == 1
