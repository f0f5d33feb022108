"""What is written is what is read, and nothing but the inputs decides the bytes."""

from __future__ import annotations

import hashlib
import os
import pickle
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from quickthorn.bundle import CalibrationSummary, Manifest, read_bundle, write_bundle
from quickthorn.decision import Policy
from quickthorn.errors import BundleError

Members = dict[str, bytes]


def test_a_written_bundle_reads_back(tmp_path: Path, manifest: Manifest, members: Members) -> None:
    path = tmp_path / "fraud.qt"
    bundle_id = write_bundle(path, manifest, members)
    bundle = read_bundle(path)
    assert {name: bytes(content) for name, content in bundle.members.items()} == members
    assert msgspec.structs.replace(bundle.manifest, members=()) == manifest
    assert bundle.bundle_id == bundle_id
    assert bundle.short_id == bundle_id[:16]
    assert bundle.size_bytes == path.stat().st_size


def test_the_bytes_of_a_file_read_like_the_file(tmp_path: Path, manifest: Manifest, members: Members) -> None:
    path = tmp_path / "fraud.qt"
    bundle_id = write_bundle(path, manifest, members)
    assert read_bundle(path.read_bytes()).bundle_id == bundle_id


def test_the_file_is_what_the_format_document_says(
    tmp_path: Path,
    manifest: Manifest,
    members: Members,
    document: dict[str, Any],
    area: bytes,
    handmade: Callable[..., bytes],
) -> None:
    path = tmp_path / "fraud.qt"
    bundle_id = write_bundle(path, manifest, members)
    expected = handmade(document, area)
    assert path.read_bytes() == expected
    header_bytes = 64 + int.from_bytes(expected[12:16], "little")
    assert bundle_id == hashlib.sha256(expected[:32] + expected[64:header_bytes]).hexdigest()


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path, manifest: Manifest, members: Members) -> None:
    (tmp_path / "elsewhere").mkdir()
    first, second = tmp_path / "a.qt", tmp_path / "elsewhere" / "b.qt"
    write_bundle(first, manifest, members)
    # Another process has another hash seed, and the mapping another order.
    script = (
        "import sys, pickle; from quickthorn.bundle import write_bundle\n"
        "path, manifest, members = pickle.load(sys.stdin.buffer); write_bundle(path, manifest, members)"
    )
    given = pickle.dumps((str(second), manifest, dict(reversed(members.items()))))
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    subprocess.run([sys.executable, "-c", script], input=given, check=True, env=environment)
    assert first.read_bytes() == second.read_bytes()


def test_writing_a_read_bundle_again_gives_the_same_bytes(tmp_path: Path, manifest: Manifest, members: Members) -> None:
    first, second = tmp_path / "a.qt", tmp_path / "b.qt"
    write_bundle(first, manifest, members)
    bundle = read_bundle(first)
    write_bundle(second, bundle.manifest, bundle.members)
    assert first.read_bytes() == second.read_bytes()


def test_a_whole_number_for_a_float_field_is_spelled_as_the_float(
    tmp_path: Path, manifest: Manifest, members: Members
) -> None:
    whole, real = (
        msgspec.structs.replace(manifest, policy=Policy.with_thresholds(review=0, decline=decline, invalid="review"))
        for decline in (1, 1.0)
    )
    assert write_bundle(tmp_path / "a.qt", whole, members) == write_bundle(tmp_path / "b.qt", real, members)


def test_the_id_depends_on_every_member_and_on_the_manifest(
    tmp_path: Path, manifest: Manifest, members: Members
) -> None:
    path = tmp_path / "fraud.qt"
    ids = {write_bundle(path, manifest, members)}
    ids.add(write_bundle(path, msgspec.structs.replace(manifest, row_limit=4097), members))
    for name, content in members.items():
        ids.add(write_bundle(path, manifest, {**members, name: bytes([content[0] ^ 1]) + content[1:]}))
    assert len(ids) == 2 + len(members)


def test_members_cannot_be_changed_after_they_were_verified(
    tmp_path: Path, manifest: Manifest, members: Members
) -> None:
    write_bundle(tmp_path / "fraud.qt", manifest, members)
    bundle = read_bundle(tmp_path / "fraud.qt")
    with pytest.raises(TypeError):
        bundle.members["library/x86-64-v3.so"][0] = 0
    with pytest.raises(TypeError):
        bundle.members["library/x86-64-v3.so"] = memoryview(b"other")  # type: ignore[index]


def test_a_bundle_may_only_compute_features(tmp_path: Path, manifest: Manifest, members: Members) -> None:
    features_only = msgspec.structs.replace(manifest, forest=None, checkpoint=None, policy=None, golden=None)
    called_for = set(features_only.expected_members())
    write_bundle(tmp_path / "features.qt", features_only, {name: members[name] for name in called_for})
    bundle = read_bundle(tmp_path / "features.qt")
    assert bundle.manifest.forest is None
    assert list(bundle.members) == [
        *("golden/decisions.jsonl", "golden/event_features.f64", "golden/events.jsonl"),
        "library/x86-64-v3.so",
    ]


def test_a_bundle_may_give_scores_without_outcomes(tmp_path: Path, manifest: Manifest, members: Members) -> None:
    del members["policy.toml"]
    write_bundle(tmp_path / "scores.qt", msgspec.structs.replace(manifest, policy=None), members)
    assert read_bundle(tmp_path / "scores.qt").manifest.policy is None


def test_a_bundle_may_have_a_calibration(tmp_path: Path, manifest: Manifest, members: Members) -> None:
    summary = CalibrationSummary(method="isotonic", knots=2, sampling_rate=0.5, error_bound=0.0)
    calibrated = msgspec.structs.replace(manifest, calibration=summary)
    knots = struct.pack("<4d", -2.0, 3.0, 0.01, 0.95)
    write_bundle(tmp_path / "a.qt", calibrated, {**members, "calibration/knots.f64": knots})
    bundle = read_bundle(tmp_path / "a.qt")
    assert (bundle.manifest.calibration, bundle.members["calibration/knots.f64"]) == (summary, knots)
    with pytest.raises(BundleError, match=r"calibration/knots.f64: expected 32 bytes"):
        write_bundle(tmp_path / "b.qt", calibrated, {**members, "calibration/knots.f64": knots[:24]})


def test_reading_bundles_imports_nothing_heavy() -> None:
    # The bundle reader is on the serving process's start-up path.
    script = "import sys, quickthorn.bundle; print(*sys.modules)"
    answer = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    loaded = set(answer.stdout.split())
    heavy = {"numpy", "pyarrow", "pandas", "numba", "llvmlite", "treelite", "xgboost", "lightgbm", "sklearn", "rich"}
    assert "quickthorn.bundle.archive" in loaded
    assert not loaded & heavy
