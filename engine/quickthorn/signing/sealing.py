"""Making and checking the signatures of bundles.

What a key signs is DSSE's pre-authentication encoding of the statement's bytes, so that those bytes are never parsed
before they are known to be signed.
"""

from __future__ import annotations

import base64
import binascii
import os
from typing import Final

import msgspec

from quickthorn.bundle import read_bundle, write_signatures
from quickthorn.bundle.envelope import (
    PAYLOAD_TYPE,
    Envelope,
    EnvelopeSignature,
    Predicate,
    Statement,
    Subject,
)
from quickthorn.errors import SigningError
from quickthorn.signing.keys import PublicKey, SigningKey

_STATEMENT_ENCODER: Final = msgspec.json.Encoder()
_STATEMENT_DECODER: Final = msgspec.json.Decoder(Statement)


def sign_bundle(path: str | os.PathLike[str], key: SigningKey, role: str) -> Envelope:
    """Sign the bundle in a file, every byte of which is checked first, and put the envelope behind what is there.

    The bundle id stays as it was. A signature by the same key in the same role takes the place of the earlier one.
    Raises BundleError for a file that is no whole bundle or cannot be written, SigningError for a role spelled wrongly.
    """
    bundle = read_bundle(path)
    envelope = seal(bundle.bundle_id, role, key)
    # Both kinds of signature are deterministic, so an envelope made twice is the same one.
    others = tuple(other for other in bundle.envelopes if other != envelope)
    write_signatures(path, bundle.bundle_id, (*others, envelope))
    return envelope


def seal(bundle_id: str, role: str, key: SigningKey) -> Envelope:
    """The key's word, in that role, for the bundle of that id; SigningError where the role is spelled wrongly."""
    predicate = _valid(role)
    statement = Statement(subject=(Subject(digest={"quickthorn_bundle_id": bundle_id}),), predicate=predicate)
    return seal_payload(_STATEMENT_ENCODER.encode(statement), key)


def unseal(envelope: Envelope, key: PublicKey, origin: str) -> Statement:
    """The statement that the key has signed; SigningError, opened by ``origin``, where it has not signed this one."""
    payload = unseal_payload(envelope, key, origin)
    try:
        return _STATEMENT_DECODER.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise SigningError(f"{origin}: expected a statement about a bundle, found: {error}") from error


def seal_payload(payload: bytes, key: SigningKey) -> Envelope:
    """An envelope of an in-toto statement's bytes, signed."""
    signature = EnvelopeSignature(keyid=key.public.key_id, sig=_base64(key.sign(_encoded(payload))))
    return Envelope(payload=_base64(payload), signatures=(signature,))


def unseal_payload(envelope: Envelope, key: PublicKey, origin: str) -> bytes:
    """The statement's bytes; SigningError, opened by ``origin``, where the key has not signed just these."""
    try:
        payload = base64.b64decode(envelope.payload, validate=True)
        signature = base64.b64decode(envelope.signatures[0].sig, validate=True)
    except (binascii.Error, ValueError) as error:
        raise SigningError(f"{origin}: expected an envelope in base64, found: {error}") from error
    if not key.has_signed(_encoded(payload), signature):
        raise SigningError(f"{origin}: expected a signature by key {key.key_id[:16]}, found one that it did not make")
    return payload


def _valid(role: str) -> Predicate:
    try:
        return msgspec.convert({"role": role}, Predicate)
    except msgspec.ValidationError as error:
        raise SigningError(f'role: expected 1 to 64 of a-z, 0-9, _ and -, such as "builder", found {role!r}') from error


def _encoded(payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: lengths stand first, so that type and payload cannot run into each other."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
