"""Signing keys: Ed25519 and ECDSA over P-256, kept as PEM files, made and used by ``cryptography``.

A key is called by its id: the SHA-256, in hex, of the public key as a DER SubjectPublicKeyInfo.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from quickthorn.errors import SigningError

Algorithm: TypeAlias = Literal["ed25519", "p256"]

ALGORITHMS: Final[tuple[Algorithm, ...]] = ("ed25519", "p256")
# A PEM file of either kind takes a few hundred bytes.
_SIZE_LIMIT_BYTES: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that signatures are checked with; ``key_id`` is 64 hex characters."""

    key: ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey
    key_id: str

    @classmethod
    def from_pem(cls, pem: bytes, origin: str) -> PublicKey:
        """The key in a PEM text; SigningError, opened by ``origin``, where it is no Ed25519 or P-256 public key."""
        try:
            return cls.of(load_pem_public_key(pem), origin)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise SigningError(f"{origin}: expected a public key in PEM, found none that can be read") from error

    @classmethod
    def of(cls, key: object, origin: str) -> PublicKey:
        """A key of ``cryptography``; SigningError where it is of another kind."""
        if not isinstance(key, ed25519.Ed25519PublicKey) and not (
            isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)
        ):
            raise SigningError(f"{origin}: expected an Ed25519 or P-256 key, found {_kind(key)}")
        der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return cls(key, hashlib.sha256(der).hexdigest())

    @property
    def pem(self) -> bytes:
        """The key as a PEM text."""
        return self.key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the key as PEM to a new file; SigningError where one is there already."""
        _write_new(path, self.pem, 0o644)

    def has_signed(self, message: bytes, signature: bytes) -> bool:
        """Whether this key made that signature of that message."""
        try:
            if isinstance(self.key, ed25519.Ed25519PublicKey):
                self.key.verify(signature, message)
            else:
                self.key.verify(signature, message, ec.ECDSA(SHA256()))
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key and its public half."""

    private: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey
    public: PublicKey

    @classmethod
    def generate(cls, algorithm: Algorithm = "ed25519") -> SigningKey:
        """A new key, "ed25519" or "p256"."""
        if algorithm not in ALGORITHMS:
            raise SigningError(f"algorithm: expected {' or '.join(ALGORITHMS)}, found {algorithm!r}")
        private = (
            ed25519.Ed25519PrivateKey.generate() if algorithm == "ed25519" else ec.generate_private_key(ec.SECP256R1())
        )
        return cls(private, PublicKey.of(private.public_key(), "key"))

    @classmethod
    def read(cls, path: str | os.PathLike[str], passphrase: bytes | None = None) -> SigningKey:
        """The private key in a PEM file; SigningError where there is none, or the passphrase does not open it."""
        origin = os.fspath(path)
        pem = read_key_file(path)
        try:
            private = load_pem_private_key(pem, passphrase)
        except TypeError as error:
            expected, found = ("a passphrase", "none") if passphrase is None else ("no passphrase", "one")
            raise SigningError(f"{origin}: expected {expected} for this private key, found {found}") from error
        except (ValueError, UnsupportedAlgorithm) as error:
            raise SigningError(
                f"{origin}: expected a private key in PEM that the passphrase opens, found none that can be read"
            ) from error
        public = PublicKey.of(private.public_key(), origin)
        assert isinstance(private, (ed25519.Ed25519PrivateKey, ec.EllipticCurvePrivateKey))
        return cls(private, public)

    def write(self, path: str | os.PathLike[str], passphrase: bytes | None = None) -> None:
        """Write the private key to a new file that its owner alone can read; SigningError where one is there already.

        With a ``passphrase`` the key is encrypted under it.
        """
        protection: KeySerializationEncryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
        pem = self.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection)
        _write_new(path, pem, 0o600)

    def sign(self, message: bytes) -> bytes:
        """The signature of a message: 64 bytes of Ed25519, or a DER ECDSA signature over SHA-256."""
        if isinstance(self.private, ed25519.Ed25519PrivateKey):
            return self.private.sign(message)
        # Deterministic (RFC 6979): the same key and message give the same bytes, and no bad randomness gives it away.
        return self.private.sign(message, ec.ECDSA(SHA256(), deterministic_signing=True))


def read_key_file(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a key file; SigningError where it cannot be read or is no such small file."""
    origin = os.fspath(path)
    try:
        with Path(path).open("rb") as file:
            pem = file.read(_SIZE_LIMIT_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise SigningError(f"{origin}: expected a readable key file, found: {reason}") from error
    if len(pem) > _SIZE_LIMIT_BYTES:
        raise SigningError(f"{origin}: expected a key file of at most {_SIZE_LIMIT_BYTES} bytes, found a longer one")
    return pem


def _write_new(path: str | os.PathLike[str], content: bytes, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with open(descriptor, "wb") as file:
            file.write(content)
    except OSError as error:
        raise SigningError(f"{os.fspath(path)}: expected to write a new file, found: {error.strerror}") from error


def _kind(key: object) -> str:
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"one on the curve {key.curve.name}"
    return type(key).__name__.removeprefix("_").removesuffix("PublicKey")
