"""A damaged file is refused, wherever the damage is, with a BundleError and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quickthorn.bundle import Manifest, read_bundle, write_bundle
from quickthorn.errors import BundleError


@pytest.fixture
def image(tmp_path: Path, manifest: Manifest, members: dict[str, bytes]) -> bytes:
    """The bytes of a good bundle."""
    path = tmp_path / "good.qt"
    write_bundle(path, manifest, members)
    return path.read_bytes()


def test_every_flipped_bit_is_refused(image: bytes) -> None:
    # Both kinds of padding have to be there, or the rule that covers them would go untried.
    assert int.from_bytes(image[12:16], "little") % 64
    assert image.endswith(bytes(8))
    loaded = []
    for position in range(len(image)):
        for bit in range(8):
            damaged = bytearray(image)
            damaged[position] ^= 1 << bit
            try:
                read_bundle(bytes(damaged))
            except BundleError:
                continue
            loaded.append((position, bit))
    assert loaded == []


def test_every_truncation_is_refused(image: bytes, tmp_path: Path) -> None:
    loaded = []
    for length in range(len(image)):
        try:
            read_bundle(image[:length])
        except BundleError:
            continue
        loaded.append(length)
    assert loaded == []
    cut = tmp_path / "cut.qt"
    cut.write_bytes(image[:-64])
    with pytest.raises(BundleError, match=f"cut.qt: expected {len(image)} bytes, found {len(image) - 64}.*truncated"):
        read_bundle(cut)


def test_a_file_too_short_to_be_a_bundle_says_so() -> None:
    with pytest.raises(BundleError, match=r"bundle: expected a bundle of at least 64 bytes, found 0"):
        read_bundle(b"")


@pytest.mark.parametrize("appended", [b"\0", b"x", bytes(64), bytes(4096)])
def test_appended_bytes_are_refused(image: bytes, appended: bytes) -> None:
    with pytest.raises(BundleError, match="longer than it was written"):
        read_bundle(image + appended)


def test_two_bundles_end_to_end_are_refused(image: bytes) -> None:
    with pytest.raises(BundleError):
        read_bundle(image + image)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_spliced_files_are_refused(image: bytes, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(image)))
    end = data.draw(st.integers(start, len(image)))
    moved = data.draw(st.one_of(st.binary(max_size=200), st.just(image[end:]), st.just(bytes(end - start))))
    spliced = image[:start] + moved + image[end:]
    if spliced == image:
        return
    with pytest.raises(BundleError):
        read_bundle(spliced)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_arbitrary_bytes_are_refused(content: bytes) -> None:
    for prefix in (b"", b"\x89QTHORN\n", b"\x89QTHORN\n\x01\0\0\0"):
        with pytest.raises(BundleError):
            read_bundle(prefix + content)


def test_another_kind_of_file_is_named_as_such(tmp_path: Path) -> None:
    path = tmp_path / "model.ubj"
    path.write_bytes(b"{L" + bytes(200))
    with pytest.raises(BundleError, match=r"model.ubj: expected a Quickthorn bundle, found a file that starts with"):
        read_bundle(path)


def test_what_is_not_a_regular_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    # A FIFO without a writer must not make the reader wait for one.
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(BundleError, match=r"regular file|directory"):
            read_bundle(path)


@pytest.mark.parametrize("name", ["missing.qt", "nul\0.qt", "n" * 300])
def test_a_path_that_cannot_be_opened_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(BundleError, match="expected a readable bundle file"):
        read_bundle(tmp_path / name)


def test_an_absurdly_long_file_is_refused_unread(tmp_path: Path, image: bytes) -> None:
    path = tmp_path / "sparse.qt"
    path.write_bytes(image)
    os.truncate(path, 1 << 40)
    with pytest.raises(BundleError, match="expected at most 2147483648 bytes"):
        read_bundle(path)


def test_a_file_cut_short_while_it_is_read_is_refused(
    tmp_path: Path, image: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, cut = tmp_path / "whole.qt", tmp_path / "cut.qt"
    whole.write_bytes(image)
    cut.write_bytes(image[:-64])
    status = whole.stat()
    monkeypatch.setattr(os, "fstat", lambda descriptor: status)
    with pytest.raises(BundleError, match=r"cut.qt: expected 64 bytes more, found the end"):
        read_bundle(cut)
