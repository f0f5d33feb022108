"""A state that is damaged or another engine's is refused with what differs, and the engine goes on with what it had."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.engine.swipes import Swipe, huge, large, loaded, swipe, swipes

import quickthorn as qt
from quickthorn.compiling import compile_bundle
from quickthorn.compiling.identity import group_identity
from quickthorn.errors import StateError
from quickthorn.features.plan import plan
from quickthorn.serving.state_file import ComponentLayout


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


def test_a_state_that_is_adopted_cannot_be_adopted_again(engine: Any, bundle: Path) -> None:
    staged = engine._stage_state()
    with pytest.raises(ValueError, match="staged for this engine"):
        loaded(bundle)._adopt_state(staged)
    with pytest.raises(ValueError, match="within the state"):
        engine._put_state(staged, 1 << 40, b"x")
    engine._adopt_state(staged)
    with pytest.raises(ValueError, match="not adopted yet"):
        engine._adopt_state(staged)
