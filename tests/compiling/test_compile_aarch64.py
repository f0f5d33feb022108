"""A bundle's library for aarch64, made by a cross compiler, decides as the reference does; it runs under qemu."""

from __future__ import annotations

import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import xgboost

import quickthorn as qt
from quickthorn.bundle import read_bundle
from quickthorn.compiling import compile_bundle
from quickthorn.compiling.toolchain import find_compilers
from quickthorn.decision import Policy
from quickthorn.errors import ToolchainError
from quickthorn.forest.importing import load_model
from quickthorn.reference import ReferenceEngine

ROOT = Path(__file__).resolve().parents[2]
COMPILER = "aarch64-linux-gnu-g++"
QEMU = next(filter(None, map(shutil.which, ("qemu-aarch64", "qemu-aarch64-static"))), None)
POLICY = Policy.with_thresholds(review=0.3, decline=0.8, invalid="review")
START_US = 1_785_000_000_000_000


class Payment(qt.Event):
    event_id: qt.Id
    at: qt.EventTime
    customer: qt.Entity
    terminal: qt.Entity | None = None
    amount: qt.Money


def features() -> qt.FeatureSet:
    """One of every kind of machine code: integer and float windows, extremes, sets, decay, and libm."""
    made = qt.FeatureSet(Payment)
    made["log_amount"] = qt.log(Payment.amount)
    hour = qt.time_of_day(Payment.at, zone="Europe/Berlin", years=(2026, 2027))
    made["hour_sin"], made["hour_cos"] = qt.cyclic(hour, 24)
    for window in ("1h", "7d"):
        made[f"count_{window}"] = qt.count(by=Payment.customer, over=window)
        made[f"mean_{window}"] = qt.mean(Payment.amount, by=Payment.customer, over=window)
        made[f"std_{window}"] = qt.std(Payment.amount, by=Payment.customer, over=window, ddof=1)
        made[f"max_{window}"] = qt.max(Payment.amount, by=Payment.customer, over=window)
    made["terminals"] = qt.distinct(Payment.terminal, by=Payment.customer, over="7d")
    made["decayed"] = qt.decayed_sum(Payment.amount, by=Payment.terminal, half_life="1d")
    made["recency"] = qt.since_last(by=(Payment.customer, Payment.terminal))
    return made


@pytest.fixture(scope="module")
def model() -> xgboost.Booster:
    random = np.random.default_rng(3)
    vectors = random.exponential(size=(600, len(features().names))) * 3
    data = xgboost.DMatrix(vectors, label=vectors[:, 2] > vectors[:, 1], feature_names=list(features().names))
    return xgboost.train({"objective": "binary:logistic", "max_depth": 5, "nthread": 1}, data, 20)


def test_without_a_cross_compiler_one_sentence_names_what_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX_AARCH64", "no-such-compiler")
    with pytest.raises(
        ToolchainError,
        match=r"expected one that compiles for aarch64, found CXX_AARCH64='no-such-compiler', which is not a program; "
        r"install g\+\+-aarch64-linux-gnu, or set CXX_AARCH64$",
    ):
        find_compilers(("x86-64-v2", "armv8-a"))


@pytest.mark.skipif(not shutil.which(COMPILER), reason=f"{COMPILER} is not installed")
def test_what_nothing_here_can_run_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ToolchainError, match="target: expected one that this processor runs, to prove it here"):
        compile_bundle(features=features(), output=tmp_path / "arm.qt", target="armv8-a")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not (shutil.which(COMPILER) and QEMU), reason=f"{COMPILER} or qemu-aarch64 is not installed")
def test_the_engine_decides_on_aarch64_as_the_reference_does(tmp_path: Path, model: xgboost.Booster) -> None:
    bundle = tmp_path / "both.qt"
    targets = ("x86-64-v2", "armv8-a")
    summary = compile_bundle(features=features(), model=model, policy=POLICY, output=bundle, target=targets[::-1])
    assert summary.targets == targets
    (tmp_path / "library.so").write_bytes(read_bundle(bundle).members["library/armv8-a.so"])
    assert read_bundle(bundle).manifest.tools.compiler.count(";") == 1

    random = np.random.default_rng(4)
    count = 300
    given = np.zeros((count, 6), dtype="<i8")
    given[:, 0] = np.arange(count)
    given[:, 1] = START_US + np.cumsum(random.integers(0, 2, count) * random.integers(1, 9 * 10**9, count))
    given[:, 2], given[:, 3] = random.integers(0, 7, count), random.integers(0, 5, count)
    given[:, 4], given[:, 5] = random.integers(0, 10**6, count), random.integers(0, 6, count) > 0
    answers = run_under_qemu(tmp_path, given)

    loaded = load_model(model)
    reference = ReferenceEngine(features(), loaded.ensemble, POLICY)
    for (number, at, customer, terminal, minor_units, known), answer in zip(given.tolist(), answers, strict=True):
        event = {"event_id": number, "at": at, "customer": customer, "amount": f"{minor_units / 100:.2f}"}
        decision = reference.decide(event | ({"terminal": terminal} if known else {}))
        np.testing.assert_allclose(answer[:-1], list(decision.features.values()), rtol=1e-9, atol=1e-300)
    np.testing.assert_array_equal(answers[:, -1], loaded.source_margins(answers[:, :-1]))


def run_under_qemu(folder: Path, given: np.ndarray) -> np.ndarray:
    sources = [*sorted((ROOT / "cpp" / "quickthorn").glob("*.cpp")), Path(__file__).with_name("aarch64_engine.cpp")]

    def compiled(source: Path) -> str:
        flags = ["-std=c++20", "-O0", f"-I{ROOT / 'cpp'}", f"-I{ROOT / 'cpp' / 'library'}", "-c", str(source)]
        subprocess.run([COMPILER, *flags, "-o", f"{source.stem}.o"], cwd=folder, check=True)
        return f"{source.stem}.o"

    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(compiled, sources))
    subprocess.run([COMPILER, *objects, "-pthread", "-ldl", "-o", "engine"], cwd=folder, check=True)
    assert QEMU is not None
    command = [QEMU, "-L", "/usr/aarch64-linux-gnu", "./engine", "library.so"]
    ran = subprocess.run(command, cwd=folder, input=given.tobytes(), capture_output=True, check=False)
    assert ran.returncode == 0, ran.stderr.decode()
    return np.frombuffer(ran.stdout, dtype="<f8").reshape(len(given), -1)
