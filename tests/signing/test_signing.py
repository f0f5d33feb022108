"""Signatures of bundles: who signed is found out, and nothing that was changed afterwards passes."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from quickthorn.bundle import read_bundle
from quickthorn.errors import BundleError, SigningError
from quickthorn.signing import ALGORITHMS, Algorithm, PublicKey, SigningKey, seal, sign_bundle, unseal


def test_a_signature_leaves_image_and_id_as_they_were(bundle_file: Path, builder: SigningKey) -> None:
    image, before = bundle_file.read_bytes(), read_bundle(bundle_file)
    sign_bundle(bundle_file, builder, "builder")
    after = read_bundle(bundle_file)
    assert bundle_file.read_bytes().startswith(image)
    assert (after.bundle_id, after.members) == (before.bundle_id, before.members)
    assert [envelope.key_id for envelope in after.envelopes] == [builder.public.key_id]


def test_signatures_add_up_and_the_same_one_is_kept_once(
    bundle_file: Path, builder: SigningKey, approver: SigningKey
) -> None:
    for key, role in ((builder, "builder"), (approver, "approver"), (builder, "builder"), (builder, "approver")):
        sign_bundle(bundle_file, key, role)
    found = read_bundle(bundle_file).envelopes
    roles = [json.loads(base64.b64decode(envelope.payload))["predicate"]["role"] for envelope in found]
    assert sorted(roles) == ["approver", "approver", "builder"]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_envelope_is_what_its_standards_say(algorithm: Algorithm) -> None:
    # Checked by hand after DSSE and in-toto, with nothing of ours but the envelope.
    key = SigningKey.generate(algorithm)
    envelope = seal("ab" * 32, "builder", key)
    payload = base64.b64decode(envelope.payload)
    assert json.loads(payload) == {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "bundle", "digest": {"quickthorn_bundle_id": "ab" * 32}}],
        "predicateType": "https://quickthorn.dev/attestation/bundle/v1",
        "predicate": {"role": "builder"},
    }
    signed = b"DSSEv1 28 application/vnd.in-toto+json " + str(len(payload)).encode() + b" " + payload
    signature = base64.b64decode(envelope.signatures[0].sig)
    public: Any = key.public.key
    if algorithm == "ed25519":
        public.verify(signature, signed)
    else:
        public.verify(signature, signed, ec.ECDSA(SHA256()))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_another_key_and_another_statement_are_refused(algorithm: Algorithm) -> None:
    key, other = SigningKey.generate(algorithm), SigningKey.generate(algorithm)
    envelope = seal("ab" * 32, "builder", key)
    assert unseal(envelope, key.public, "fraud.qt").bundle_id == "ab" * 32
    with pytest.raises(SigningError, match=r"expected a signature by key \w+, found one that it did not make"):
        unseal(envelope, other.public, "fraud.qt")
    foreign = seal("cd" * 32, "builder", key)
    swapped = type(envelope)(payload=foreign.payload, signatures=envelope.signatures)
    with pytest.raises(SigningError, match="found one that it did not make"):
        unseal(swapped, key.public, "fraud.qt")
    with pytest.raises(SigningError, match="expected an envelope in base64"):
        unseal(type(envelope)(payload="*", signatures=envelope.signatures), key.public, "fraud.qt")


def test_every_flipped_bit_of_a_signed_bundle_is_refused(bundle_file: Path, builder: SigningKey) -> None:
    image_bytes = bundle_file.stat().st_size
    sign_bundle(bundle_file, builder, "builder")
    signed = bundle_file.read_bytes()
    loaded = []
    for place in range(image_bytes * 8, len(signed) * 8):
        damaged = bytearray(signed)
        damaged[place // 8] ^= 1 << place % 8
        try:
            read_bundle(bytes(damaged))
        except BundleError:
            continue
        loaded.append(place)
    assert loaded == []


def test_every_cut_through_the_signatures_is_refused(bundle_file: Path, builder: SigningKey) -> None:
    image_bytes = bundle_file.stat().st_size
    sign_bundle(bundle_file, builder, "builder")
    signed = bundle_file.read_bytes()
    for length in range(image_bytes + 1, len(signed)):
        with pytest.raises(BundleError):
            read_bundle(signed[:length])
    # Without the block it is the unsigned bundle again, which a trust file then refuses.
    assert read_bundle(signed[:image_bytes]).envelopes == ()
    with pytest.raises(BundleError, match="signatures: expected a block of"):
        read_bundle(signed + bytes(64))


def test_more_signatures_than_a_block_holds_are_refused(bundle_file: Path, builder: SigningKey) -> None:
    for number in range(16):
        sign_bundle(bundle_file, builder, f"role{number}")
    before = bundle_file.read_bytes()
    with pytest.raises(BundleError, match="signatures: expected at most 16, found 17"):
        sign_bundle(bundle_file, builder, "one-more")
    assert bundle_file.read_bytes() == before


@pytest.mark.parametrize("role", ["", "Builder", "a b", "x" * 65, "1st"])
def test_a_role_is_spelled_simply(bundle_file: Path, builder: SigningKey, role: str) -> None:
    with pytest.raises(SigningError, match="role: expected 1 to 64 of a-z"):
        sign_bundle(bundle_file, builder, role)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_key_comes_back_from_its_files(tmp_path: Path, algorithm: Algorithm) -> None:
    key = SigningKey.generate(algorithm)
    key.write(tmp_path / "plain.pem")
    key.write(tmp_path / "locked.pem", b"open sesame")
    key.public.write(tmp_path / "public.pem")
    assert SigningKey.read(tmp_path / "plain.pem").public == key.public
    assert SigningKey.read(tmp_path / "locked.pem", b"open sesame").public == key.public
    assert PublicKey.from_pem((tmp_path / "public.pem").read_bytes(), "public.pem").key_id == key.public.key_id
    assert (tmp_path / "plain.pem").stat().st_mode & 0o777 == 0o600


def test_a_key_file_is_never_written_over(tmp_path: Path, builder: SigningKey) -> None:
    builder.write(tmp_path / "key.pem")
    with pytest.raises(SigningError, match=r"key\.pem: expected to write a new file, found: File exists"):
        SigningKey.generate().write(tmp_path / "key.pem")
    assert SigningKey.read(tmp_path / "key.pem").public.key_id == builder.public.key_id


def test_what_is_no_key_is_refused_in_one_sentence(tmp_path: Path, builder: SigningKey) -> None:
    builder.write(tmp_path / "locked.pem", b"open sesame")
    builder.write(tmp_path / "plain.pem")
    (tmp_path / "text.pem").write_text("no key")
    (tmp_path / "long.pem").write_bytes(bytes(1 << 17))
    for name, passphrase, message in (
        ("locked.pem", None, "expected a passphrase for this private key, found none"),
        ("locked.pem", b"wrong", "expected a private key in PEM that the passphrase opens"),
        ("plain.pem", b"needless", "expected no passphrase for this private key, found one"),
        ("text.pem", None, "expected a private key in PEM"),
        ("long.pem", None, "expected a key file of at most"),
        ("absent.pem", None, "expected a readable key file, found: No such file"),
    ):
        with pytest.raises(SigningError, match=f"{name}: {message}"):
            SigningKey.read(tmp_path / name, passphrase)


def test_keys_of_other_kinds_are_refused() -> None:
    for private, found in (
        (rsa.generate_private_key(65537, 2048), "RSA"),
        (ec.generate_private_key(ec.SECP384R1()), "secp384r1"),
    ):
        pem = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        with pytest.raises(SigningError, match=f"key.pub: expected an Ed25519 or P-256 key, found .*{found}"):
            PublicKey.from_pem(pem, "key.pub")
    with pytest.raises(SigningError, match=r"key\.pub: expected a public key in PEM"):
        PublicKey.from_pem(b"nothing", "key.pub")
    with pytest.raises(SigningError, match="algorithm: expected ed25519 or p256, found 'rsa'"):
        SigningKey.generate("rsa")  # type: ignore[arg-type]
