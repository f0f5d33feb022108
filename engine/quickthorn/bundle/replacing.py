"""A file that appears whole, or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path


@contextmanager
def replacing(path: Path, mode: int = 0o666) -> Iterator[FileIO]:
    """A new file, open for reading and writing, that takes the place of ``path`` once the block ends well.

    It is written beside its destination, synced, and renamed over it: whatever happens on the way, a kill included,
    leaves what was there before. ``mode`` is its permissions, less the umask. Raises OSError.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):  # a device, for one, would become a file
        raise OSError(errno.EINVAL, "something there that is not a regular file")
    # In the same directory, so that the rename stays inside one file system; opened with the usual permissions, which
    # a file made for temporary use would not have: the service that loads the file is often another user.
    beside = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}.partial")
    try:
        with FileIO(beside, "x+", opener=lambda name, flags: os.open(name, flags | os.O_CLOEXEC, mode)) as file:
            yield file
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(beside)
        raise
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    """Make the rename itself survive a loss of power."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_whole(file: FileIO, content: bytes | memoryview) -> None:
    """Write all of it; an unbuffered write may take less than it is given."""
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]
