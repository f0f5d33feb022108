"""What was compiled before, kept in files under the identity of all that it was made from.

A file is read only as what it was written as: it begins with a digest of the rest, and the rest names the identity it
was stored under. What is damaged, renamed or somebody else's is not used; it is compiled anew. Files appear whole, by
renaming, so that processes may share a directory.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec

Value = TypeVar("Value")

# Names the directory, or with "off" switches the cache off, where the caller does not say.
VARIABLE = "QUICKTHORN_CACHE"
ENTRIES_MOST = 512
_DIGEST_BYTES = 32
_SUFFIX = ".compiled"
_OTHERS_MAY_WRITE = 0o022


class Cache:
    """A directory of compiled things. ``directory`` None: nothing is kept, everything is compiled."""

    def __init__(self, directory: Path | None) -> None:
        self.directory = directory

    @classmethod
    def chosen(cls, wanted: bool | str | os.PathLike[str]) -> Cache:
        """The cache of a directory; for True the one that ``QUICKTHORN_CACHE`` or the user's cache directory is."""
        if wanted is False:
            return cls(None)
        if wanted is not True:
            return cls(Path(wanted))
        configured = os.environ.get(VARIABLE)
        if configured:
            return cls(None if configured == "off" else Path(configured))
        base = os.environ.get("XDG_CACHE_HOME")
        return cls((Path(base) if base else Path.home() / ".cache") / "quickthorn")

    def get(self, identity: str | None, kind: type[Value], make: Callable[[], Value]) -> Value:
        """What is stored under the identity, else what ``make`` makes, which is then stored.

        Without an identity it is made and not stored.
        """
        if self.directory is None or identity is None:
            return make()
        path = self.directory / f"{identity}{_SUFFIX}"
        found = _read(path, identity, kind)
        if found is not None:
            return found
        made = make()
        # A full disk or a directory that cannot be written costs the next compilation its time, and nothing else.
        with suppress(OSError):
            _write(path, identity, made)
            _limit(self.directory)
        return made


def _read(path: Path, identity: str, kind: type[Value]) -> Value | None:
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if status.st_uid != os.geteuid() or status.st_mode & _OTHERS_MAY_WRITE:
                return None
            content = file.read()
    except OSError:
        return None
    digest, payload = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    if hashlib.sha256(payload).digest() != digest:
        return None
    try:
        stored_under, value = msgspec.msgpack.decode(payload, type=tuple[str, kind])  # type: ignore[valid-type]
    except msgspec.DecodeError:
        return None
    if stored_under != identity:
        return None
    with suppress(OSError):
        os.utime(path)  # the least recently used go first
    return value


def _write(path: Path, identity: str, value: object) -> None:
    payload = msgspec.msgpack.encode((identity, value))
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=".", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(hashlib.sha256(payload).digest() + payload)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def _limit(directory: Path) -> None:
    """Removes the least recently used entries beyond ENTRIES_MOST; another process may be doing the same."""
    used: list[tuple[int, Path]] = []
    for path in directory.glob(f"*{_SUFFIX}"):
        with suppress(FileNotFoundError):
            used.append((path.stat().st_mtime_ns, path))
    for _, path in sorted(used)[:-ENTRIES_MOST]:
        path.unlink(missing_ok=True)
