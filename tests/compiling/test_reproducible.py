"""The same inputs give the same bundle, byte for byte, wherever and by whomever it is built."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import xgboost

from quickthorn.bundle import read_bundle

BUILD = """\
import sys
from pathlib import Path

import quickthorn as qt
from quickthorn.compiling import compile_bundle


class Payment(qt.Event):
    event_id: qt.Id
    at: qt.EventTime
    customer: qt.Entity
    amount: qt.Money
    country: qt.Category | None = qt.field(values=("DE", "FR"))


@qt.kernel
def ratio(amount, usual):
    return amount / usual if usual > 0 else 0.5


features = qt.FeatureSet(Payment)
features["usual"] = qt.mean(Payment.amount, by=Payment.customer, over="7d")
features["ratio"] = ratio(Payment.amount, features["usual"])
features["hour"] = qt.hour(Payment.at, zone="Europe/Paris", years=(2025, 2027))
features["country"] = Payment.country
compile_bundle(features=features, model="model.ubj", policy="policy.toml", output=Path(sys.argv[1]), target="x86-64-v3")
"""
POLICY = '[thresholds]\nreview = 0.3\ndecline = 0.8\n\n[fallback]\ninvalid = "review"\n'


def built(place: Path, model: xgboost.Booster, **environment: str) -> bytes:
    """The bundle that a process of its own builds there."""
    place.mkdir(parents=True)
    (place / "build.py").write_text(BUILD)
    (place / "policy.toml").write_text(POLICY)
    model.save_model(place / "model.ubj")
    scratch = place / "scratch"
    scratch.mkdir()
    told = {**os.environ, "TMPDIR": str(scratch), "HOME": str(place), **environment}
    command = [sys.executable, "build.py", str(place / "fraud.qt")]
    ran = subprocess.run(command, cwd=place, env=told, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stderr
    return (place / "fraud.qt").read_bytes()


def test_place_time_language_and_hash_seed_leave_no_trace(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    rows = random.normal(size=(300, 4))
    data = xgboost.DMatrix(rows, label=rows[:, 0] > 0, feature_names=["usual", "ratio", "hour", "country"])
    model = xgboost.train({"objective": "binary:logistic", "max_depth": 3, "nthread": 1}, data, 5)
    here = built(tmp_path / "here", model, PYTHONHASHSEED="1", TZ="UTC", LC_ALL="C", SOURCE_DATE_EPOCH="0")
    there = built(
        tmp_path / "another place" / "of a longer name",
        model,
        PYTHONHASHSEED="4242",
        TZ="Asia/Tokyo",
        LC_ALL="C.UTF-8",
        SOURCE_DATE_EPOCH="1700000000",
        USER="somebody",
    )
    assert here == there
    # And nothing in it says where it was built.
    assert str(tmp_path).encode() not in here
    assert read_bundle(here).bundle_id == read_bundle(there).bundle_id
