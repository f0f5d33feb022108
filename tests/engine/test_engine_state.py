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

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.engine.swipes import KEY, loaded, swipe, swipes
from tests.engine.test_engine_parity import histories

from quickthorn.compiling import compile_bundle
from quickthorn.errors import EventError, StateError
from quickthorn.serving import state_file


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


def test_a_bundle_with_other_features_over_the_same_memory_goes_on(saved: Path, tmp_path: Path) -> None:
    compile_bundle(features=swipes(extra=True), output=tmp_path / "next.qt", target="x86-64-v2")
    features = loaded(tmp_path / "next.qt", state=saved).features(swipe(301, card=0))
    assert (features["card_count"], features["shop_count"], features["linked"]) == (43.0, 300.0, 8.0)


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
