"""A trust file: what it demands is shown, or the bundle is refused with what was found instead."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

import quickthorn as qt
from quickthorn.bundle import Manifest, read_bundle, write_bundle, write_signatures
from quickthorn.errors import BundleError, SigningError
from quickthorn.signing import Signer, SigningKey, Trust, seal, sign_bundle

from .conftest import GOLDEN, TrustFile


@pytest.fixture
def signed(bundle_file: Path, builder: SigningKey, approver: SigningKey) -> Path:
    """The bundle, built and approved."""
    sign_bundle(bundle_file, builder, "builder")
    sign_bundle(bundle_file, approver, "approver")
    return bundle_file


def refusal(path: Path, trust: Path, now: dt.datetime | None = None) -> str:
    with pytest.raises(SigningError) as refused:
        Trust.from_toml(trust).check(read_bundle(path), "fraud.qt", now)
    return str(refused.value)


def test_a_bundle_that_is_built_and_approved_is_trusted(
    signed: Path, trust_file: TrustFile, builder: SigningKey, approver: SigningKey
) -> None:
    signers = Trust.from_toml(trust_file()).check(read_bundle(signed), "fraud.qt")
    assert signers == (
        Signer("ci", builder.public.key_id, "builder"),
        Signer("risk", approver.public.key_id, "approver"),
    )


def test_an_unsigned_or_half_signed_bundle_is_not(
    bundle_file: Path, trust_file: TrustFile, builder: SigningKey
) -> None:
    assert refusal(bundle_file, trust_file()) == (
        "fraud.qt: expected signatures by builder and approver, each by a key of its own, found none"
    )
    sign_bundle(bundle_file, builder, "builder")
    assert refusal(bundle_file, trust_file()).endswith("found ci as builder")


def test_nobody_stands_in_for_two(bundle_file: Path, trust_file: TrustFile, builder: SigningKey) -> None:
    for role in ("builder", "approver"):
        sign_bundle(bundle_file, builder, role)
    assert "ci as approver, but the key speaks for builder only" in refusal(bundle_file, trust_file())
    both = trust_file()
    both.write_text(both.read_text().replace('roles = ["builder"]', 'roles = ["builder", "approver"]'))
    assert refusal(bundle_file, both).endswith("each by a key of its own, found ci as builder; ci as approver")


def test_a_stranger_s_signature_counts_for_nothing(bundle_file: Path, trust_file: TrustFile) -> None:
    stranger = SigningKey.generate()
    sign_bundle(bundle_file, stranger, "builder")
    trust = trust_file('["builder"]')
    assert refusal(bundle_file, trust).endswith(f"found a signature by the unknown key {stranger.public.key_id[:16]}")


def test_a_key_counts_between_its_dates_only(signed: Path, trust_file: TrustFile) -> None:
    trust = trust_file('["builder"]', builder_lines="not_before = 2026-01-01\nnot_after = 2027-01-01T12:00:00Z")
    first, last = dt.datetime(2026, 1, 1, tzinfo=dt.UTC), dt.datetime(2027, 1, 1, 12, tzinfo=dt.UTC)
    instant = dt.timedelta(microseconds=1)
    for now in (first, last - instant):
        assert [signer.name for signer in Trust.from_toml(trust).check(read_bundle(signed), "fraud.qt", now)] == ["ci"]
    assert "the key expired at 2027-01-01 12:00 UTC" in refusal(signed, trust, last)
    assert "the key is not valid before 2026-01-01 00:00 UTC" in refusal(signed, trust, first - instant)


def test_a_revoked_key_or_bundle_is_refused(signed: Path, trust_file: TrustFile, builder: SigningKey) -> None:
    key = trust_file(more=f'[revoked]\nkeys = ["{builder.public.key_id}"]')
    assert "ci as builder, but the key is revoked" in refusal(signed, key)
    bundle_id = read_bundle(signed).bundle_id
    assert refusal(signed, trust_file(more=f'[revoked]\nbundles = ["{bundle_id}"]')) == (
        f"fraud.qt: bundle {bundle_id[:16]} is revoked"
    )


def test_there_is_no_way_back_below_the_minimum_version(signed: Path, trust_file: TrustFile) -> None:
    assert Trust.from_toml(trust_file(top="minimum_version = 7")).check(read_bundle(signed), "fraud.qt")
    assert refusal(signed, trust_file(top="minimum_version = 8")) == (
        "fraud.qt: expected a bundle of version 8 or newer, found version 7"
    )


def test_the_signature_of_another_bundle_is_refused(
    signed: Path, trust_file: TrustFile, manifest: Manifest, tmp_path: Path
) -> None:
    other = tmp_path / "other.qt"
    other_id = write_bundle(other, manifest, {"library/x86-64-v2.so": b"something else", **GOLDEN})
    write_signatures(other, other_id, read_bundle(signed).envelopes)
    expected = f"signature of ci: expected one of bundle {other_id[:16]}, found one of bundle"
    assert expected in refusal(other, trust_file())
    with pytest.raises(BundleError, match=r"other\.qt: expected bundle abab"):
        write_signatures(other, "ab" * 32, ())


def test_a_signature_that_a_known_key_did_not_make_is_refused(
    bundle_file: Path, trust_file: TrustFile, builder: SigningKey
) -> None:
    bundle_id = read_bundle(bundle_file).bundle_id
    forged = seal(bundle_id, "builder", SigningKey.generate())
    claimed = type(forged)(
        payload=forged.payload,
        signatures=(type(forged.signatures[0])(keyid=builder.public.key_id, sig=forged.signatures[0].sig),),
    )
    write_signatures(bundle_file, bundle_id, (claimed,))
    assert "signature of ci: expected a signature by key" in refusal(bundle_file, trust_file())


def test_without_a_trust_file_an_engine_must_be_told_to_ask_nobody(signed: Path, trust_file: TrustFile) -> None:
    expected = (
        r"fraud\.qt: expected trust=, a trust file to hold its signatures to, or allow_unsigned=True, found neither"
    )
    with pytest.raises(SigningError, match=expected):
        qt.Engine.load(signed)
    with pytest.raises(ValueError, match="allow_unsigned: expected False along with trust="):
        qt.Engine.load(signed, trust=trust_file(), allow_unsigned=True)
    with pytest.raises(BundleError, match="cannot be mapped"):
        qt.Engine.load(signed, allow_unsigned=True)


def test_an_engine_asks_before_it_maps(signed: Path, bundle_file: Path, trust_file: TrustFile) -> None:
    # The library in this bundle is no library: whoever tried to map it would say so.
    with pytest.raises(BundleError, match="cannot be mapped"):
        qt.Engine.load(signed, trust=trust_file())
    with pytest.raises(SigningError, match=r"fraud\.qt: expected a bundle of version 9 or newer"):
        qt.Engine.load(signed, trust=trust_file(top="minimum_version = 9"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("require = [", "require = {"), "expected TOML, found a syntax error"),
        (('require = ["builder", "approver"]', ""), "missing required field `require`"),
        (('require = ["builder", "approver"]', "require = []"), "length >= 1 - at `$.require`"),
        (
            ('require = ["builder", "approver"]', 'require = ["builder", "builder"]'),
            "role 'builder': expected once",
        ),
        (('require = ["builder", "approver"]', 'require = ["auditor"]'), "expected a key with the role 'auditor'"),
        (('roles = ["builder"]', "roles = []"), "roles`"),
        (('name = "risk"', 'name = "ci"'), "keys: name 'ci': expected once, found twice"),
        (("-----BEGIN PUBLIC KEY-----", "-----BEGIN KEY-----"), "keys[0].public_key: expected a public key in PEM"),
        (('name = "ci"', 'name = "ci"\nrole = "x"'), "unknown field `role` - at `$.keys"),
        (
            ('name = "ci"', 'name = "ci"\nnot_after = "soon"'),
            "keys[0].not_after: expected a date or a time",
        ),
    ],
)
def test_a_wrong_trust_file_is_refused_in_one_sentence(
    trust_file: TrustFile, change: tuple[str, str], message: str
) -> None:
    path = trust_file()
    text = path.read_text()
    assert change[0] in text
    path.write_text(text.replace(*change, 1))
    with pytest.raises(SigningError, match=r"trust\.toml") as refused:
        Trust.from_toml(path)
    assert message in str(refused.value)


def test_a_trust_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SigningError, match=r"none\.toml: expected a readable trust file, found: No such file"):
        Trust.from_toml(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b"\xff")
    with pytest.raises(SigningError, match=r"latin\.toml: expected a readable trust file, found"):
        Trust.from_toml(tmp_path / "latin.toml")
