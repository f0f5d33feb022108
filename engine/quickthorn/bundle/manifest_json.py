"""The one JSON spelling of a manifest, and what is looked at before a manifest is judged: its versions and its kind."""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec

from quickthorn.bundle.forest_manifest import ForestManifest
from quickthorn.bundle.manifest import ABI_VERSION, FORMAT_VERSION, Manifest
from quickthorn.errors import BundleError

AnyManifest = TypeVar("AnyManifest", bound=Manifest | ForestManifest)

# Kind of file, as the manifest names it, to what people call it and how it is loaded.
_KINDS: Final = {
    "bundle": "a bundle, which quickthorn.Engine.load reads",
    "forest": "a forest file, which quickthorn.Forest.load reads",
}


class _Heading(msgspec.Struct, frozen=True):
    """The fields every manifest of every kind and format has; the rest is not looked at."""

    format_version: int
    abi_version: int
    kind: str = "bundle"


_ENCODER: Final = msgspec.json.Encoder(order="deterministic")
_HEADING_DECODER: Final = msgspec.json.Decoder(_Heading)
_DECODERS: Final[dict[type, Any]] = {kind: msgspec.json.Decoder(kind) for kind in (Manifest, ForestManifest)}


def encode_manifest(manifest: Manifest | ForestManifest, origin: str) -> bytes:
    """The manifest's one JSON spelling; BundleError, opened by ``origin``, where it is not a valid manifest."""
    try:
        encoded = _ENCODER.encode(manifest)
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError) as error:
        raise BundleError(f"{origin}: manifest: {error}") from error
    # A whole number given for a float field would be spelled 1 at first and 1.0 once read: the decoded record decides.
    return _ENCODER.encode(decode_manifest(encoded, type(manifest), origin))


def decode_manifest(
    encoded: bytes | bytearray | memoryview, manifest_type: type[AnyManifest], origin: str
) -> AnyManifest:
    """The manifest in these bytes; BundleError, opened by ``origin``, names the path of what does not fit.

    A manifest of another format or ABI version is refused by that version, and one of another kind by its kind, before
    its other fields are judged.
    """
    try:
        heading = _HEADING_DECODER.decode(encoded)
        _check_version("format", heading.format_version, FORMAT_VERSION, origin)
        _check_version("ABI", heading.abi_version, ABI_VERSION, origin)
        wanted = "bundle" if manifest_type is Manifest else "forest"
        if heading.kind != wanted and heading.kind in _KINDS:
            raise BundleError(f"{origin}: expected {_KINDS[wanted]}, found {_KINDS[heading.kind]}")
        decoded: AnyManifest = _DECODERS[manifest_type].decode(encoded)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(f"{origin}: manifest: {error}") from error
    return decoded


def _check_version(what: str, found: int, expected: int, origin: str) -> None:
    if found > expected:
        raise BundleError(
            f"{origin}: manifest: expected {what} version {expected}, found version {found}: "
            "the bundle was built by a newer quickthorn than this one"
        )
    if found < expected:
        raise BundleError(f"{origin}: manifest: expected {what} version {expected}, found version {found}")
