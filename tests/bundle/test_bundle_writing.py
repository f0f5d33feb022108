"""A bundle file appears whole or not at all, whatever stops the writer."""

from __future__ import annotations

import os
import pickle
import signal
import stat
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from quickthorn.bundle import Manifest, read_bundle, write_bundle
from quickthorn.errors import BundleError

Members = dict[str, bytes]

_WRITE = """
import pickle, sys
from quickthorn.bundle import write_bundle
path, manifest, members = pickle.load(sys.stdin.buffer)
{sabotage}
write_bundle(path, manifest, members)
"""
# Each stops the writer with no chance to clean up: in the middle of its bytes, after them, and before the rename.
_KILLS = {
    "while writing": (
        "import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_DFL)\n"
        "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))"
    ),
    "before the sync": "import os; os.fsync = lambda descriptor: os.kill(os.getpid(), 9)",
    "before the rename": "import os; os.replace = lambda old, new: os.kill(os.getpid(), 9)",
}


@pytest.fixture
def old(tmp_path: Path, manifest: Manifest, members: Members) -> Path:
    """A good bundle that is already in place."""
    path = tmp_path / "fraud.qt"
    write_bundle(path, manifest, members)
    return path


@pytest.mark.parametrize("moment", _KILLS)
def test_a_killed_writer_leaves_the_old_file(old: Path, manifest: Manifest, members: Members, moment: str) -> None:
    before = old.read_bytes()
    given = pickle.dumps((str(old), msgspec.structs.replace(manifest, row_limit=1), members))
    writer = subprocess.run(
        [sys.executable, "-c", _WRITE.format(sabotage=_KILLS[moment])], input=given, capture_output=True, check=False
    )
    assert writer.returncode in (-signal.SIGKILL, -signal.SIGXFSZ), writer.stderr.decode()
    assert old.read_bytes() == before
    assert len(list(old.parent.iterdir())) == 2  # the writer did get as far as a partial file
    write_bundle(old, msgspec.structs.replace(manifest, row_limit=1), members)
    assert read_bundle(old).manifest.row_limit == 1


def test_a_full_disk_is_an_error_and_leaves_the_old_file(old: Path, manifest: Manifest, members: Members) -> None:
    # A limit on file size fails a write part of the way through, as a full disk does.
    before = old.read_bytes()
    given = pickle.dumps((str(old), manifest, members))
    sabotage = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))"
    writer = subprocess.run(
        [sys.executable, "-c", _WRITE.format(sabotage=sabotage)], input=given, capture_output=True, check=False
    )
    assert b"BundleError" in writer.stderr
    assert b"fraud.qt: expected to write the file, found: File too large" in writer.stderr
    assert old.read_bytes() == before
    assert list(old.parent.iterdir()) == [old]


def test_an_interrupted_writer_cleans_up(
    old: Path, manifest: Manifest, members: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = old.read_bytes()

    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_bundle(old, manifest, members)
    assert old.read_bytes() == before
    assert list(old.parent.iterdir()) == [old]


def test_the_file_is_synced_before_it_takes_the_name(
    old: Path, manifest: Manifest, members: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A rename that reaches the disk before the content would leave an empty file after a loss of power.
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace

    def record_fsync(descriptor: int) -> None:
        steps.append("sync directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "sync file")
        fsync(descriptor)

    def record_replace(source: Path, target: Path) -> None:
        steps.append("rename")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(os, "replace", record_replace)
    write_bundle(old, manifest, members)
    assert steps == ["sync file", "rename", "sync directory"]


def test_the_file_gets_the_usual_permissions(old: Path, manifest: Manifest, members: Members) -> None:
    # The service that loads a bundle often runs as another user than the one who built it.
    mask = os.umask(0o022)
    try:
        write_bundle(old, manifest, members)
    finally:
        os.umask(mask)
    assert stat.S_IMODE(old.stat().st_mode) == 0o644


@pytest.mark.parametrize("name", ["../escape", "/etc/passwd", "Upper", "", "a//b"])
def test_a_bad_member_name_is_refused_before_writing(
    old: Path, manifest: Manifest, members: Members, name: str
) -> None:
    before = old.read_bytes()
    with pytest.raises(BundleError, match=r"fraud.qt: member name: expected"):
        write_bundle(old, manifest, {**members, name: b"x"})
    assert old.read_bytes() == before


def test_members_that_do_not_fit_the_manifest_are_refused_before_writing(
    old: Path, manifest: Manifest, members: Members
) -> None:
    before = old.read_bytes()
    wrong: list[tuple[Members, str]] = [
        ({**members, "notes.txt": b"x"}, "member notes.txt: expected only"),
        (
            {name: content for name, content in members.items() if name != "library/x86-64-v3.so"},
            "library/x86-64-v3.so: expected by",
        ),
        ({**members, "golden/margins.f64": bytes(8)}, "golden/margins.f64: expected 16 bytes by the shapes"),
        ({**members, "library/x86-64-v3.so": b""}, "library/x86-64-v3.so: expected at least one byte, found none"),
    ]
    for given, message in wrong:
        with pytest.raises(BundleError, match=message):
            write_bundle(old, manifest, given)
    assert old.read_bytes() == before


def test_a_manifest_with_values_out_of_range_is_refused_before_writing(
    old: Path, manifest: Manifest, members: Members
) -> None:
    before = old.read_bytes()
    for change, path in (
        ({"row_limit": 0}, "row_limit"),
        ({"lateness_us": -1}, "lateness_us"),
        ({"targets": ("",)}, r"targets\[0\]"),
    ):
        with pytest.raises(BundleError, match=rf"fraud.qt: manifest: Expected .* - at `\$.{path}`"):
            write_bundle(old, msgspec.structs.replace(manifest, **change), members)
    assert old.read_bytes() == before


def test_a_manifest_past_its_limit_is_refused_before_writing(old: Path, manifest: Manifest, members: Members) -> None:
    before = old.read_bytes()
    flags = tuple(["-" + "D" * 4000] * 4200)
    long = msgspec.structs.replace(manifest, tools=msgspec.structs.replace(manifest.tools, flags=flags))
    with pytest.raises(BundleError, match="expected a manifest of 1 to 16777216 bytes"):
        write_bundle(old, long, members)
    assert old.read_bytes() == before


def test_a_directory_that_is_not_there_is_an_error(tmp_path: Path, manifest: Manifest, members: Members) -> None:
    with pytest.raises(BundleError, match=r"expected to write the file, found: No such file or directory"):
        write_bundle(tmp_path / "nowhere" / "fraud.qt", manifest, members)


def test_a_directory_in_the_way_is_an_error_and_nothing_is_left(
    tmp_path: Path, manifest: Manifest, members: Members
) -> None:
    (tmp_path / "fraud.qt").mkdir()
    with pytest.raises(BundleError, match=r"fraud.qt: expected to write the file, found: Is a directory"):
        write_bundle(tmp_path / "fraud.qt", manifest, members)
    assert [entry.name for entry in tmp_path.iterdir()] == ["fraud.qt"]
