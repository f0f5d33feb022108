"""What an engine remembers can be saved while it decides, and another goes on from it as if nothing had stopped."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.engine.test_engine_parity import histories

import quickthorn as qt
from quickthorn.compiling import compile_bundle
from quickthorn.compiling.identity import group_identity
from quickthorn.errors import EventError, StateError
from quickthorn.features.plan import plan
from quickthorn.serving import state_file
from quickthorn.serving.state_file import ComponentLayout

S = 1_000_000
KEY = bytes(range(16))
SMALL: dict[str, Any] = {"hash_key": KEY, "max_keys": 100, "max_history_bytes": 1 << 22}


def loaded(path: Path, **options: Any) -> Any:
    return qt.Engine.load(path, **{**SMALL, **options}, allow_unsigned=True)


def told(engine: Any, operation: str, event: object) -> tuple[Any, ...]:
    """All that an engine says when it is told something."""
    try:
        features = tuple(map(repr, engine.features(event).values()))
    except EventError as error:
        features = (str(error),)
    return features, repr(getattr(engine, operation)(event))


@pytest.mark.parametrize(
    "name", ["windows", "spreads", "lifetimes", "brief_lifetimes", "forgetful", "tight", "deciding"]
)
@settings(max_examples=6, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(history=histories(), place=st.integers(0, 25))
def test_saved_and_restored_is_never_stopped(
    specimens: dict[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
    history: list[tuple[str, dict[str, Any]]],
    place: int,
) -> None:
    path = specimens[name].path
    saved = tmp_path_factory.getbasetemp() / "hypothesis.state"
    engine = loaded(path)
    steps = [(op if name == "deciding" or op == "observe" else "observe", event) for op, event in history]
    for operation, event in steps[:place]:
        told(engine, operation, event)
    engine.save_state(saved)
    other = loaded(path, state=saved)
    assert other.counters() == engine.counters()
    for operation, event in steps[place:]:
        assert told(other, operation, event) == told(engine, operation, event)
    engine.save_state(saved)
    before = saved.read_bytes()
    other.save_state(saved)
    assert saved.read_bytes() == before  # the state is the same to the last byte, and so is its file


class Swipe(qt.Event):
    event_id: qt.Id
    at: qt.EventTime
    card: qt.Entity
    shop: qt.Entity
    amount: qt.Money = qt.field(minor_units=True)


@qt.kernel
def large(amount):  # type: ignore[no-untyped-def]
    return amount > 100.0


@qt.kernel
def huge(amount):  # type: ignore[no-untyped-def]
    return amount > 200.0


def swipes(over: str = "1h", where: Any = None, by: Any = None, extra: bool = False, **options: Any) -> qt.FeatureSet:
    features = qt.FeatureSet(Swipe, **{"remembered_ids": 1000, **options})
    features["card_count"] = qt.count(by=Swipe.card if by is None else by, over=over, where=where)
    features["card_sum"] = qt.sum(Swipe.amount, by=Swipe.card if by is None else by, over=over)
    features["shop_count"] = qt.count(by=Swipe.shop, over="1d")
    features["linked"] = qt.component_size(qt.Component(Swipe.card, Swipe.shop), of=Swipe.card)
    if extra:
        features["amount"] = Swipe.amount
        features["usual"] = large(features["card_sum"])
    return features


def swipe(number: int, card: object = "c", shop: object = "s") -> dict[str, Any]:
    return {"event_id": number, "at": number, "card": card, "shop": shop, "amount": 1}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("swipes") / "swipes.qt"
    compile_bundle(features=swipes(), output=path, target="x86-64-v2")
    return path


@pytest.fixture
def engine(bundle: Path) -> Any:
    engine = loaded(bundle)
    for number in range(300):
        engine.observe(swipe(number, card=number % 7))
    return engine


@pytest.fixture
def saved(engine: Any, tmp_path: Path) -> Path:
    engine.save_state(tmp_path / "engine.state")
    return tmp_path / "engine.state"


def test_threads_that_decide_meanwhile_are_all_on_one_side_of_the_moment(bundle: Path, tmp_path: Path) -> None:
    engine, over, threads = loaded(bundle, max_keys=10), threading.Event(), 3

    def decide(thread: int) -> None:
        number = thread
        while not over.is_set() and number < 60_000:  # what a shop's ring holds
            engine.observe({**swipe(number, card=thread), "at": 0})
            number += threads

    running = [threading.Thread(target=decide, args=(thread,)) for thread in range(threads)]
    for thread in running:
        thread.start()
    try:
        for round_ in range(8):
            time.sleep(0.01)
            engine.save_state(tmp_path / f"{round_}.state")
    finally:
        over.set()
        for thread in running:
            thread.join()
    seen = 0
    for round_ in range(8):
        other = loaded(bundle, max_keys=10, state=tmp_path / f"{round_}.state")
        observed = other.counters()["observed"]
        last = swipe(10**9)
        cards = [other.features({**last, "event_id": f"{card}", "card": card}) for card in range(threads)]
        assert sum(features["card_count"] for features in cards) == observed
        assert cards[0]["shop_count"] == observed
        assert observed >= seen
        seen = observed
    assert seen > 0


class _Pipe:
    """Saves into a pipe, so that the writer waits until somebody reads."""

    def __init__(self, engine: Any) -> None:
        self.end, end = os.pipe()
        self.failure: Exception | None = None

        def save() -> None:
            try:
                engine._save_state(end)
            except OSError as error:
                self.failure = error
            finally:
                os.close(end)

        self.thread = threading.Thread(target=save)
        self.thread.start()

    def rest(self) -> bytes:
        content = bytearray()
        while chunk := os.read(self.end, 1 << 16):
            content += chunk
        self.thread.join()
        os.close(self.end)
        return bytes(content)


def test_decisions_do_not_wait_for_the_write(engine: Any) -> None:
    before = _Pipe(engine).rest()
    pipe = _Pipe(engine)
    start = os.read(pipe.end, 16)  # the moment has passed; the rest waits for its reader
    for number in range(300, 600):
        assert engine.observe(swipe(number)) == "ok"
    assert pipe.thread.is_alive()
    assert start + pipe.rest() == before


def test_a_writer_that_is_killed_is_an_error_and_its_engine_goes_on(engine: Any) -> None:
    pipe = _Pipe(engine)
    os.read(pipe.end, 16)
    children = [
        int(child) for task in Path("/proc/self/task").iterdir() for child in (task / "children").read_text().split()
    ]
    for child in children:
        command = Path(f"/proc/{child}/stat").read_text()
        if f" {os.getpid()} " in command:
            os.kill(child, signal.SIGKILL)
    pipe.rest()
    assert isinstance(pipe.failure, InterruptedError)
    assert engine.observe(swipe(300)) == "ok"


def test_any_altered_bit_and_any_missing_byte_is_refused(bundle: Path, saved: Path, tmp_path: Path) -> None:
    image = saved.read_bytes()
    other, damaged = loaded(bundle), tmp_path / "damaged.state"
    other.observe(swipe(5))
    before = other.features(swipe(6))
    # Every byte of the head and of the end, and one in a stretch of those between.
    places = [*range(0, 512), *range(512, len(image) - 64, len(image) // 150), *range(len(image) - 64, len(image))]
    for place in places:
        damaged.write_bytes(image[:place] + bytes([image[place] ^ 1 << place % 8]) + image[place + 1 :])
        with pytest.raises(StateError) as caught:
            other.restore_state(damaged)
        assert ": expected " in str(caught.value)
        assert "\n" not in str(caught.value)
    for place in (*range(0, 100), *range(100, len(image), len(image) // 100), len(image) - 1):
        damaged.write_bytes(image[:place])
        with pytest.raises(StateError, match=r"truncated|at least 64 bytes"):
            other.restore_state(damaged)
    damaged.write_bytes(image + b"\0")
    with pytest.raises(StateError, match="found 1 bytes more"):
        other.restore_state(damaged)
    assert other.features(swipe(6)) == before
    assert other.counters()["observed"] == 1
    other.restore_state(saved)
    assert other.counters()["observed"] == 300


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"max_keys": 50}, "saved with max_keys 50, as this engine has, found one saved with 100"),
        ({"max_history_bytes": 1 << 20}, "max_history_bytes 1048576, as this engine has"),
        ({"hash_key": bytes(16)}, "this engine's hash key, found one saved under another"),
    ],
)
def test_a_state_of_other_limits_or_another_key_is_refused(
    bundle: Path, saved: Path, options: dict[str, Any], expected: str
) -> None:
    with pytest.raises(StateError, match=expected):
        loaded(bundle, state=saved, **options)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"abi_version": 99}, "abi_version 99"),
        ({"row_limit": 7}, "a bundle with row_limit 7, found one of a bundle with 65536"),
        ({"lateness_us": 5}, "lateness_us 5"),
        ({"expire_after_us": 5}, "expire_after_us 5"),
        ({"remembered_ids": 5}, "remembered_ids 5"),
        ({"components": (ComponentLayout(entities=("card", "shop"), cap=5, labelled=False),)}, "connected components"),
        ({"groups": ()}, "expected a state of no keys, found one of keys card, shop"),
    ],
)
def test_a_state_of_another_bundle_is_refused_with_what_differs(
    engine: Any, saved: Path, change: dict[str, Any], expected: str
) -> None:
    engine._layout = msgspec.structs.replace(engine._layout, **change)
    with pytest.raises(StateError, match=expected):
        engine.restore_state(saved)


def test_a_state_of_features_that_keep_other_things_is_refused(saved: Path, tmp_path: Path) -> None:
    compile_bundle(features=swipes(where=large(Swipe.amount)), output=tmp_path / "other.qt", target="x86-64-v2")
    with pytest.raises(StateError, match="expected a state in which card keeps what it keeps in this bundle"):
        loaded(tmp_path / "other.qt", state=saved)


def test_what_a_key_keeps_is_told_apart_by_all_that_decides_it() -> None:
    def layouts(features: qt.FeatureSet) -> list[str | None]:
        return [group_identity(group) for group in plan(features).groups]

    again = qt.kernel(large.function)
    card, shop = layouts(swipes())
    assert layouts(swipes(extra=True, row_limit=7)) == [card, shop]
    assert layouts(swipes(over="2h"))[1] == shop
    assert layouts(swipes(where=large(Swipe.amount))) == layouts(swipes(where=again(Swipe.amount)))
    others = [
        swipes(over="2h"),
        swipes(where=large(Swipe.amount)),
        swipes(where=huge(Swipe.amount)),
        swipes(by=(Swipe.card, Swipe.shop)),
    ]
    assert len({card, *(layouts(features)[0] for features in others)}) == 5
    assert None not in (card, shop)


def test_a_bundle_with_other_features_over_the_same_memory_goes_on(saved: Path, tmp_path: Path) -> None:
    compile_bundle(features=swipes(extra=True), output=tmp_path / "next.qt", target="x86-64-v2")
    features = loaded(tmp_path / "next.qt", state=saved).features(swipe(301, card=0))
    assert (features["card_count"], features["shop_count"], features["linked"]) == (43.0, 300.0, 8.0)


def test_no_file_but_a_state_is_taken(engine: Any, bundle: Path, saved: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    newer = bytearray(saved.read_bytes())
    newer[8] += 1
    (tmp_path / "newer").write_bytes(newer)
    for path, expected in {
        tmp_path / "none": "found: No such file",
        tmp_path / "folder": "Is a directory",
        Path("/dev/null"): "not a regular file",
        bundle: "found a file that starts with",
        tmp_path / "newer": "found version 2: it was saved by a newer quickthorn",
    }.items():
        with pytest.raises(StateError, match=expected):
            engine.restore_state(path)
    for wrong in (None, 5, b"\0"):
        with pytest.raises((TypeError, StateError)):
            engine.restore_state(wrong)
        with pytest.raises((TypeError, StateError)):
            engine.save_state(wrong)


def test_the_file_says_nothing_of_who_was_seen_and_is_its_owners(saved: Path) -> None:
    content = saved.read_bytes()
    assert KEY not in content
    assert saved.stat().st_mode & 0o077 == 0


def test_a_full_disk_leaves_what_was_there(engine: Any, saved: Path) -> None:
    before = saved.read_bytes()
    engine.observe(swipe(300))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit in (10, len(before) // 2, len(before) - 10):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            with pytest.raises(StateError, match=r"expected to write the state, found: File too large"):
                engine.save_state(saved)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert saved.read_bytes() == before
        assert [path.name for path in saved.parent.iterdir()] == [saved.name]
    with pytest.raises(StateError, match="not a regular file"):
        engine.save_state("/dev/full")


@pytest.mark.parametrize(
    "sabotage",
    [
        "import os; os.fsync = lambda descriptor: os.kill(os.getpid(), 9)",
        "import os; os.replace = lambda old, new: os.kill(os.getpid(), 9)",
        "from quickthorn.serving import state_file; state_file.hmac.new = lambda *a, **k: os.kill(os.getpid(), 9)",
    ],
)
def test_a_kill_in_the_middle_leaves_what_was_there(bundle: Path, saved: Path, sabotage: str) -> None:
    before = saved.read_bytes()
    program = (
        "import os, sys, quickthorn as qt\n"
        f"engine = qt.Engine.load(sys.argv[1], hash_key={KEY!r}, max_keys=100, max_history_bytes=1 << 22, "
        "allow_unsigned=True)\n"
        f"{sabotage}\n"
        "engine.save_state(sys.argv[2])\n"
    )
    ended = subprocess.run([sys.executable, "-c", program, str(bundle), str(saved)], check=False, timeout=60)
    assert ended.returncode == -signal.SIGKILL
    assert saved.read_bytes() == before
    assert loaded(bundle, state=saved).counters()["observed"] == 300


def test_a_state_that_is_adopted_cannot_be_adopted_again(engine: Any, bundle: Path) -> None:
    staged = engine._stage_state()
    with pytest.raises(ValueError, match="staged for this engine"):
        loaded(bundle)._adopt_state(staged)
    with pytest.raises(ValueError, match="within the state"):
        engine._put_state(staged, 1 << 40, b"x")
    engine._adopt_state(staged)
    with pytest.raises(ValueError, match="not adopted yet"):
        engine._adopt_state(staged)


def test_the_specified_bytes_are_the_bytes(saved: Path, engine: Any) -> None:
    """docs/STATE_FORMAT.md in a few lines, apart from the reader."""
    import hmac
    import json

    content = saved.read_bytes()
    assert content[:8] == b"\x89QTSTAT\n"
    length = int.from_bytes(content[12:16], "little")
    state_bytes = int.from_bytes(content[16:24], "little")
    assert json.loads(content[64 : 64 + length])["max_keys"] == 100
    check = hmac.digest(KEY, b"quickthorn state: check value of the hash key", "sha256")
    assert content[32:64] == check
    key = hmac.digest(KEY, b"quickthorn state: authentication of the file", "sha256")
    assert hmac.digest(key, content[:-32], "sha256") == content[-32:]
    place = -(-(64 + length) // 64) * 64
    while (run := [int.from_bytes(content[place + at : place + at + 8], "little") for at in (0, 8)])[1]:
        blocks = content[place + 16 : place + 16 + run[1] * 4096]
        assert all(any(blocks[at : at + 4096]) for at in range(0, len(blocks), 4096))
        place += 16 + len(blocks)
    assert run[0] == -(-state_bytes // 4096)
    assert place + 16 + 32 == len(content)
    assert int.from_bytes(content[8:12], "little") == state_file.FORMAT_VERSION
