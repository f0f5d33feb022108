"""The bundle archive: a small container of named members in which every byte is covered by a digest or a rule.

    prelude (64 bytes), manifest (JSON), zeros, member, zeros, member, zeros ... signature block

where each run of zeros ends at a multiple of 64; docs/BUNDLE_FORMAT.md specifies every byte. The block is there only
where somebody has signed, and is no part of what the bundle id stands for. A file is read once, into memory: sizes are
held to limits before anything of that size is allocated, and digests are taken of the very bytes that are handed on.
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO, FileIO
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec

from quickthorn.bundle.envelope import Envelope
from quickthorn.bundle.forest_manifest import ForestManifest
from quickthorn.bundle.manifest import Manifest, Member, check_member_name
from quickthorn.bundle.manifest_json import AnyManifest, decode_manifest, encode_manifest
from quickthorn.bundle.replacing import replacing, write_whole
from quickthorn.bundle.signature_block import BLOCK_LIMIT_BYTES, BLOCK_MAGIC, decode_block, encode_block
from quickthorn.errors import BundleError

MAGIC: Final = b"\x89QTHORN\n"
CONTAINER_VERSION: Final = 1
ALIGNMENT_BYTES: Final = 64
MANIFEST_LIMIT_BYTES: Final = 16 << 20
MEMBER_LIMIT: Final = 64
FILE_LIMIT_BYTES: Final = 2 << 30

# Magic, container version, manifest length, file length, reserved zero; the SHA-256 of these and the manifest follows.
_PRELUDE: Final = struct.Struct("<8sIIQQ")
_DIGEST_BYTES: Final = 32
_PRELUDE_BYTES: Final = _PRELUDE.size + _DIGEST_BYTES
assert _PRELUDE_BYTES == ALIGNMENT_BYTES


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle whose every byte has been checked.

    ``manifest``    what the bundle says about itself
    ``members``     member name → its bytes, as a read-only view of the one copy in memory
    ``bundle_id``   SHA-256 of the header in hex: it covers the manifest, and by the digests in it every member
    ``size_bytes``  length of the whole file
    ``envelopes``   what was signed of it; nobody has judged the signatures yet (``Trust.check`` does)
    """

    manifest: Manifest
    members: Mapping[str, memoryview]
    bundle_id: str
    size_bytes: int
    envelopes: tuple[Envelope, ...] = ()

    @property
    def short_id(self) -> str:
        """The first 16 hex characters of the bundle id, for people and for log lines."""
        return self.bundle_id[:16]


@dataclass(frozen=True, slots=True)
class ForestFile:
    """A forest file whose every byte has been checked; its fields are those of ``Bundle``."""

    manifest: ForestManifest
    members: Mapping[str, memoryview]
    forest_id: str
    size_bytes: int
    envelopes: tuple[Envelope, ...] = ()


def write_bundle(path: str | os.PathLike[str], manifest: Manifest, members: Mapping[str, bytes | memoryview]) -> str:
    """Write a bundle file and return its bundle id (64 hex characters).

    ``manifest.members`` is worked out here and whatever it held is replaced. The same manifest and members give the
    same bytes. The file appears whole or not at all: it is written beside its destination, synced, and renamed over
    it, so any failure, a kill included, leaves what was there before. What a reader would refuse is refused before
    anything is written; that and failures of the file system raise BundleError.
    """
    return _write(path, manifest, members)


def write_forest(
    path: str | os.PathLike[str], manifest: ForestManifest, members: Mapping[str, bytes | memoryview]
) -> str:
    """Write a forest file and return its id (64 hex characters), in all else as ``write_bundle`` writes a bundle."""
    return _write(path, manifest, members)


def pack_bundle(manifest: Manifest, members: Mapping[str, bytes | memoryview]) -> bytes:
    """The bytes of a bundle file."""
    return _assemble(manifest, members, "bundle")


def pack_forest(manifest: ForestManifest, members: Mapping[str, bytes | memoryview]) -> bytes:
    """The bytes of a forest file."""
    return _assemble(manifest, members, "forest")


def read_bundle(source: str | os.PathLike[str] | bytes) -> Bundle:
    """Read a bundle from a file, or from the bytes of one, and check every byte of it.

    Anything that is not exactly a bundle this release understands raises BundleError saying what and where.
    """
    return Bundle(*_read_any(source, Manifest, "bundle"))


def read_forest(source: str | os.PathLike[str] | bytes) -> ForestFile:
    """Read a forest file, or the bytes of one, and check every byte of it, as ``read_bundle`` does of a bundle."""
    return ForestFile(*_read_any(source, ForestManifest, "forest"))


def write_signatures(path: str | os.PathLike[str], bundle_id: str, envelopes: tuple[Envelope, ...]) -> None:
    """Put these envelopes behind the image of a bundle or forest file, in place of those that are there.

    The file is replaced as a whole or not at all. BundleError where it is not the file of that id any more, or cannot
    be written.
    """
    origin = os.fspath(path)
    try:
        image = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise BundleError(f"{origin}: expected a readable bundle file, found: {_reason(error)}") from error
    _, found_id, image_bytes = _read_header(BytesIO(image), len(image), origin)
    if found_id != bundle_id:
        raise BundleError(f"{origin}: expected bundle {bundle_id[:16]}, found {found_id[:16]}")
    _replace_file(Path(path), image[:image_bytes] + encode_block(envelopes, origin), origin)


def _write(
    path: str | os.PathLike[str], manifest: Manifest | ForestManifest, members: Mapping[str, bytes | memoryview]
) -> str:
    origin = os.fspath(path)
    image = _assemble(manifest, members, origin)
    file_id = _read(BytesIO(image), len(image), type(manifest), origin)[2]
    _replace_file(Path(path), image, origin)
    return file_id


def _read_any(
    source: str | os.PathLike[str] | bytes, manifest_type: type[AnyManifest], what: str
) -> tuple[AnyManifest, Mapping[str, memoryview], str, int, tuple[Envelope, ...]]:
    if isinstance(source, bytes):
        return _read(BytesIO(source), len(source), manifest_type, what)
    origin = os.fspath(source)
    try:
        # Without O_NONBLOCK, opening a FIFO would wait for a writer before its kind could be looked at.
        descriptor = os.open(origin, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(descriptor, "rb", buffering=0) as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise BundleError(f"{origin}: expected a {what} file, found something that is not a regular file")
            return _read(file, status.st_size, manifest_type, origin)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise BundleError(f"{origin}: expected a readable {what} file, found: {_reason(error)}") from error


def _read(
    file: FileIO | BytesIO, size_bytes: int, manifest_type: type[AnyManifest], origin: str
) -> tuple[AnyManifest, Mapping[str, memoryview], str, int, tuple[Envelope, ...]]:
    encoded, file_id, image_bytes = _read_header(file, size_bytes, origin)
    manifest = decode_manifest(encoded, manifest_type, origin)
    area_bytes = image_bytes - file.tell()
    _check_layout(manifest, area_bytes, origin)
    area = _take(file, area_bytes, origin)
    members: dict[str, memoryview] = {}
    for member in manifest.members:
        end = member.offset + member.size
        content = area[member.offset : end]
        if hashlib.sha256(content).hexdigest() != member.sha256:
            raise BundleError(f"{origin}: member {member.name}: its bytes do not have the digest the manifest gives")
        _check_zeros(area[end : _aligned(end)], f"after member {member.name}", origin)
        members[member.name] = content
    envelopes = decode_block(_take(file, size_bytes - image_bytes, origin), origin) if size_bytes > image_bytes else ()
    return manifest, MappingProxyType(members), file_id, size_bytes, envelopes


def _read_header(file: FileIO | BytesIO, size_bytes: int, origin: str) -> tuple[memoryview, str, int]:
    """The manifest's bytes, the digest that stands for the whole image, and the image's length."""
    if size_bytes > FILE_LIMIT_BYTES:
        raise BundleError(f"{origin}: expected at most {FILE_LIMIT_BYTES} bytes, found {size_bytes}")
    if size_bytes < _PRELUDE_BYTES:
        raise BundleError(f"{origin}: expected a bundle of at least {_PRELUDE_BYTES} bytes, found {size_bytes}")
    prelude = _take(file, _PRELUDE_BYTES, origin)
    magic, container_version, manifest_bytes, stated_bytes, reserved = _PRELUDE.unpack_from(prelude)
    if magic != MAGIC:
        raise BundleError(f"{origin}: expected a Quickthorn bundle, found a file that starts with {magic!r}")
    if container_version != CONTAINER_VERSION:
        newer = ": it was built by a newer quickthorn than this one" if container_version > CONTAINER_VERSION else ""
        raise BundleError(
            f"{origin}: expected container version {CONTAINER_VERSION}, found version {container_version}{newer}"
        )
    if stated_bytes != size_bytes and not _has_block(file, stated_bytes, size_bytes):
        change = "truncated" if size_bytes < stated_bytes else "longer than it was written"
        raise BundleError(f"{origin}: expected {stated_bytes} bytes, found {size_bytes}: the file is {change}")
    area_start = _aligned(_PRELUDE_BYTES + manifest_bytes)
    if not 0 < manifest_bytes <= MANIFEST_LIMIT_BYTES or area_start > stated_bytes:
        raise BundleError(
            f"{origin}: header: expected a manifest of 1 to {MANIFEST_LIMIT_BYTES} bytes inside the file, "
            f"found a length of {manifest_bytes}"
        )
    if reserved:
        raise BundleError(f"{origin}: header: expected reserved bytes of zero, found {reserved:#x}")
    rest = _take(file, area_start - _PRELUDE_BYTES, origin)
    digest = hashlib.sha256(prelude[: _PRELUDE.size])
    digest.update(rest[:manifest_bytes])
    if digest.digest() != prelude[_PRELUDE.size :]:
        raise BundleError(f"{origin}: header: its bytes do not have the digest the header gives")
    _check_zeros(rest[manifest_bytes:], "after the manifest", origin)
    return rest[:manifest_bytes], digest.hexdigest(), stated_bytes


def _has_block(file: FileIO | BytesIO, image_bytes: int, size_bytes: int) -> bool:
    """Whether what lies behind the image begins as a signature block does; the place in the file stays as it was."""
    if not _PRELUDE_BYTES <= image_bytes <= size_bytes - len(BLOCK_MAGIC):
        return False
    if size_bytes - image_bytes > BLOCK_LIMIT_BYTES:
        return False
    place = file.tell()
    file.seek(image_bytes)
    opening = file.read(len(BLOCK_MAGIC))
    file.seek(place)
    return opening == BLOCK_MAGIC


def _check_layout(manifest: Manifest | ForestManifest, area_bytes: int, origin: str) -> None:
    """The members lie in order of name, end to end, and fill the area: no gap, no overlap, nothing unlisted."""
    if len(manifest.members) > MEMBER_LIMIT:
        raise BundleError(f"{origin}: expected at most {MEMBER_LIMIT} members, found {len(manifest.members)}")
    expected_members = manifest.expected_members()
    offset = 0
    previous = ""
    for member in manifest.members:
        where = f"{origin}: member {member.name}"
        if member.name <= previous:
            rule = "once" if member.name == previous else f"before {previous}"
            raise BundleError(f"{where}: expected members in order of name, each {rule}")
        if member.name not in expected_members:
            raise BundleError(f"{where}: expected only {', '.join(sorted(expected_members))} in this bundle")
        if member.offset != offset:
            problem = "it overlaps what comes before" if member.offset < offset else "unlisted bytes lie before it"
            raise BundleError(f"{where}: expected at offset {offset}, found at {member.offset}: {problem}")
        if member.size > area_bytes - offset:
            raise BundleError(f"{where}: expected at most {area_bytes - offset} bytes left, found {member.size}")
        size = expected_members[member.name]
        if size is not None and member.size != size:
            raise BundleError(f"{where}: expected {size} bytes by the shapes in the manifest, found {member.size}")
        offset = _aligned(offset + member.size)
        previous = member.name
    missing = sorted(set(expected_members) - {member.name for member in manifest.members})
    if missing:
        raise BundleError(f"{origin}: member {missing[0]}: expected by the manifest, found missing")
    if offset != area_bytes:
        raise BundleError(
            f"{origin}: expected members to end at {offset} of their area, found {area_bytes} bytes in it"
        )


def _assemble(manifest: Manifest | ForestManifest, members: Mapping[str, bytes | memoryview], origin: str) -> bytes:
    area: list[bytes | memoryview] = []
    listed: list[Member] = []
    offset = 0
    for name, content in sorted(members.items()):
        try:
            check_member_name(name)
        except ValueError as error:
            raise BundleError(f"{origin}: {error}") from error
        size = memoryview(content).nbytes
        if not size:
            raise BundleError(f"{origin}: member {name}: expected at least one byte, found none")
        listed.append(Member(name=name, offset=offset, size=size, sha256=hashlib.sha256(content).hexdigest()))
        end = offset + size
        offset = _aligned(end)
        area += (content, bytes(offset - end))
    encoded = encode_manifest(msgspec.structs.replace(manifest, members=tuple(listed)), origin)
    area_start = _aligned(_PRELUDE_BYTES + len(encoded))
    prelude = _PRELUDE.pack(MAGIC, CONTAINER_VERSION, len(encoded), area_start + offset, 0)
    digest = hashlib.sha256(prelude + encoded).digest()
    padding = bytes(area_start - _PRELUDE_BYTES - len(encoded))
    return b"".join((prelude, digest, encoded, padding, *area))


def _replace_file(path: Path, image: bytes, origin: str) -> None:
    try:
        with replacing(path) as file:
            write_whole(file, image)
    except (OSError, ValueError) as error:
        raise BundleError(f"{origin}: expected to write the file, found: {_reason(error)}") from error


def _take(file: FileIO | BytesIO, count: int, origin: str) -> memoryview:
    """Exactly the next ``count`` bytes, read-only."""
    buffer = bytearray(count)
    view = memoryview(buffer)
    filled = 0
    while filled < count:
        got = file.readinto(view[filled:])
        if not got:
            raise BundleError(f"{origin}: expected {count - filled} bytes more, found the end: the file was cut short")
        filled += got
    return view.toreadonly()


def _check_zeros(padding: memoryview, where: str, origin: str) -> None:
    if any(padding):
        raise BundleError(f"{origin}: expected padding of zeros {where}, found other bytes")


def _aligned(offset: int) -> int:
    return -(-offset // ALIGNMENT_BYTES) * ALIGNMENT_BYTES


def _reason(error: OSError | ValueError) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)
