"""The relocatable object: reproducible, self-contained, and the same arithmetic on every CPU level."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import quickthorn as qt
from quickthorn.features.lowering import lower
from quickthorn.features.plan import plan

PROGRAM = """
import hashlib, math, sys
import quickthorn as qt
from quickthorn.features.lowering import lower
from quickthorn.features.plan import plan

class Payment(qt.Event):
    event_id: qt.Id
    at: qt.EventTime
    customer: qt.Entity
    amount: qt.Money
    score: qt.Number | None

def declared(kernel):
    features = qt.FeatureSet(Payment)
    features["mean"] = qt.mean(Payment.score, by=Payment.customer, over="1d", include_current=True)
    features["log"] = kernel(Payment.amount)
    return features

@qt.kernel
def logarithm(amount):
    return round(math.log(amount), 3)

@qt.kernel
def root(amount):
    return math.sqrt(amount)

if "warm" in sys.argv:
    lower(plan(declared(root)), "x86-64-v2")
print(hashlib.sha256(lower(plan(declared(logarithm)), "x86-64-v3").object_bytes).hexdigest())
"""


class Payment(qt.Event):
    event_id: qt.Id
    at: qt.EventTime
    customer: qt.Entity
    amount: qt.Money
    score: qt.Number | None = None


@qt.kernel
def remainder_of(amount: float, score: float) -> float:
    return amount % 7.3 + float(score**1.7)


def small_set() -> qt.FeatureSet:
    features = qt.FeatureSet(Payment)
    features["count"] = qt.count(by=Payment.customer, over="10us", include_current=True)
    features["mean"] = qt.mean(Payment.score, by=Payment.customer, over="40us")
    features["sum"] = qt.sum(Payment.amount, by=Payment.customer, over="20us", delay="5us")
    features["remainder"] = remainder_of(Payment.amount, features["mean"])
    return features


@pytest.mark.skipif(shutil.which("nm") is None, reason="nm (binutils) is not installed")
def test_the_object_exports_the_abi_and_needs_libm_only(tmp_path: Path) -> None:
    path = tmp_path / "features.o"
    path.write_bytes(lower(plan(small_set())).object_bytes)
    listing = subprocess.run(["nm", "-P", str(path)], check=True, capture_output=True, text=True).stdout
    kinds = {line.split()[0]: line.split()[1] for line in listing.splitlines()}
    assert {name for name, kind in kinds.items() if kind == "T"} == {
        "quickthorn_fill_0",
        "quickthorn_read_0",
        "quickthorn_absorb_0",
        "quickthorn_release_0",
        "quickthorn_derive",
    }
    assert {name for name, kind in kinds.items() if kind == "U"} == {"fmod", "pow"}
    # Constants and code only: a library of features keeps no state of its own.
    assert set(kinds.values()) <= {"T", "t", "r", "U"}


def test_the_object_is_relocatable_position_independent_elf() -> None:
    image = lower(plan(small_set())).object_bytes
    assert image[:4] == b"\x7fELF"
    assert struct.unpack_from("<H", image, 16) == (1,)  # ET_REL
    # The ring is addressed relative to arguments: nothing in it is an absolute 32-bit or 64-bit relocation.
    readelf = shutil.which("readelf")
    if readelf is None:
        pytest.skip("readelf (binutils) is not installed")
    relocations = subprocess.run([readelf, "-rW", "/dev/stdin"], input=image, check=False, capture_output=True).stdout
    assert b"R_X86_64_32" not in relocations
    assert b"R_X86_64_64" not in relocations


def test_the_layout_is_what_the_plan_says() -> None:
    lowered = lower(plan(small_set()), "x86-64-v2")
    (group,) = lowered.groups
    assert (group.entity_slots, group.row_bytes, group.record_bytes, group.fold) == ((2,), 24, 0, None)
    assert (group.value_first, group.value_count, group.horizon_us) == (0, 3, 40)
    assert group.state_bytes == plan(small_set()).groups[0].state_bytes
    assert (lowered.slot_count, lowered.value_count, lowered.feature_count) == (5, 3, 4)


def test_the_same_features_give_the_same_bytes_in_any_process() -> None:
    digests = set()
    for seed, arguments in (("1", []), ("2", ["warm"])):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        run = subprocess.run(
            [sys.executable, "-", *arguments],
            input=PROGRAM,
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        )
        digests.add(run.stdout.strip())
    assert len(digests) == 1
    assert len(digests.pop()) == len(hashlib.sha256().hexdigest())


def test_every_level_computes_the_same_bits(compile_features: Any) -> None:
    # Fused multiply-adds or reassociated sums would show as a difference in the last bit.
    libraries = [compile_features(small_set(), target) for target in ("x86-64-v2", "host")]
    histories = [library.history(0, 64) for library in libraries]
    source, seen = random.Random(7), []
    for at in range(0, 4_000, 3):
        event = {"amount": source.randrange(10**9), "score": source.uniform(-1, 1) * 10.0 ** source.randrange(-9, 9)}
        both = []
        for library, history in zip(libraries, histories, strict=True):
            values = history.read(at, with_current=True, **event)
            both.append(struct.pack("<7d", *values, *library.derive(values, at=at, **event).values()))
            history.insert(at, **event)
        seen.append(both[0])
        assert both[0] == both[1]
    assert len(set(seen)) > 1_000


@pytest.mark.parametrize("target", ["x86-64-v3", "x86-64-v4"])
def test_levels_that_this_machine_may_lack_compile_all_the_same(target: str) -> None:
    assert lower(plan(small_set()), target).target == target


def test_declaring_and_planning_import_neither_numba_nor_llvmlite() -> None:
    program = (
        "import sys, quickthorn.features, quickthorn.features.plan, quickthorn.features.lowering\n"
        "print(sorted(name for name in sys.modules if name.split('.')[0] in ('numba', 'llvmlite')))"
    )
    run = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert run.stdout.strip() == "[]"
