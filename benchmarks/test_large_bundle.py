"""A large bundle, 1000 trees of 255 leaves over 200 features: what compiling it takes, and loading it with its trust.

    pytest benchmarks/test_large_bundle.py --benchmark-enable

Training the model takes minutes and is not measured.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.conftest import measuring
from benchmarks.feature_workload import two_hundred

import quickthorn as qt
from quickthorn.signing import SigningKey, sign_bundle

ROOT = Path(__file__).parents[1]

# Resident sizes: this process at its largest, and the largest of the compilers, as many of which run as there are
# processors.
COMPILE = """
import json, resource, sys, time
begun = time.perf_counter()
from benchmarks.feature_workload import two_hundred
from quickthorn.compiling import compile_bundle
from quickthorn.decision import Policy
policy = Policy.with_thresholds(review=0.3, decline=0.8, invalid="review")
made = compile_bundle(features=two_hundred(), model=sys.argv[1], policy=policy, output=sys.argv[2])
peaks = [resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print(json.dumps([time.perf_counter() - begun, *peaks, made.size_bytes]))
"""

LOAD = """
import json, sys, time
import quickthorn, quickthorn.signing
taken = []
for _ in range(int(sys.argv[3])):
    begun = time.perf_counter()
    engine = quickthorn.Engine.load(sys.argv[1], trust=sys.argv[2])
    taken.append(time.perf_counter() - begun)
print(json.dumps(taken))
"""


def run(program: str, *arguments: object) -> Any:
    ran = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return json.loads(ran.stdout)


@pytest.fixture
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A model file of LightGBM over the 200 features."""
    lightgbm = pytest.importorskip("lightgbm")
    trees, leaves, count = (1_000, 255, 20_000) if measuring(request.config) else (5, 31, 2_000)
    random = np.random.default_rng(3)
    names = list(two_hundred().names)
    rows = random.exponential(size=(count, len(names))).astype(np.float32)
    rows[random.random(rows.shape) < 0.1] = np.nan
    margin = np.nansum(rows[:, :40] * random.normal(size=40), axis=1) + random.normal(size=count)
    parameters = {"objective": "binary", "num_leaves": leaves, "learning_rate": 0.02, "min_data_in_leaf": 5}
    parameters |= {"num_threads": 2, "verbosity": -1, "deterministic": True, "force_row_wise": True, "seed": 7}
    data = lightgbm.Dataset(rows, margin > 0, feature_name=names)
    path = tmp_path / "model.txt"
    lightgbm.train(parameters, data, trees).save_model(path)
    return path


def test_compiling_and_loading_a_large_bundle(
    request: pytest.FixtureRequest, model: Path, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    bundle, key = tmp_path / "large.qt", SigningKey.generate()
    seconds, own_mib, compiler_mib, size_bytes = run(COMPILE, model, bundle)
    sign_bundle(bundle, key, "builder")
    trust = tmp_path / "trust.toml"
    trust.write_text(
        'require = ["builder"]\n[[keys]]\nname = "ci"\nroles = ["builder"]\n'
        f'public_key = """\n{key.public.pem.decode()}"""\n'
    )
    loads = run(LOAD, bundle, trust, 9 if measuring(request.config) else 1)
    forest = qt.Engine.load(bundle, trust=trust).manifest.forest
    assert forest is not None
    parallel = os.cpu_count() or 1
    figure(
        f"{forest.trees} trees, {forest.leaves:,} leaves, 200 features, {size_bytes / 2**20:.0f} MiB: compiled in "
        f"{seconds:.1f} s with {own_mib:.0f} MiB and {parallel} times up to {compiler_mib:.0f} MiB of compilers; "
        f"loaded and verified in {np.median(loads) * 1e3:.0f} ms (median of {len(loads)}, the first "
        f"{loads[0] * 1e3:.0f})"
    )
    assert min(loads) > 0
    assert own_mib > 0
