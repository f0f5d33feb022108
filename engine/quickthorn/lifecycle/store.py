"""A bundle store: a directory, or any place that fsspec reaches, with bundles by their id and files that never change.

bundles/<bundle id>.qt
ledgers/<environment>/<number>.json
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Final

from quickthorn.bundle import Bundle, read_bundle
from quickthorn.errors import StoreError
from quickthorn.extras import require

_SHORTEST_ID: Final = 8
_ID: Final = f"[0-9a-f]{{{_SHORTEST_ID},64}}"


class Store:
    """Opens the store at a path or URL ("s3://models/fraud", "memory://x"); nothing is written before a call asks.

    What is stored is read back and checked: a bundle's bytes must be those its id stands for.
    """

    def __init__(self, url: str) -> None:
        core = require("fsspec.core", "store", "a bundle store")
        try:
            self._files, self._root = core.url_to_fs(url)
        except (ValueError, ImportError) as error:
            raise StoreError(f"{url}: expected a directory or a URL that fsspec knows, found: {error}") from error
        self.url = url

    def put_bundle(self, image: bytes, origin: str) -> Bundle:
        """Store a bundle under its id; one that is there already is replaced only by itself, signed by more."""
        bundle = read_bundle(image)
        path = f"bundles/{bundle.bundle_id}.qt"
        stored = self.read(path)
        if stored is not None and not set(read_bundle(stored).envelopes) <= set(bundle.envelopes):
            raise StoreError(
                f"{self.url}: bundle {bundle.short_id}: expected the signatures that are stored, "
                f"found a file without some of them ({origin})"
            )
        self._write(path, image)
        return bundle

    def bundle_image(self, bundle_id: str) -> bytes:
        """The bytes of a bundle, by its id or the beginning of it; StoreError where there is none, or several."""
        if not re.fullmatch(_ID, bundle_id):
            raise StoreError(
                f"{self.url}: expected a bundle id, or at least the first {_SHORTEST_ID} characters of one, "
                f"found {bundle_id!r}"
            )
        found = [name for name in self.names("bundles", ".qt") if name.startswith(bundle_id)]
        if len(found) != 1:
            raise StoreError(f"{self.url}: expected one bundle {bundle_id}, found {len(found) or 'none'}")
        image = self.read(f"bundles/{found[0]}.qt")
        if image is None or read_bundle(image).bundle_id != found[0]:
            raise StoreError(f"{self.url}: bundle {found[0][:16]}: expected the bundle of that id, found another")
        return image

    def read(self, path: str) -> bytes | None:
        """A file's bytes, None where it is not there."""
        try:
            content: bytes = self._files.cat_file(f"{self._root}/{path}")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"{self.url}: {path}: expected a readable file, found: {_reason(error)}") from error
        return content

    def create(self, path: str, content: bytes) -> None:
        """Write a file that must not be there yet; StoreError where it is, so that nobody writes over another."""
        if self.read(path) is not None:
            raise StoreError(f"{self.url}: {path}: expected to write a new file, found one there")
        self._write(path, content, exclusive=True)

    def names(self, folder: str, suffix: str) -> list[str]:
        """The names of a folder's files, without the suffix, in order."""
        try:
            found: list[Any] = self._files.ls(f"{self._root}/{folder}", detail=False)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreError(f"{self.url}: {folder}: expected a readable folder, found: {_reason(error)}") from error
        names = [str(path).rsplit("/", 1)[-1] for path in found]
        return sorted(name.removesuffix(suffix) for name in names if name.endswith(suffix))

    def _write(self, path: str, content: bytes, *, exclusive: bool = False) -> None:
        place = f"{self._root}/{path}"
        try:
            self._files.makedirs(place.rsplit("/", 1)[0], exist_ok=True)
            if exclusive and "file" in _protocols(self._files):
                _create_on_disk(Path(place), content)
                return
            with self._files.transaction, self._files.open(place, "wb") as file:
                file.write(content)
        except FileExistsError as error:
            raise StoreError(f"{self.url}: {path}: expected to write a new file, found one there") from error
        except OSError as error:
            raise StoreError(f"{self.url}: {path}: expected to write the file, found: {_reason(error)}") from error


def _create_on_disk(path: Path, content: bytes) -> None:
    """The file appears whole or not at all, and of two who create it one fails; elsewhere the look before has to do."""
    beside = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}.partial")
    try:
        with open(beside, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _protocols(files: Any) -> tuple[str, ...]:
    return (files.protocol,) if isinstance(files.protocol, str) else tuple(files.protocol)


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
