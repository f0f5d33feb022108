"""What is compiled a second time comes from the cache, exactly as it was, and only where nothing has changed."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pyarrow as pa
import pytest

import quickthorn as qt
from quickthorn.compiling import build, compile_bundle
from quickthorn.compiling.cache import Cache
from quickthorn.compiling.identity import plan_identity
from quickthorn.features.declare import Kernel
from quickthorn.features.plan import plan
from quickthorn.replay import replay


class Payment(qt.Event):
    event_id: qt.Id
    at: qt.EventTime
    card: qt.Entity
    amount: qt.Money


FACTOR = 2.0


@qt.kernel
def scaled(amount):  # type: ignore[no-untyped-def]
    return amount * FACTOR


def features_with(kernel: Kernel = scaled, over: str = "1d") -> qt.FeatureSet:
    features = qt.FeatureSet(Payment)
    features["count"] = qt.count(by=Payment.card, over=over)
    features["made"] = kernel(Payment.amount)
    return features


def identity_of(features: qt.FeatureSet) -> str | None:
    return plan_identity(plan(features), "x86-64-v2")


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From the call on, features cannot be compiled: they are cached or the test fails."""

    def forbid(*arguments: Any) -> None:
        raise AssertionError("compiled again")

    return lambda: monkeypatch.setattr(build, "lower", forbid)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """A cache that holds one feature set, and the bundle of that."""
    folder = tmp_path_factory.mktemp("filled")
    compile_bundle(features=features_with(), output=folder / "one.qt", target="x86-64-v2", cache=folder / "cache")
    return folder / "cache", (folder / "one.qt").read_bytes()


def entries(cache: Path) -> list[Path]:
    return sorted(cache.glob("*.compiled"))


def test_a_second_compilation_gives_the_same_bundle_without_a_compiler(
    filled: tuple[Path, bytes], tmp_path: Path, no_compiler: Callable[[], None]
) -> None:
    cache, first = filled
    no_compiler()
    compile_bundle(features=features_with(), output=tmp_path / "two.qt", target="x86-64-v2", cache=cache)
    assert (tmp_path / "two.qt").read_bytes() == first


def test_replay_takes_a_feature_set_from_the_cache(
    filled: tuple[Path, bytes], tmp_path: Path, no_compiler: Callable[[], None]
) -> None:
    events = pa.table({"event_id": ["a"], "at": [1], "card": ["c"], "amount": [2.5]})
    first = replay(features_with(), events, cache=tmp_path)
    no_compiler()
    assert replay(features_with(), events, cache=tmp_path).equals(first)


def test_a_cache_that_is_switched_off_is_neither_read_nor_written(
    filled: tuple[Path, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_compiler: Callable[[], None]
) -> None:
    monkeypatch.setenv("QUICKTHORN_CACHE", str(filled[0]))
    assert Cache.chosen(True).directory == filled[0]
    assert Cache.chosen(False).directory is None
    monkeypatch.setenv("QUICKTHORN_CACHE", "off")
    assert Cache.chosen(True).directory is None
    monkeypatch.delenv("QUICKTHORN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert Cache.chosen(True).directory == tmp_path / "quickthorn"
    no_compiler()
    with pytest.raises(AssertionError, match="compiled again"):
        compile_bundle(features=features_with(), output=tmp_path / "two.qt", target="x86-64-v2", cache=False)
    assert not (tmp_path / "quickthorn").exists()


def with_its_last_bit_flipped(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


@pytest.mark.parametrize(
    "damage",
    [
        with_its_last_bit_flipped,
        lambda content: content[:-1],
        lambda content: content + b"\0",
        lambda content: bytes([content[0] ^ 1]) + content[1:],
        lambda content: content[:31],
        lambda content: b"",
    ],
)
def test_a_damaged_entry_is_made_again(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    cache = Cache(tmp_path)
    assert cache.get("a", bytes, lambda: b"right") == b"right"
    (entry,) = entries(tmp_path)
    whole = entry.read_bytes()
    entry.write_bytes(damage(whole))
    assert cache.get("a", bytes, lambda: b"made anew") == b"made anew"
    assert cache.get("a", bytes, lambda: b"never asked for") == b"made anew"


def test_an_entry_under_another_name_of_another_type_or_open_to_others_is_made_again(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.get("a", bytes, lambda: b"of a")
    (entry,) = entries(tmp_path)
    entry.rename(entry.with_stem("b"))
    assert cache.get("b", bytes, lambda: b"of b") == b"of b"
    assert cache.get("b", int, lambda: 7) == 7
    (entry,) = entries(tmp_path)
    entry.chmod(0o666)
    assert cache.get("b", int, lambda: 8) == 8


def test_processes_that_write_the_same_entry_at_once_leave_it_whole(tmp_path: Path) -> None:
    with ThreadPoolExecutor(max_workers=8) as pool:
        found = list(pool.map(lambda turn: Cache(tmp_path).get("a", bytes, lambda: b"x" * 100_000), range(64)))
    assert set(found) == {b"x" * 100_000}
    assert [path.name for path in tmp_path.iterdir()] == ["a.compiled"]


def test_a_directory_that_cannot_be_written_costs_only_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert Cache(tmp_path / "file").get("a", bytes, lambda: b"made") == b"made"


def test_the_least_recently_used_entries_go_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quickthorn.compiling.cache.ENTRIES_MOST", 3)
    cache = Cache(tmp_path)
    for name in "abcad":
        cache.get(name, bytes, name.encode)
    assert [path.stem for path in entries(tmp_path)] == ["a", "c", "d"]


def closed_over(value: Any) -> Kernel:
    @qt.kernel
    def made(amount):  # type: ignore[no-untyped-def]
        return amount * value

    return made


def calling(number: float) -> Kernel:
    @numba.njit
    def helper(amount):  # type: ignore[no-untyped-def]
        return amount + number

    @qt.kernel
    def made(amount):  # type: ignore[no-untyped-def]
        return helper(amount)

    return made


def indexing(table: Any) -> Kernel:
    @qt.kernel
    def made(amount):  # type: ignore[no-untyped-def]
        return table[int(amount) & 1] if math.isfinite(amount) else 0.0

    return made


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (closed_over(1), closed_over(1.0)),
        (closed_over(1), closed_over(True)),
        (closed_over(0.0), closed_over(-0.0)),
        (closed_over(1.0), closed_over(math.nextafter(1.0, 2.0))),
        (calling(1.0), calling(2.0)),
        (indexing((1.0, 2.0)), indexing((2.0, 1.0))),
        (indexing(np.array([1.0, 2.0])), indexing(np.array([1.0, 3.0]))),
        (indexing(np.array([1, 2])), indexing(np.array([1, 2], dtype=np.int32))),
    ],
)
def test_what_a_kernel_reaches_is_part_of_its_identity(one: Kernel, other: Kernel) -> None:
    first, second = identity_of(features_with(one)), identity_of(features_with(other))
    assert first is not None
    assert second is not None
    assert first != second
    assert first == identity_of(features_with(one))


def test_globals_plan_numba_and_its_settings_are_part_of_the_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {identity_of(features_with())}
    assert seen == {identity_of(features_with())}
    seen.add(identity_of(features_with(over="2d")))
    with monkeypatch.context() as changed:
        changed.setitem(globals(), "FACTOR", 3.0)
        seen.add(identity_of(features_with()))
    with monkeypatch.context() as changed:
        changed.setenv("NUMBA_OPT", "1")
        seen.add(identity_of(features_with()))
    for package in ("numba", "llvmlite", "quickthorn"):
        with monkeypatch.context() as changed:
            changed.setattr(
                "quickthorn.compiling.identity.metadata.version", lambda name, p=package: "9.9" if name == p else "1"
            )
            seen.add(identity_of(features_with()))
    assert len(seen) == 7
    assert None not in seen


def test_what_has_no_identity_is_never_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Opaque:
        pass

    def registered_elsewhere(amount):  # type: ignore[no-untyped-def]
        return amount

    assert identity_of(features_with(closed_over(Opaque()))) is None
    assert identity_of(features_with(closed_over(registered_elsewhere))) is None
    assert Cache(tmp_path).get(None, bytes, lambda: b"made") == b"made"
    assert entries(tmp_path) == []
