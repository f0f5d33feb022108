"""What is signed of a bundle: an in-toto statement in a DSSE envelope.

The statement (in-toto Attestation Framework, Statement v1) names the bundle by its id and says in which role the key
speaks. The envelope (DSSE 1.0, Dead Simple Signing Envelope) carries the statement and its signature. Here are the
records alone; :mod:`quickthorn.signing` makes and checks signatures.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from quickthorn.bundle.event_records import Digest, Record, Text

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "https://quickthorn.dev/attestation/bundle/v1"

_ROLE_PATTERN: Final = "^[a-z][a-z0-9_-]{0,63}$"
Role = Annotated[str, Meta(pattern=_ROLE_PATTERN)]


class Subject(Record, frozen=True, kw_only=True):
    """What the statement is about; the digest's name says that it is a bundle id and not a digest of the file."""

    name: Literal["bundle"] = "bundle"
    digest: dict[Literal["quickthorn_bundle_id"], Digest]


class Predicate(Record, frozen=True, kw_only=True):
    """What the key vouches for: ``role`` is that in which it speaks, such as "builder" or "approver"."""

    role: Role


class Statement(Record, frozen=True, kw_only=True):
    """An in-toto statement about one bundle."""

    type: Literal["https://in-toto.io/Statement/v1"] = msgspec.field(default=STATEMENT_TYPE, name="_type")
    subject: Annotated[tuple[Subject, ...], Meta(min_length=1, max_length=1)]
    predicate_type: Literal["https://quickthorn.dev/attestation/bundle/v1"] = msgspec.field(
        default=PREDICATE_TYPE, name="predicateType"
    )
    predicate: Predicate

    @property
    def bundle_id(self) -> str:
        """The bundle that is meant."""
        return self.subject[0].digest["quickthorn_bundle_id"]


class EnvelopeSignature(Record, frozen=True, kw_only=True):
    """One signature: the id of the key, and the signature in base64."""

    keyid: Digest
    sig: Text


class Envelope(Record, frozen=True, kw_only=True):
    """A DSSE envelope with one signature; ``payload`` is the statement's JSON in base64."""

    payload_type: Literal["application/vnd.in-toto+json"] = msgspec.field(default=PAYLOAD_TYPE, name="payloadType")
    payload: Text
    signatures: Annotated[tuple[EnvelopeSignature, ...], Meta(min_length=1, max_length=1)]

    @property
    def key_id(self) -> str:
        """The key that the envelope says it was signed by."""
        return self.signatures[0].keyid
