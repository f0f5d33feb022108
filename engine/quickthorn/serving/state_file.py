"""The state file: what one engine remembers, so that another of the same layout goes on as if it had never stopped.

    prelude (64 bytes), layout (JSON), zeros to 64, runs of blocks, a run of none, HMAC-SHA-256 of all that

docs/STATE_FORMAT.md specifies every byte. The blocks are written by the native engine from a copy of the process, so
that decisions go on meanwhile; a file is put together in memory of its own and taken over only once its last byte has
been checked.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import stat
import struct
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from quickthorn.bundle.replacing import replacing, write_whole
from quickthorn.errors import StateError

MAGIC: Final = b"\x89QTSTAT\n"
FORMAT_VERSION: Final = 1
BLOCK_BYTES: Final = 4096
RUN_BLOCKS_MOST: Final = 4096
LAYOUT_LIMIT_BYTES: Final = 16 << 20

# Magic, format version, layout length, state length, reserved zero, check value of the hash key.
_PRELUDE: Final = struct.Struct("<8sIIQQ32s")
_RUN: Final = struct.Struct("<QQ")
_ALIGNMENT_BYTES: Final = 64
_MAC_BYTES: Final = 32
_CHUNK_BYTES: Final = 1 << 20
_OWNER_ONLY: Final = 0o600
assert _PRELUDE.size == _ALIGNMENT_BYTES


class GroupLayout(msgspec.Struct, frozen=True, kw_only=True):
    """What one key keeps: its entity fields, and the digest of how (the manifest's ``layout`` of the group)."""

    entities: tuple[str, ...]
    layout: str


class ComponentLayout(msgspec.Struct, frozen=True, kw_only=True):
    """What links entities: their fields, the most entities of one component, and whether its frauds are counted."""

    entities: tuple[str, ...]
    cap: int
    labelled: bool


class SignalLayout(msgspec.Struct, frozen=True, kw_only=True):
    """What a source of signals says: per field its name, kind, scale and category values."""

    source: str
    fields: tuple[tuple[str, str, int | None, tuple[str, ...]], ...]


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """What must agree between the engine that saved a state and the one that takes it over."""

    abi_version: int
    groups: tuple[GroupLayout, ...]
    components: tuple[ComponentLayout, ...]
    looked_up: tuple[str, ...]
    signals: tuple[SignalLayout, ...]
    max_keys: int
    max_history_bytes: int
    row_limit: int
    lateness_us: int
    expire_after_us: int
    remembered_ids: int


class StateKeys:
    """What is derived from the engine's hash key for its state files; the key itself cannot be found from it."""

    def __init__(self, hash_key: bytes) -> None:
        self.check = hmac.digest(hash_key, b"quickthorn state: check value of the hash key", "sha256")
        self._authentication = hmac.digest(hash_key, b"quickthorn state: authentication of the file", "sha256")

    def mac(self) -> hmac.HMAC:
        """A running HMAC-SHA-256, which only a holder of the hash key can take."""
        return hmac.new(self._authentication, digestmod=hashlib.sha256)


class NativeState(Protocol):
    """The native engine, as far as saving and restoring go."""

    def _state_bytes(self) -> int: ...
    def _save_state(self, descriptor: int, /) -> None: ...
    def _stage_state(self) -> Any: ...
    def _put_state(self, staged: Any, offset: int, content: memoryview, /) -> None: ...
    def _adopt_state(self, staged: Any, /) -> None: ...


def save(engine: NativeState, path: str | os.PathLike[str], layout: Layout, keys: StateKeys) -> None:
    """Write the engine's state as it stands at one moment; StateError where the file cannot be written."""
    origin = os.fspath(path)
    encoded = msgspec.json.encode(layout)
    prelude = _PRELUDE.pack(MAGIC, FORMAT_VERSION, len(encoded), engine._state_bytes(), 0, keys.check)
    try:
        with replacing(Path(path), _OWNER_ONLY) as file:
            write_whole(file, prelude + encoded + bytes(-len(encoded) % _ALIGNMENT_BYTES))
            engine._save_state(file.fileno())
            # Read back: what is authenticated is what the file system has.
            file.seek(0)
            mac = keys.mac()
            while chunk := file.read(_CHUNK_BYTES):
                mac.update(chunk)
            write_whole(file, mac.digest())
    except InterruptedError as error:
        raise StateError(f"{origin}: expected to write the state, found: the copy that writes it was killed") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise StateError(f"{origin}: expected to write the state, found: {_reason(error)}") from error


def restore(engine: NativeState, path: str | os.PathLike[str], layout: Layout, keys: StateKeys) -> None:
    """Take over the state in the file. StateError where any byte of it is not as it was saved, or it was saved by an
    engine of another layout or hash key; then the engine goes on with what it had."""
    origin = os.fspath(path)
    try:
        # Without O_NONBLOCK, opening a FIFO would wait for a writer before its kind could be looked at.
        descriptor = os.open(origin, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(descriptor, "rb", buffering=0) as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise StateError(f"{origin}: expected a state file, found something that is not a regular file")
            engine._adopt_state(_Reading(file, status.st_size, origin, keys).state_of(engine, layout))
    except (OSError, ValueError) as error:
        raise StateError(f"{origin}: expected a readable state file, found: {_reason(error)}") from error


@dataclass
class _Reading:
    """One pass over the file, in which every byte goes into the HMAC as it is taken."""

    file: FileIO
    size_bytes: int
    origin: str
    keys: StateKeys

    def __post_init__(self) -> None:
        self._mac = self.keys.mac()
        self._left_bytes = self.size_bytes
        self._buffer = memoryview(bytearray(_CHUNK_BYTES))

    def state_of(self, engine: NativeState, layout: Layout) -> Any:
        """The whole state, put together beside the engine's own."""
        state_bytes = self._check_layout(layout)
        if state_bytes != engine._state_bytes():
            raise self._fault(f"expected a state of {engine._state_bytes()} bytes, found one of {state_bytes}")
        staged = engine._stage_state()
        blocks = -(-state_bytes // BLOCK_BYTES)
        done = 0
        while True:
            first, count = _RUN.unpack(self._take(_RUN.size))
            if count == 0 and first == blocks:
                break
            if not (done <= first < first + count <= blocks and count <= RUN_BLOCKS_MOST):
                raise self._altered()
            done = first + count
            offset, end = first * BLOCK_BYTES, done * BLOCK_BYTES
            while offset < end:
                content = self._take(min(_CHUNK_BYTES, end - offset))
                engine._put_state(staged, offset, content)
                offset += len(content)
        self._check_end()
        return staged

    def _check_layout(self, layout: Layout) -> int:
        """Everything before the blocks; returns the length of the state."""
        if self.size_bytes < _PRELUDE.size:
            raise self._fault(f"expected a state of at least {_PRELUDE.size} bytes, found {self.size_bytes}")
        magic, version, layout_bytes, state_bytes, reserved, check = _PRELUDE.unpack(self._take(_PRELUDE.size))
        if magic != MAGIC:
            raise self._fault(f"expected a Quickthorn state, found a file that starts with {magic!r}")
        if version != FORMAT_VERSION:
            newer = ": it was saved by a newer quickthorn than this one" if version > FORMAT_VERSION else ""
            raise self._fault(f"expected state format version {FORMAT_VERSION}, found version {version}{newer}")
        if not hmac.compare_digest(check, self.keys.check):
            raise self._fault(
                "expected a state saved under this engine's hash key, found one saved under another; load the engine "
                "with the hash_key that it was saved with"
            )
        if reserved or not 0 < layout_bytes <= LAYOUT_LIMIT_BYTES:
            raise self._altered()
        found = bytes(self._take_whole(layout_bytes))
        if any(self._take_whole(-layout_bytes % _ALIGNMENT_BYTES)):
            raise self._altered()
        if found != msgspec.json.encode(layout):
            self._check_rest()  # a layout that was never written explains nothing
            raise self._fault(_difference(layout, found))
        return int(state_bytes)

    def _check_rest(self) -> None:
        """Takes everything up to the HMAC and checks it."""
        while self._left_bytes > _MAC_BYTES:
            self._take(min(_CHUNK_BYTES, self._left_bytes - _MAC_BYTES))
        self._check_end()

    def _check_end(self) -> None:
        expected = self._mac.digest()
        found = bytes(self._take(_MAC_BYTES))
        if self._left_bytes:
            raise self._fault(f"expected the state to end, found {self._left_bytes} bytes more")
        if not hmac.compare_digest(found, expected):
            raise self._altered()

    def _take_whole(self, count: int) -> bytes:
        """As many bytes, of which there may be more than the buffer holds."""
        taken = bytearray()
        while len(taken) < count:
            taken += self._take(min(_CHUNK_BYTES, count - len(taken)))
        return bytes(taken)

    def _take(self, count: int) -> memoryview:
        """Exactly the next ``count`` bytes; they stay as they are until the next call."""
        view = self._buffer[:count]
        filled = 0
        while filled < count:
            got = self.file.readinto(view[filled:])
            if not got:
                raise self._fault(f"expected {count - filled} bytes more, found the end: the file is truncated")
            filled += got
        self._left_bytes -= count
        self._mac.update(view)
        return view

    def _altered(self) -> StateError:
        return self._fault("expected the bytes that were saved, found others: the file was altered")

    def _fault(self, message: str) -> StateError:
        return StateError(f"{self.origin}: {message}")


def _difference(layout: Layout, encoded: bytes) -> str:
    """The first thing in which a state's layout is not this engine's."""
    try:
        found = msgspec.json.decode(encoded, type=Layout)
    except msgspec.DecodeError:
        return "expected a layout that this quickthorn understands, found another"
    for name in ("abi_version", "max_keys", "max_history_bytes"):
        if (ours := getattr(layout, name)) != (theirs := getattr(found, name)):
            return f"expected a state saved with {name} {ours}, as this engine has, found one saved with {theirs}"
    for name in ("row_limit", "lateness_us", "expire_after_us", "remembered_ids"):
        if (ours := getattr(layout, name)) != (theirs := getattr(found, name)):
            return f"expected a state of a bundle with {name} {ours}, found one of a bundle with {theirs}"
    ours_kept, theirs_kept = ([" × ".join(group.entities) for group in one.groups] for one in (layout, found))
    if ours_kept != theirs_kept:
        return f"expected a state of {_listed(ours_kept)}, found one of {_listed(theirs_kept)}"
    for ours_group, theirs_group in zip(layout.groups, found.groups, strict=True):
        if ours_group != theirs_group:
            name = " × ".join(ours_group.entities)
            return f"expected a state in which {name} keeps what it keeps in this bundle, found one where it does not"
    if layout.components != found.components:
        return "expected a state of the connected components of this bundle, found one of others"
    if layout.looked_up != found.looked_up:
        return "expected a state of the neighbours that this bundle looks up, found one of others"
    if layout.signals != found.signals:
        return "expected a state of the sources of signals of this bundle, found one of others"
    return "expected this engine's layout, found another spelling of it"


def _listed(names: list[str]) -> str:
    return f"keys {', '.join(names)}" if names else "no keys"


def _reason(error: OSError | ValueError) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)
