"""The ledger: it says what was in place when, and shows every change to what it said."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest

from quickthorn.errors import QuickthornError, SigningError, StoreError
from quickthorn.lifecycle import Ledger, Store
from quickthorn.signing import SigningKey, Trust, TrustedKey

IDS = [f"{number:02x}" * 32 for number in range(5)]
START = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def key() -> SigningKey:
    return SigningKey.generate()


@pytest.fixture
def trust(key: SigningKey) -> Trust:
    expires = START + dt.timedelta(days=30)
    return Trust(("promoter",), (TrustedKey("ops", key.public, ("promoter",), None, expires),))


@pytest.fixture
def ledger(tmp_path: Path, trust: Trust) -> Ledger:
    return Ledger(Store(str(tmp_path / "store")), "prod", trust)


def filled(ledger: Ledger, key: SigningKey, count: int = 3) -> list[Path]:
    """Entries a day apart; their files."""
    for number in range(count):
        ledger.append("promote", IDS[number], number, key, {"size": number}, START + dt.timedelta(days=number))
    return sorted(Path(ledger._store.url, "ledgers", "prod").iterdir())


def test_it_says_what_was_in_place_when(ledger: Ledger, key: SigningKey) -> None:
    assert ledger.in_place() is None
    filled(ledger, key)
    ledger.append("rollback", IDS[1], 1, key, {}, START + dt.timedelta(days=9))
    instant = dt.timedelta(microseconds=1)
    for at, expected in (
        (START - instant, None),
        (START, IDS[0]),
        (START + dt.timedelta(days=1) - instant, IDS[0]),
        (START + dt.timedelta(days=2), IDS[2]),
        (None, IDS[1]),
    ):
        found = ledger.in_place(at)
        assert (found.bundle_id if found is not None else None) == expected
    last = ledger.entries()[-1]
    assert (last.entry.number, last.entry.action, last.signer) == (4, "rollback", "ops")
    assert [entry.entry.grounds for entry in ledger.entries()] == [{"size": 0}, {"size": 1}, {"size": 2}, {}]


def test_what_was_rightly_written_stands_when_the_key_has_expired(ledger: Ledger, key: SigningKey) -> None:
    filled(ledger, key)
    with pytest.raises(SigningError, match="signed by ops, but the key expired"):
        ledger.append("promote", IDS[3], 3, key, {}, START + dt.timedelta(days=31))
    assert len(ledger.entries()) == 3


def test_a_changed_exchanged_or_dropped_entry_shows(ledger: Ledger, key: SigningKey) -> None:
    files = filled(ledger, key)
    originals = [file.read_bytes() for file in files]

    def restored() -> None:
        for file, content in zip(files, originals, strict=True):
            file.write_bytes(content)

    for place in range(0, len(originals[1]), 7):
        files[1].write_bytes(originals[1][:place] + bytes([originals[1][place] ^ 1]) + originals[1][place + 1 :])
        with pytest.raises(QuickthornError, match=r"ledger of prod, entry [23]"):
            ledger.entries()
    restored()
    files[0].write_bytes(originals[1])
    with pytest.raises(StoreError, match="entry 1: number: expected 1, found 2"):
        ledger.entries()
    restored()
    files[1].unlink()
    with pytest.raises(StoreError, match="entry 2: expected the entry, found none"):
        ledger.entries()


def test_an_entry_of_another_ledger_does_not_fit(tmp_path: Path, trust: Trust, key: SigningKey, ledger: Ledger) -> None:
    filled(ledger, key, 1)
    other = Ledger(Store(str(tmp_path / "store")), "staging", trust)
    other.append("promote", IDS[0], 0, key, {}, START)
    folder = tmp_path / "store" / "ledgers"
    (folder / "staging" / "00000001.json").write_bytes((folder / "prod" / "00000001.json").read_bytes())
    with pytest.raises(StoreError, match="ledger of staging, entry 1: environment: expected 'staging', found 'prod'"):
        other.entries()


def test_the_first_entry_cannot_be_rewritten_under_its_successors(ledger: Ledger, key: SigningKey) -> None:
    # Even by one who has the key: the second entry holds the digest of the first that was.
    files = filled(ledger, key)
    kept = [file.read_bytes() for file in files[1:]]
    for file in files:
        file.unlink()
    ledger.append("promote", IDS[4], 0, key, {}, START)
    for file, content in zip(files[1:], kept, strict=True):
        file.write_bytes(content)
    with pytest.raises(StoreError, match="entry 2: previous: expected"):
        ledger.entries()


def test_strangers_and_wrong_roles_cannot_write(ledger: Ledger, key: SigningKey, trust: Trust) -> None:
    stranger = SigningKey.generate()
    with pytest.raises(SigningError, match="entry 1: expected a signature by a trusted key, found one by"):
        ledger.append("promote", IDS[0], 0, stranger, {}, START)
    builders = Trust(("builder",), (TrustedKey("ci", key.public, ("builder",)),))
    with pytest.raises(SigningError, match="signed by ci, but the key speaks for builder only"):
        Ledger(ledger._store, "prod", builders).append("promote", IDS[0], 0, key, {}, START)
    revoked = Trust(trust.require, trust.keys, 0, frozenset({key.public.key_id}))
    filled(ledger, key, 1)
    with pytest.raises(SigningError, match="signed by ops, but the key is revoked"):
        Ledger(ledger._store, "prod", revoked).entries()


def test_times_do_not_run_backwards(ledger: Ledger, key: SigningKey) -> None:
    filled(ledger, key, 2)
    with pytest.raises(StoreError, match="entry 3: expected a time not before that of entry 2"):
        ledger.append("promote", IDS[3], 3, key, {}, START)


def test_of_two_who_promote_at_once_one_is_told(
    ledger: Ledger, key: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(ledger, key, 1)
    seen = ledger.entries()
    ledger.append("promote", IDS[1], 1, key, {}, START + dt.timedelta(days=1))
    monkeypatch.setattr(ledger, "entries", lambda: seen)
    first = ledger._files()[:1]
    monkeypatch.setattr(ledger, "_files", lambda: first)
    with pytest.raises(StoreError, match="expected to write a new file, found one there"):
        ledger.append("promote", IDS[2], 2, key, {}, START + dt.timedelta(days=1))


def test_an_entry_is_plain_json_for_other_tools(ledger: Ledger, key: SigningKey) -> None:
    import base64

    (file,) = filled(ledger, key, 1)
    envelope = json.loads(file.read_bytes())
    statement = json.loads(base64.b64decode(envelope["payload"]))
    assert statement["subject"] == [{"name": "bundle", "digest": {"quickthorn_bundle_id": IDS[0]}}]
    assert statement["predicate"]["at"] == "2026-03-01T12:00:00Z"


@pytest.mark.parametrize("environment", ["", "Prod", "a/b", "../prod", "x" * 65])
def test_an_environment_has_a_simple_name(ledger: Ledger, trust: Trust, environment: str) -> None:
    with pytest.raises(StoreError, match="environment: expected 1 to 64 of a-z"):
        Ledger(ledger._store, environment, trust)
