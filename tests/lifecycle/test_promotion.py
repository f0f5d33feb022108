"""Promotion by gates, on the record: what passes is in place, what does not leaves everything as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from quickthorn.bundle import read_bundle
from quickthorn.errors import GateError, SigningError
from quickthorn.lifecycle import Gates, Ledger, Promotion, Store, promote, roll_back
from quickthorn.signing import SigningKey, Trust, TrustedKey, sign_bundle

from .conftest import Versions


@pytest.fixture(scope="module")
def key() -> SigningKey:
    """One key for all roles; that two are two is tested where trust is."""
    return SigningKey.generate()


@pytest.fixture
def trust(key: SigningKey) -> Trust:
    return Trust(("builder",), (TrustedKey("ci", key.public, ("builder", "promoter")),))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


@pytest.fixture
def signed(versions: Versions, tmp_path: Path, key: SigningKey) -> tuple[Path, Path]:
    """Champion and challenger, signed."""
    copies = []
    for path in (versions.champion, versions.challenger):
        copies.append(tmp_path / path.name)
        copies[-1].write_bytes(path.read_bytes())
        sign_bundle(copies[-1], key, "builder")
    return copies[0], copies[1]


class Desk:
    """Promotes with everything but the bundle and the gates as it is."""

    def __init__(self, store: Store, trust: Trust, key: SigningKey, versions: Versions) -> None:
        self.store, self.trust, self.key, self.versions = store, trust, key, versions

    def promote(self, bundle: Path, gates: Gates, *, label: str | None = "fraud") -> Promotion:
        return promote(
            bundle,
            store=self.store,
            environment="prod",
            trust=self.trust,
            key=self.key,
            gates=gates,
            events=self.versions.payments if label else None,
            label=label,
        )

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.store, "prod", self.trust)


@pytest.fixture
def desk(store: Store, trust: Trust, key: SigningKey, versions: Versions) -> Desk:
    return Desk(store, trust, key, versions)


WIDE = Gates(
    latency_ratio_most=1e6,
    size_ratio_most=100.0,
    average_precision_drop_most=1.0,
    swap_share_most=1.0,
    score_psi_most=1e6,
    first_reason_change_most=1.0,
)


def test_the_first_bundle_needs_no_champion_and_the_next_passes_its_gates(
    desk: Desk, signed: tuple[Path, Path]
) -> None:
    first = desk.promote(signed[0], WIDE)
    assert (first.results, first.compared) == ((), None)
    second = desk.promote(signed[1], WIDE)
    assert [result.holds for result in second.results] == [True] * 6
    assert second.recorded is not None
    in_place = desk.ledger.in_place()
    assert in_place == second.recorded
    assert in_place.bundle_id == read_bundle(signed[1]).bundle_id
    assert set(in_place.entry.grounds) == set(Gates.__struct_fields__)
    assert desk.store.bundle_image(in_place.bundle_id) == signed[1].read_bytes()


@pytest.mark.parametrize(
    "gates",
    [
        Gates(swap_share_most=0.0),
        Gates(score_psi_most=1e-9),
        Gates(size_ratio_most=0.01),
        Gates(first_reason_change_most=0.0),
        Gates(latency_ratio_most=1e-6),
    ],
    ids=lambda gates: next(name for name in Gates.__struct_fields__ if getattr(gates, name) is not None),
)
def test_a_gate_that_does_not_hold_leaves_everything_as_it_was(
    desk: Desk, signed: tuple[Path, Path], gates: Gates
) -> None:
    desk.promote(signed[0], gates)
    before = desk.ledger.entries()
    done = desk.promote(signed[1], gates)
    assert done.recorded is None
    assert [result.holds for result in done.results] == [False]
    assert desk.ledger.entries() == before
    assert desk.store.names("bundles", ".qt") == [read_bundle(signed[0]).bundle_id]


def test_a_gate_without_anything_to_judge_by_is_not_passed(desk: Desk, signed: tuple[Path, Path]) -> None:
    desk.promote(signed[0], WIDE)
    with pytest.raises(GateError, match=r"gates\.average_precision_drop_most: expected events, with labels"):
        desk.promote(signed[1], WIDE, label=None)
    assert len(desk.ledger.entries()) == 1


def test_there_is_no_promotion_of_what_is_not_newer_or_not_signed(
    desk: Desk, signed: tuple[Path, Path], versions: Versions
) -> None:
    desk.promote(signed[1], WIDE)
    with pytest.raises(GateError, match="expected a version above the champion's 2, found 1"):
        desk.promote(signed[0], WIDE)
    with pytest.raises(SigningError, match="expected signatures by builder"):
        desk.promote(versions.champion, WIDE)
    assert len(desk.ledger.entries()) == 1


def test_rolling_back_returns_to_what_was_there_before(desk: Desk, signed: tuple[Path, Path], key: SigningKey) -> None:
    for bundle in signed:
        desk.promote(bundle, WIDE)
    back = roll_back(store=desk.store, environment="prod", trust=desk.trust, key=key, why="a spike of declines")
    first_id = read_bundle(signed[0]).bundle_id
    assert (back.bundle_id, back.entry.action, back.entry.version) == (first_id, "rollback", 1)
    assert back.entry.grounds == {"why": "a spike of declines"}
    assert desk.ledger.in_place() == back
    # And from there to the other one again, by its id.
    second_id = read_bundle(signed[1]).bundle_id
    again = roll_back(store=desk.store, environment="prod", trust=desk.trust, key=key, to=second_id[:12])
    assert again.bundle_id == second_id


def test_what_is_revoked_or_never_was_there_does_not_come_back(
    desk: Desk, signed: tuple[Path, Path], key: SigningKey
) -> None:
    with pytest.raises(GateError, match="prod: expected a bundle that was in place before the present one, found none"):
        roll_back(store=desk.store, environment="prod", trust=desk.trust, key=key)
    for bundle in signed:
        desk.promote(bundle, WIDE)
    with pytest.raises(GateError, match="expected a bundle abcdef that was in place"):
        roll_back(store=desk.store, environment="prod", trust=desk.trust, key=key, to="abcdef")
    revoking = Trust(desk.trust.require, desk.trust.keys, 0, frozenset(), frozenset({read_bundle(signed[0]).bundle_id}))
    with pytest.raises(SigningError, match="is revoked"):
        roll_back(store=desk.store, environment="prod", trust=revoking, key=key)
    newer = Trust(desk.trust.require, desk.trust.keys, 2)
    with pytest.raises(SigningError, match="expected a bundle of version 2 or newer, found version 1"):
        roll_back(store=desk.store, environment="prod", trust=newer, key=key)
    assert len(desk.ledger.entries()) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "missing required field `gates`"),
        ("[gates]\nswap_share_most = 1.5", "swap_share_most"),
        ("[gates]\nspeed = 1", "unknown field `speed`"),
        ("[gates", "expected TOML, found a syntax error"),
    ],
)
def test_a_wrong_gates_file_is_refused_in_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "gates.toml"
    path.write_text(text)
    with pytest.raises(GateError) as refused:
        Gates.from_toml(path)
    assert str(refused.value).startswith(str(path))
    assert message in str(refused.value)
    with pytest.raises(GateError, match=r"none\.toml: expected a readable gates file"):
        Gates.from_toml(tmp_path / "none.toml")
