"""Whom to believe: a trust file says which keys speak in which roles, what must be signed, and what is called back.

require = ["builder", "approver"]     # each by a key of its own
minimum_version = 12                  # older bundles are refused, whoever signed them

[[keys]]
name = "ci-2026"
roles = ["builder"]
not_before = 2026-01-01               # optional; a date is its first moment, UTC
not_after = 2027-01-01                # optional
public_key = \"\"\"
-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEA…
-----END PUBLIC KEY-----
\"\"\"

[revoked]                             # optional
keys = ["<key id>"]
bundles = ["<bundle id>"]
"""

from __future__ import annotations

import datetime as dt
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from quickthorn.bundle import Bundle
from quickthorn.bundle.envelope import Envelope, Role
from quickthorn.bundle.event_records import Digest, Natural, Record, Text
from quickthorn.errors import SigningError
from quickthorn.signing.keys import PublicKey
from quickthorn.signing.sealing import unseal

_SIZE_LIMIT_BYTES: Final = 1 << 20
# More would be a policy that nobody can keep in mind, and finding a key for each takes time that grows with them.
_ROLES_MOST: Final = 4


class _KeyEntry(Record, frozen=True, kw_only=True):
    name: Text
    roles: Annotated[tuple[Role, ...], Meta(min_length=1)]
    public_key: Text
    # Dates and times of TOML, which `_moment` judges: a record may not leave it open which of the two comes.
    not_before: Any = None
    not_after: Any = None


class _Revoked(Record, frozen=True, kw_only=True):
    keys: tuple[Digest, ...] = ()
    bundles: tuple[Digest, ...] = ()


class _Document(Record, frozen=True, kw_only=True):
    require: Annotated[tuple[Role, ...], Meta(min_length=1, max_length=_ROLES_MOST)]
    minimum_version: Natural = 0
    keys: Annotated[tuple[_KeyEntry, ...], Meta(min_length=1)]
    revoked: _Revoked = _Revoked()


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A key that is believed in some roles, between two moments (None: without end)."""

    name: str
    key: PublicKey
    roles: tuple[str, ...]
    not_before: dt.datetime | None = None
    not_after: dt.datetime | None = None

    def refusal(self, role: str, revoked: frozenset[str], now: dt.datetime) -> str | None:
        """Why its word in that role does not count now; None where it does."""
        if self.key.key_id in revoked:
            return "the key is revoked"
        if self.not_before is not None and now < self.not_before:
            return f"the key is not valid before {self.not_before:%Y-%m-%d %H:%M} UTC"
        if self.not_after is not None and now >= self.not_after:
            return f"the key expired at {self.not_after:%Y-%m-%d %H:%M} UTC"
        if role not in self.roles:
            return f"the key speaks for {', '.join(self.roles)} only"
        return None


@dataclass(frozen=True, slots=True)
class Signer:
    """Whose signature was found good: the key's name in the trust file, its id, and the role it spoke in."""

    name: str
    key_id: str
    role: str


@dataclass(frozen=True, slots=True)
class Trust:
    """What a bundle must show before any of its code is mapped.

    ``require``          roles, each of which another key must have signed in
    ``keys``             those that are believed
    ``minimum_version``  the least ``version`` of a bundle; what is older is a rollback
    ``revoked_keys``     key ids whose signatures do not count any more
    ``revoked_bundles``  bundle ids that are refused whoever signed them
    """

    require: tuple[str, ...]
    keys: tuple[TrustedKey, ...]
    minimum_version: int = 0
    revoked_keys: frozenset[str] = frozenset()
    revoked_bundles: frozenset[str] = frozenset()

    @classmethod
    def from_toml(cls, path: str | os.PathLike[str]) -> Trust:
        """Read a trust file; SigningError names what is wrong in it."""
        origin = os.fspath(path)
        try:
            document = msgspec.convert(tomllib.loads(_read_text(path, origin)), _Document)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise SigningError(f"{origin}: expected TOML, found a syntax error: {error}") from error
        except msgspec.ValidationError as error:
            raise SigningError(f"{origin}: {error}") from error
        keys = tuple(
            TrustedKey(
                name=entry.name,
                key=PublicKey.from_pem(entry.public_key.encode(), f"{origin}: keys[{place}].public_key"),
                roles=entry.roles,
                not_before=_moment(entry.not_before, f"{origin}: keys[{place}].not_before"),
                not_after=_moment(entry.not_after, f"{origin}: keys[{place}].not_after"),
            )
            for place, entry in enumerate(document.keys)
        )
        _refuse_twice([key.name for key in keys], f"{origin}: keys: name")
        _refuse_twice([key.key.key_id for key in keys], f"{origin}: keys: key")
        _refuse_twice(document.require, f"{origin}: require: role")
        for role in document.require:
            if not any(role in key.roles for key in keys):
                raise SigningError(f"{origin}: require: expected a key with the role {role!r}, found none")
        return cls(
            require=document.require,
            keys=keys,
            minimum_version=document.minimum_version,
            revoked_keys=frozenset(document.revoked.keys),
            revoked_bundles=frozenset(document.revoked.bundles),
        )

    def check(self, bundle: Bundle, origin: str, now: dt.datetime | None = None) -> tuple[Signer, ...]:
        """Those whose signatures make the bundle one to be trusted, one for each required role, in that order.

        ``now`` is what keys are held to, by default the clock. SigningError, opened by ``origin``, says what is
        lacking, and of each signature that did not count, why.
        """
        if bundle.bundle_id in self.revoked_bundles:
            raise SigningError(f"{origin}: bundle {bundle.short_id} is revoked")
        version = bundle.manifest.version
        if version < self.minimum_version:
            raise SigningError(
                f"{origin}: expected a bundle of version {self.minimum_version} or newer, found version {version}"
            )
        known = {key.key.key_id: key for key in self.keys}
        moment = now if now is not None else dt.datetime.now(dt.UTC)
        good: list[Signer] = []
        others: list[str] = []
        for envelope in bundle.envelopes:
            signer, refusal = self._judge(envelope, known, bundle.bundle_id, moment, origin)
            if signer is not None:
                good.append(signer)
            if refusal is not None:
                others.append(refusal)
        chosen = _one_key_each(self.require, good)
        if chosen is None:
            found = [f"{signer.name} as {signer.role}" for signer in good] + others
            raise SigningError(
                f"{origin}: expected signatures by {' and '.join(self.require)}, each by a key of its own, "
                f"found {'; '.join(found) if found else 'none'}"
            )
        return chosen

    def _judge(
        self, envelope: Envelope, known: Mapping[str, TrustedKey], bundle_id: str, now: dt.datetime, origin: str
    ) -> tuple[Signer | None, str | None]:
        """The signer, or why the envelope does not count. A signature that a known key did not make is an error."""
        trusted = known.get(envelope.key_id)
        if trusted is None:
            return None, f"a signature by the unknown key {envelope.key_id[:16]}"
        statement = unseal(envelope, trusted.key, f"{origin}: signature of {trusted.name}")
        if statement.bundle_id != bundle_id:
            raise SigningError(
                f"{origin}: signature of {trusted.name}: expected one of bundle {bundle_id[:16]}, "
                f"found one of bundle {statement.bundle_id[:16]}"
            )
        role = statement.predicate.role
        refusal = trusted.refusal(role, self.revoked_keys, now)
        if refusal is not None:
            return None, f"{trusted.name} as {role}, but {refusal}"
        return Signer(trusted.name, trusted.key.key_id, role), None


def _one_key_each(roles: Sequence[str], signers: Sequence[Signer]) -> tuple[Signer, ...] | None:
    """A signer for every role, no key twice; None where there is no such choice."""
    if not roles:
        return ()
    for signer in signers:
        if signer.role == roles[0]:
            rest = _one_key_each(roles[1:], [other for other in signers if other.key_id != signer.key_id])
            if rest is not None:
                return (signer, *rest)
    return None


def _moment(date: object, where: str) -> dt.datetime | None:
    if date is None:
        return None
    if not isinstance(date, dt.date):
        raise SigningError(f"{where}: expected a date or a time, found {date!r}")
    if not isinstance(date, dt.datetime):
        date = dt.datetime(date.year, date.month, date.day)
    return date.astimezone(dt.UTC) if date.tzinfo is not None else date.replace(tzinfo=dt.UTC)


def _refuse_twice(names: Sequence[str], what: str) -> None:
    for place, name in enumerate(names):
        if name in names[:place]:
            raise SigningError(f"{what} {name!r}: expected once, found twice")


def _read_text(path: str | os.PathLike[str], origin: str) -> str:
    try:
        with Path(path).open("rb") as file:
            content = file.read(_SIZE_LIMIT_BYTES + 1)
        if len(content) > _SIZE_LIMIT_BYTES:
            raise SigningError(f"{origin}: expected at most {_SIZE_LIMIT_BYTES} bytes, found a longer file")
        return content.decode("utf-8")
    except OSError as error:
        raise SigningError(f"{origin}: expected a readable trust file, found: {error.strerror}") from error
    except ValueError as error:  # a NUL in the path, or bytes that are no UTF-8
        raise SigningError(f"{origin}: expected a readable trust file, found: {error}") from error
