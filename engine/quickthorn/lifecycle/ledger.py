"""The ledger: which bundle was put into which environment, when, by whom and on what grounds.

Entries are DSSE envelopes over in-toto statements, one file each, numbered from 1. Every entry holds the digest of the
one before, so that none can be changed, dropped or put in between without its successors showing it.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from quickthorn.bundle.envelope import STATEMENT_TYPE, Envelope, Subject
from quickthorn.bundle.event_records import Digest, Natural, Positive, Record, Text
from quickthorn.errors import SigningError, StoreError
from quickthorn.lifecycle.store import Store
from quickthorn.signing import SigningKey, Trust, seal_payload, unseal_payload

PROMOTER: Final = "promoter"
"""The role that a key must have in the trust file for its entries to count."""

_NOTHING_BEFORE: Final = "0" * 64
_ENVIRONMENT: Final = r"[a-z][a-z0-9_-]{0,63}"

Action = Literal["promote", "rollback"]


class Entry(Record, frozen=True, kw_only=True):
    """What one entry says.

    ``number``       its place, from 1
    ``at``           when it was written, UTC
    ``action``       "promote" a bundle that was not the one in place, or "rollback" to one that was earlier
    ``version``      the bundle's own version
    ``previous``     SHA-256 of the entry before, zeros in the first
    ``grounds``      what was found of each gate, by name
    """

    number: Positive
    at: dt.datetime
    action: Action
    environment: Text
    version: Natural
    previous: Digest
    grounds: dict[str, Any] = msgspec.field(default_factory=dict)


class _Statement(Record, frozen=True, kw_only=True):
    type: Literal["https://in-toto.io/Statement/v1"] = msgspec.field(default=STATEMENT_TYPE, name="_type")
    subject: Annotated[tuple[Subject, ...], Meta(min_length=1, max_length=1)]
    predicate_type: Literal["https://quickthorn.dev/attestation/ledger/v1"] = msgspec.field(
        default="https://quickthorn.dev/attestation/ledger/v1", name="predicateType"
    )
    predicate: Entry


@dataclass(frozen=True, slots=True)
class Recorded:
    """An entry whose signature and place in the chain were checked: the bundle it put in place, and who signed it."""

    entry: Entry
    bundle_id: str
    signer: str


_ENCODER: Final = msgspec.json.Encoder()
_ENVELOPES: Final = msgspec.json.Decoder(Envelope)
_STATEMENTS: Final = msgspec.json.Decoder(_Statement)


class Ledger:
    """One environment's ledger in a store; every read checks the whole chain against ``trust``.

    Keys sign as "promoter". A revoked key's entries are refused; a key's dates are held to the time of the entry, since
    what was rightly promoted stays so when the key has expired.
    """

    def __init__(self, store: Store, environment: str, trust: Trust) -> None:
        if not re.fullmatch(_ENVIRONMENT, environment):
            raise StoreError(
                f'environment: expected 1 to 64 of a-z, 0-9, _ and -, such as "prod", found {environment!r}'
            )
        self._store, self.environment, self._trust = store, environment, trust

    def entries(self) -> tuple[Recorded, ...]:
        """All of them in order; StoreError for a broken chain, SigningError for an entry that nobody trusted signed."""
        recorded: list[Recorded] = []
        previous = _NOTHING_BEFORE
        for number, content in enumerate(self._files(), start=1):
            found = self._checked(content, number, previous)
            if recorded and found.entry.at < recorded[-1].entry.at:
                raise StoreError(f"{self._where(number)}: expected a time not before that of entry {number - 1}")
            recorded.append(found)
            previous = hashlib.sha256(content).hexdigest()
        return tuple(recorded)

    def in_place(self, at: dt.datetime | None = None) -> Recorded | None:
        """What was in place at a moment, by default now; None before the first entry."""
        known = [found for found in self.entries() if at is None or found.entry.at <= at]
        return known[-1] if known else None

    def append(
        self,
        action: Action,
        bundle_id: str,
        version: int,
        key: SigningKey,
        grounds: Mapping[str, Any],
        now: dt.datetime | None = None,
    ) -> Recorded:
        """Sign and write the next entry. StoreError where somebody else has written it meanwhile: look again."""
        recorded_before = self.entries()
        number, contents = len(recorded_before) + 1, self._files()
        entry = Entry(
            number=number,
            at=now if now is not None else dt.datetime.now(dt.UTC),
            action=action,
            environment=self.environment,
            version=version,
            previous=hashlib.sha256(contents[-1]).hexdigest() if contents else _NOTHING_BEFORE,
            grounds=dict(grounds),
        )
        statement = _Statement(subject=(Subject(digest={"quickthorn_bundle_id": bundle_id}),), predicate=entry)
        content = _ENCODER.encode(seal_payload(_ENCODER.encode(statement), key))
        # Read as everybody will read it, so that nothing is written that would be refused.
        recorded = self._checked(content, number, entry.previous)
        if recorded_before and entry.at < recorded_before[-1].entry.at:
            raise StoreError(f"{self._where(number)}: expected a time not before that of entry {number - 1}")
        self._store.create(self._path(number), content)
        return recorded

    def _files(self) -> list[bytes]:
        names = self._store.names(f"ledgers/{self.environment}", ".json")
        expected = [f"{number:08d}" for number in range(1, len(names) + 1)]
        if names != expected:
            lacking = next(name for name in expected if name not in names)
            raise StoreError(f"{self._where(int(lacking))}: expected the entry, found none")
        contents = [self._store.read(self._path(number)) for number in range(1, len(names) + 1)]
        return [content for content in contents if content is not None]

    def _checked(self, content: bytes, number: int, previous: str) -> Recorded:
        where = self._where(number)
        try:
            envelope = _ENVELOPES.decode(content)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise StoreError(f"{where}: expected an envelope, found: {error}") from error
        trusted = next((key for key in self._trust.keys if key.key.key_id == envelope.key_id), None)
        if trusted is None:
            raise SigningError(f"{where}: expected a signature by a trusted key, found one by {envelope.key_id[:16]}")
        payload = unseal_payload(envelope, trusted.key, where)
        try:
            statement = _STATEMENTS.decode(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise StoreError(f"{where}: expected a ledger entry, found: {error}") from error
        entry = statement.predicate
        if entry.at.tzinfo is None:
            raise StoreError(f"{where}: expected a time with its zone, found {entry.at.isoformat()}")
        refusal = trusted.refusal(PROMOTER, self._trust.revoked_keys, entry.at)
        if refusal is not None:
            raise SigningError(f"{where}: signed by {trusted.name}, but {refusal}")
        for name, found, expected in (
            ("number", entry.number, number),
            ("environment", entry.environment, self.environment),
            ("previous", entry.previous, previous),
        ):
            if found != expected:
                raise StoreError(f"{where}: {name}: expected {expected!r}, found {found!r}")
        return Recorded(entry, statement.subject[0].digest["quickthorn_bundle_id"], trusted.name)

    def _path(self, number: int) -> str:
        return f"ledgers/{self.environment}/{number:08d}.json"

    def _where(self, number: int) -> str:
        return f"{self._store.url}: ledger of {self.environment}, entry {number}"
