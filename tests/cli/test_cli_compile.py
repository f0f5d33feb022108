"""The command `quickthorn compile`, as a model's CI calls it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import xgboost
from pyarrow import parquet

import quickthorn as qt
from quickthorn.bundle import ReferenceSummary, read_bundle
from quickthorn.cli import main

FEATURES = """\
import math
import quickthorn as qt
from neighbour import DAYS


class Payment(qt.Event):
    event_id: qt.Id
    at: qt.EventTime
    customer: qt.Entity
    amount: qt.Money


@qt.kernel
def ratio(amount, usual):
    return amount / usual if usual > 0 else math.nan


features = qt.FeatureSet(Payment)
features["amount"] = Payment.amount
features["usual"] = qt.mean(Payment.amount, by=Payment.customer, over=DAYS)
features["amount_to_usual"] = ratio(Payment.amount, features["usual"])
"""
PROJECT = """\
[compile]
features = "fraud/features.py:features"
model = "model.ubj"
policy = "policy.toml"
reference = "march.parquet"
output = "fraud.qt"
version = 3
target = "x86-64-v2"
contributions = true
"""
POLICY = '[thresholds]\nreview = 0.3\ndecline = 0.8\n\n[fallback]\ninvalid = "review"\n'


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "fraud").mkdir()
    (tmp_path / "fraud" / "features.py").write_text(FEATURES)
    (tmp_path / "fraud" / "neighbour.py").write_text('DAYS = "30d"\n')
    (tmp_path / "policy.toml").write_text(POLICY)
    random = np.random.default_rng(4)
    vectors = random.normal(size=(400, 3))
    names = ["amount", "usual", "amount_to_usual"]
    parquet.write_table(pa.table(dict(zip(names, vectors.T, strict=True))), tmp_path / "march.parquet")
    data = xgboost.DMatrix(vectors, label=vectors[:, 1] > 0, feature_names=names)
    parameters = {"objective": "binary:logistic", "max_depth": 3, "nthread": 1}
    xgboost.train(parameters, data, 4).save_model(tmp_path / "model.ubj")
    return tmp_path


def arguments(project: Path, **changed: str) -> list[str]:
    given = {
        "--features": f"{project}/fraud/features.py:features",
        "--model": f"{project}/model.ubj",
        "--policy": f"{project}/policy.toml",
        "-o": f"{project}/fraud.qt",
        **changed,
    }
    return ["compile", *(part for pair in given.items() for part in pair), "--quiet"]


def test_the_documented_command_makes_a_bundle_that_decides(project: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "quickthorn.cli", *arguments(project)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "3 features, 4 trees" in ran.stdout
    assert "512 golden vectors agree" in ran.stdout
    assert "256 golden events agree" in ran.stdout
    engine = qt.Engine.load(project / "fraud.qt", allow_unsigned=True)
    decision = engine.decide({"event_id": "p", "at": 0, "customer": "c", "amount": "5.00"})
    assert decision.status == "ok"
    assert 0 < decision.score < 1


def test_a_project_file_says_what_to_compile_and_the_command_line_what_is_different(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "quickthorn.toml").write_text(PROJECT)
    monkeypatch.chdir(project)
    assert main(["compile"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("fraud.qt: ")
    steps = [line.rpartition("  ")[0].strip() for line in said.err.splitlines()]
    assert "ask xgboost for golden vectors" in steps
    assert "compile the libraries for x86-64-v2" in steps
    assert all(line.endswith(" s") for line in said.err.splitlines())
    manifest = read_bundle(project / "fraud.qt").manifest
    assert (manifest.version, manifest.targets) == (3, ("x86-64-v2",))
    assert manifest.golden is not None
    assert manifest.golden.explained_rows > 0
    assert manifest.reference == ReferenceSummary(of="features", rows=400)

    # From another directory: paths are relative to the file.
    (project / "elsewhere").mkdir()
    monkeypatch.chdir(project / "elsewhere")
    changed = ["--no-contributions", "--bundle-version", "4", "-o", "other.qt"]
    assert main(["compile", "--project", "../quickthorn.toml", *changed, "--quiet", "--json"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    found = json.loads(said.out)
    assert found["bundle"]["path"] == "other.qt"
    assert found["seconds"].keys() == set(steps)
    other = read_bundle(project / "elsewhere" / "other.qt")
    assert other.bundle_id == found["bundle"]["bundle_id"]
    assert other.manifest.version == 4
    assert other.manifest.golden is not None
    assert other.manifest.golden.explained_rows == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "quickthorn.toml: expected a readable project file, found: No such file or directory"),
        ('[compile]\nfeature = "x"', "quickthorn.toml: compile: object contains unknown field `feature`"),
        ("[bundle]\nversion = 1", "object contains unknown field `bundle`"),
        ('[compile]\nversion = "first"', "quickthorn.toml: compile.version: expected `int | null`, found `str`"),
        ("[compile]\nmodel = 3", "quickthorn.toml: compile.model: expected `str | null`, found `int`"),
        ("[compile", "quickthorn.toml: expected TOML, found a syntax error"),
        ('[compile]\noutput = "x.qt"', "features: expected --features, or compile.features in"),
        ('[compile]\nfeatures = "x.py:x"', "output: expected --output, or compile.output in"),
    ],
)
def test_a_wrong_project_file_is_refused_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None, message: str
) -> None:
    path = tmp_path / "quickthorn.toml"
    if text is not None:
        path.write_text(text)
    assert main(["compile", "--project", str(path)]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert message in said.err


def test_a_step_that_fails_is_the_last_one_shown(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = [part for part in arguments(project, **{"--model": str(project / "policy.toml")}) if part != "--quiet"]
    assert main(given) == 2
    *_, step, error = capsys.readouterr().err.splitlines()
    assert step.split() == ["read", "the", "model", "not", "done"]
    assert error.startswith("quickthorn compile: error: ")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"--features": "features"}, '--features: expected FILE.py:NAME such as "fraud/features.py:features"'),
        ({"--features": "nowhere.py:features"}, "--features: expected a Python file, found none at nowhere.py"),
        ({"--features": "{project}/fraud/features.py:model"}, "expected a FeatureSet named 'model'"),
        ({"--features": "{project}/fraud/features.py:Payment"}, "expected a FeatureSet named 'Payment'"),
        ({"--model": "{project}/policy.toml"}, "policy.toml: not a model"),
        ({"--policy": "{project}/model.ubj"}, "model.ubj: expected"),
        ({"--target": "z80"}, "target: expected one of"),
        ({"-o": "{project}/no/such/fraud.qt"}, "expected to write the file, found: No such file or directory"),
    ],
)
def test_a_wrong_argument_is_one_line_and_exit_code_2(
    project: Path, capsys: pytest.CaptureFixture[str], changed: dict[str, str], message: str
) -> None:
    changed = {name: value.format(project=project) for name, value in changed.items()}
    assert main(arguments(project, **changed)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("quickthorn compile: error: ")
    assert message in err
    assert err.count("\n") == 1


def test_a_features_file_that_breaks_is_named(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "fraud" / "features.py").write_text("import no_such_module_anywhere\n")
    assert main(arguments(project)) == 2
    assert "features.py cannot be imported: ModuleNotFoundError" in capsys.readouterr().err


def test_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    for verb in ("compile", "demo", "simulate"):
        assert verb in text
