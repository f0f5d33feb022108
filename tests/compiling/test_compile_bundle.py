"""Compiling a bundle: what goes in wrong is refused before anything is written, what comes out is proven."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest
import xgboost

import quickthorn as qt
from quickthorn.bundle import read_bundle
from quickthorn.compiling import compile_bundle
from quickthorn.compiling.golden import ROWS, GoldenVectors
from quickthorn.decision import Policy
from quickthorn.errors import BundleError, FeatureError, ModelError, PolicyError, QuickthornError, ToolchainError


class Payment(qt.Event):
    event_id: qt.Id
    at: qt.EventTime
    customer: qt.Entity
    amount: qt.Money


POLICY = Policy.with_thresholds(review=0.3, decline=0.8, invalid="review")


def small_features() -> qt.FeatureSet:
    features = qt.FeatureSet(Payment)
    features["amount"] = Payment.amount
    features["count"] = qt.count(by=Payment.customer, over="1d")
    return features


def trained(names: list[str] | None, width: int = 2, **parameters: Any) -> xgboost.Booster:
    random = np.random.default_rng(2)
    vectors = random.normal(size=(500, width))
    data = xgboost.DMatrix(vectors, label=vectors[:, 0] > 0, feature_names=names)
    return xgboost.train({"objective": "binary:logistic", "max_depth": 3, "nthread": 1, **parameters}, data, 5)


def test_a_bundle_says_what_is_in_it_and_is_reproducible(tmp_path: Path) -> None:
    model = trained(["amount", "count"])
    first = compile_bundle(features=small_features(), model=model, policy=POLICY, output=tmp_path / "a.qt")
    second = compile_bundle(features=small_features(), model=model, policy=POLICY, output=tmp_path / "b.qt")
    assert (tmp_path / "a.qt").read_bytes() == (tmp_path / "b.qt").read_bytes()
    assert first.bundle_id == second.bundle_id == qt.Engine.load(first.path, allow_unsigned=True).bundle_id
    manifest = read_bundle(first.path).manifest
    assert manifest.features == ("amount", "count")
    assert manifest.forest is not None
    assert (manifest.forest.trees, manifest.forest.source, manifest.forest.link.value) == (5, "xgboost", "sigmoid")
    assert first.golden_rows == ROWS >= 256
    assert first.size_bytes == (tmp_path / "a.qt").stat().st_size
    assert "-ffp-contract=off" in manifest.tools.flags
    assert {f"-march={target}" for target in manifest.targets} <= set(manifest.tools.flags)


def test_the_models_features_are_found_by_name_in_any_order(tmp_path: Path) -> None:
    model = trained(["count", "amount"])
    compile_bundle(features=small_features(), model=model, policy=POLICY, output=tmp_path / "a.qt")
    engine = qt.Engine.load(tmp_path / "a.qt", allow_unsigned=True)
    vectors = np.random.default_rng(1).normal(size=(50, 2))
    theirs = model.inplace_predict(vectors[:, ::-1], predict_type="margin").astype(np.float64)
    np.testing.assert_array_equal(engine._margins(vectors), theirs)


def test_linear_trees_are_held_to_the_rows_whose_margins_are_finite(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    vectors = random.normal(size=(600, 2))
    parameters = {"linear_tree": True, "objective": "binary", "verbosity": -1, "num_threads": 1, "num_leaves": 5}
    model = lightgbm.train(parameters, lightgbm.Dataset(vectors, vectors[:, 0] > vectors[:, 1]), 4)
    compile_bundle(features=small_features(), model=model, policy=POLICY, output=tmp_path / "linear.qt")
    ours = qt.Engine.load(tmp_path / "linear.qt", allow_unsigned=True)._margins(vectors)
    np.testing.assert_array_equal(ours, model.predict(vectors, raw_score=True))


def refused(tmp_path: Path, error: type[QuickthornError], match: str, **changed: Any) -> None:
    output = tmp_path / "kept.qt"
    output.write_bytes(b"what was there before")
    arguments = {"features": small_features(), "model": trained(["amount", "count"]), "policy": POLICY, **changed}
    with pytest.raises(error, match=match) as caught:
        compile_bundle(output=output, **arguments)
    assert "\n" not in str(caught.value)
    assert output.read_bytes() == b"what was there before"
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".qt" or "partial" in path.name] == ["kept.qt"]


def test_inputs_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    refused(tmp_path, FeatureError, "expected a FeatureSet, found 'features'", features="features")
    refused(tmp_path, FeatureError, "Payment", features=qt.FeatureSet(Payment))
    refused(tmp_path, PolicyError, "expected a policy along with a model", policy=None)
    refused(tmp_path, PolicyError, "expected a model along with a policy", model=None)
    refused(tmp_path, ModelError, "'merchant'", model=trained(["amount", "merchant"]))
    refused(tmp_path, ModelError, "reads 3 features by position, but the feature set has 2", model=trained(None, 3))
    refused(tmp_path, ModelError, "expected a path, or a Booster", model=object())
    refused(
        tmp_path,
        PolicyError,
        "expected 0 to 1",
        policy=Policy.with_thresholds(review=0.3, decline=80.0, invalid="review"),
    )
    refused(tmp_path, ToolchainError, "expected one of x86-64-v2.*found 'sparc'", target="sparc")


def test_model_and_policy_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    model, policy = tmp_path / "model.ubj", tmp_path / "policy.toml"
    refused(tmp_path, ModelError, "cannot read the model", model=model)
    model.write_bytes(b"GIF89a")
    refused(tmp_path, ModelError, "not a model: the file begins with b'GIF89a'", model=model)
    model.write_bytes(trained(["amount", "count"]).save_raw("ubj")[:300])
    refused(tmp_path, ModelError, r"model\.ubj", model=model)
    refused(tmp_path, PolicyError, "expected a readable policy file", policy=policy)
    policy.write_text('[thresholds]\nreview = 0.9\ndecline = 0.3\n[fallback]\ninvalid = "review"\n')
    refused(tmp_path, PolicyError, r"policy\.toml: thresholds\.review: expected at most", policy=policy)


def test_without_a_compiler_the_message_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    refused(tmp_path, ToolchainError, r"found none of c\+\+, g\+\+, clang\+\+ on the PATH; install g\+\+ or clang\+\+")
    monkeypatch.setenv("CXX", "g++-99")
    refused(tmp_path, ToolchainError, "found CXX='g\\+\\+-99', which is not a program")


@pytest.mark.parametrize(
    ("script", "match"),
    [
        ("exit 1", "expected it to state its version"),
        (
            '[ "$1" = --version ] && echo fake 1.0 || { echo "fatal error: no space left" >&2; exit 1; }',
            "no space left",
        ),
        ('[ "$1" = --version ] && echo fake 1.0 || kill -9 $$', "exit code -9"),
    ],
)
def test_a_compiler_that_fails_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, match: str
) -> None:
    fake = tmp_path / "fake-compiler"
    fake.write_text(f"#!/bin/sh\n{script}\n")
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("CXX", str(fake))
    refused(tmp_path, ToolchainError, f"fake-compiler: .*{match}")


def test_a_kernel_that_needs_python_is_refused_by_name(tmp_path: Path) -> None:
    @qt.kernel
    def shouting(amount):  # type: ignore[no-untyped-def]
        return float(str(amount).upper())

    features = small_features()
    features["loud"] = shouting(Payment.amount)
    refused(tmp_path, FeatureError, r"kernel shouting \(.*test_compile_bundle\.py:\d+\)", features=features)


def test_a_forest_that_is_not_its_source_is_never_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The gate itself: with a source library that says something else, compiling must fail.
    from quickthorn.compiling import golden

    honest = golden.golden_vectors

    def off_by_one_bit(*given: Any, **options: Any) -> GoldenVectors:
        vectors = honest(*given, **options)
        vectors.margins[7] = np.nextafter(vectors.margins[7], np.inf)
        return vectors

    monkeypatch.setattr(golden, "golden_vectors", off_by_one_bit)
    refused(tmp_path, BundleError, "golden row 7: expected margin")


def test_an_output_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    arguments = {"features": small_features(), "model": trained(["amount", "count"]), "policy": POLICY}
    with pytest.raises(BundleError, match="expected to write the file, found: No such file or directory"):
        compile_bundle(output=tmp_path / "nowhere" / "a.qt", **arguments)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
def test_a_bundle_is_compiled_again_from_the_model_in_a_bundle(tmp_path: Path, library: str) -> None:
    model: Any = trained(["amount", "count"])
    if library == "lightgbm":
        random = np.random.default_rng(2)
        vectors = random.normal(size=(600, 2))
        data = lightgbm.Dataset(vectors, vectors[:, 0] > vectors[:, 1], feature_name=["amount", "count"])
        parameters = {"linear_tree": True, "objective": "binary", "verbosity": -1, "num_threads": 1, "num_leaves": 5}
        model = lightgbm.train(parameters, data, 4)
    first, second = tmp_path / "first.qt", tmp_path / "second.qt"
    given = {"policy": POLICY, "target": "x86-64-v2", "contributions": library == "xgboost"}
    compile_bundle(features=small_features(), model=model, output=first, **given)
    reordered = qt.FeatureSet(Payment)
    for name in ("count", "amount"):
        reordered[name] = small_features().expression(name)
    compile_bundle(features=reordered, model=first, output=second, **given)
    one, other = (qt.Engine.load(path, allow_unsigned=True) for path in (first, second))
    rows = np.random.default_rng(1).normal(size=(100, 2))
    np.testing.assert_array_equal(one._margins(rows), other._margins(np.ascontiguousarray(rows[:, ::-1])))
    np.testing.assert_array_equal(qt.compile_model(first, target="x86-64-v2").margin_batch(rows), one._margins(rows))
    before, after = read_bundle(first), read_bundle(second)
    assert before.manifest.forest == after.manifest.forest
    assert bytes(before.members["model.treelite.gz"]) == bytes(after.members["model.treelite.gz"])
    with pytest.raises(ModelError, match=r"reads 1 feature\(s\) that the feature set does not have: 'count'"):
        compile_bundle(features=only_amount(), model=first, output=second, **given)


def only_amount() -> qt.FeatureSet:
    features = qt.FeatureSet(Payment)
    features["amount"] = Payment.amount
    return features


def test_a_model_is_not_looked_for_in_a_bundle_without_one(tmp_path: Path) -> None:
    compile_bundle(features=small_features(), output=tmp_path / "features.qt", target="x86-64-v2")
    with pytest.raises(ModelError, match=r"features\.qt: expected a bundle with a model, found one of features only"):
        compile_bundle(
            features=small_features(), model=tmp_path / "features.qt", policy=POLICY, output=tmp_path / "a.qt"
        )
