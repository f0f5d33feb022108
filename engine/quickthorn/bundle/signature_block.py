"""The block behind a bundle's image that holds the envelopes of those who signed it.

    prelude (64 bytes), envelopes (JSON), zeros to 64

The image stays as it was when a signature is added, and so does the bundle id; docs/BUNDLE_FORMAT.md has every byte.
"""

from __future__ import annotations

import hashlib
import struct
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from quickthorn.bundle.envelope import Envelope
from quickthorn.errors import BundleError

BLOCK_MAGIC: Final = b"\x89QTSIGN\n"
BLOCK_VERSION: Final = 1
BLOCK_LIMIT_BYTES: Final = 1 << 18
ENVELOPE_LIMIT: Final = 16

# Magic, version, length of the JSON, reserved zeros; the SHA-256 of these and of the JSON follows.
_PRELUDE: Final = struct.Struct("<8sII16s")
_PRELUDE_BYTES: Final = _PRELUDE.size + 32
_ALIGNMENT_BYTES: Final = 64
assert _PRELUDE_BYTES == _ALIGNMENT_BYTES

_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(Annotated[tuple[Envelope, ...], Meta(min_length=1, max_length=ENVELOPE_LIMIT)])


def encode_block(envelopes: tuple[Envelope, ...], origin: str) -> bytes:
    """The block's bytes; none at all where nobody has signed."""
    if not envelopes:
        return b""
    if len(envelopes) > ENVELOPE_LIMIT:
        raise BundleError(f"{origin}: signatures: expected at most {ENVELOPE_LIMIT}, found {len(envelopes)}")
    text = _ENCODER.encode(envelopes)
    prelude = _PRELUDE.pack(BLOCK_MAGIC, BLOCK_VERSION, len(text), bytes(16))
    padding = bytes(-len(text) % _ALIGNMENT_BYTES)
    return prelude + hashlib.sha256(prelude + text).digest() + text + padding


def decode_block(block: bytes | memoryview, origin: str) -> tuple[Envelope, ...]:
    """The envelopes in the bytes behind an image; BundleError where they are anything but one whole block."""
    where = f"{origin}: signatures"
    if len(block) < _PRELUDE_BYTES:
        raise BundleError(f"{where}: expected a block of at least {_PRELUDE_BYTES} bytes, found {len(block)}")
    magic, version, text_bytes, reserved = _PRELUDE.unpack_from(block)
    if magic != BLOCK_MAGIC:
        raise BundleError(f"{where}: expected a signature block, found bytes that start with {magic!r}")
    if version != BLOCK_VERSION:
        newer = ": it was written by a newer quickthorn than this one" if version > BLOCK_VERSION else ""
        raise BundleError(f"{where}: expected block version {BLOCK_VERSION}, found version {version}{newer}")
    expected_bytes = _PRELUDE_BYTES + text_bytes + -text_bytes % _ALIGNMENT_BYTES
    if len(block) != expected_bytes:
        raise BundleError(f"{where}: expected a block of {expected_bytes} bytes, found {len(block)}")
    text = block[_PRELUDE_BYTES : _PRELUDE_BYTES + text_bytes]
    digest = hashlib.sha256(block[: _PRELUDE.size])
    digest.update(text)
    if any(reserved) or any(block[_PRELUDE_BYTES + text_bytes :]):
        raise BundleError(f"{where}: expected zeros in what is reserved and behind the envelopes, found other bytes")
    if digest.digest() != bytes(block[_PRELUDE.size : _PRELUDE_BYTES]):
        raise BundleError(f"{where}: the block's bytes do not have the digest it gives")
    try:
        envelopes: tuple[Envelope, ...] = _DECODER.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(f"{where}: {error}") from error
    return envelopes
