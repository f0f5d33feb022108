"""The command `quickthorn inspect`: what a bundle says of itself, without any of its code being run."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import numpy as np
import pytest
from tests.lifecycle.conftest import TARGET, Versions, features, train, versions
from tests.plain_bundle import write_plain_bundle

from quickthorn.bundle import read_bundle, write_bundle
from quickthorn.bundle.manifest import library_member
from quickthorn.cli import main
from quickthorn.compiling import compile_bundle
from quickthorn.decision import Policy
from quickthorn.signing import SigningKey, sign_bundle

__all__ = ["versions"]


def write_trust(path: Path, key: SigningKey) -> None:
    path.write_text(
        'require = ["builder"]\n[[keys]]\nname = "ci"\nroles = ["builder"]\n'
        f'public_key = """\n{key.public.pem.decode()}"""\n'
    )


def test_the_summary_names_all_there_is(versions: Versions, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(versions.challenger)]) == 0
    said = capsys.readouterr().out
    for line in (
        f"bundle     {read_bundle(versions.challenger).bundle_id}",
        "version    2",
        "signed     by nobody",
        "  amount: money, in minor units",
        "  amount, count, mean",
        "  by customer: 2 values, of amount, back to 7 d",
        "  thresholds on score: review from 0.2, decline from 0.8",
        "  fallback: invalid review, without a score review",
        "  R1: the amount is unusual (amount, mean)",
    ):
        assert f"{line}\n" in said
    assert "12 trees" in said
    assert "library/x86-64-v2.so" in said
    assert "importances, mean |contribution| to the margin over 512 golden vectors" in said


def test_importances_are_the_source_librarys_own(versions: Versions, capsys: pytest.CaptureFixture[str]) -> None:
    import xgboost

    assert main(["inspect", str(versions.challenger), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    bundle = read_bundle(versions.challenger)
    golden = np.frombuffer(bundle.members["golden/features.f64"]).reshape(-1, 3)
    # XGBoost takes no infinities here; no threshold lies beyond what stands for them.
    finite = np.clip(golden, -3e38, 3e38).astype(np.float32)
    rows = xgboost.DMatrix(finite, feature_names=list(bundle.manifest.features))
    own = np.abs(versions.models[1].predict(rows, pred_contribs=True)[:, :-1]).mean(axis=0)
    weights = found["importances"]["features"]
    assert weights == pytest.approx(dict(zip(bundle.manifest.features, own.tolist(), strict=True)), rel=1e-4)
    assert list(weights.values()) == sorted(weights.values(), reverse=True)
    assert found["manifest"] == json.loads(msgspec.json.encode(bundle.manifest))


def test_a_bundle_for_another_processor_is_read_too(
    versions: Versions, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = read_bundle(versions.challenger)
    members = {name: bytes(content) for name, content in bundle.members.items()}
    members[library_member("armv8-a")] = members.pop(library_member("x86-64-v2"))
    write_bundle(tmp_path / "arm.qt", msgspec.structs.replace(bundle.manifest, targets=("armv8-a",)), members)
    assert main(["inspect", str(tmp_path / "arm.qt")]) == 0
    assert "for armv8-a" in capsys.readouterr().out


def test_pictures_are_drawn(versions: Versions, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("weights.png", "weights.svg"):
        assert main(["inspect", str(versions.challenger), "--picture", str(tmp_path / name)]) == 0
        assert f"{name}: importances drawn" in capsys.readouterr().out
    assert (tmp_path / "weights.png").read_bytes().startswith(b"\x89PNG")
    assert ElementTree.parse(tmp_path / "weights.svg").getroot().tag.endswith("svg")


def test_signatures_say_who_they_claim_to_be_until_a_trust_file_says_who_they_are(
    versions: Versions, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, key, other = tmp_path / "fraud.qt", SigningKey.generate(), SigningKey.generate()
    path.write_bytes(versions.champion.read_bytes())
    sign_bundle(path, key, "builder")
    write_trust(tmp_path / "trust.toml", key)
    asked = ["inspect", str(path), "--trust", str(tmp_path / "trust.toml")]
    assert main(asked[:2]) == 0
    short = key.public.key_id[:16]
    assert f"signed     as builder by key {short} (not held to a trust file)\n" in capsys.readouterr().out
    assert main([*asked, "--json"]) == 0
    (signature,) = json.loads(capsys.readouterr().out)["signatures"]
    assert signature == {"key_id": key.public.key_id, "role": "builder", "name": "ci"}
    path.write_bytes(versions.champion.read_bytes())
    sign_bundle(path, other, "builder")
    assert main(asked) == 1
    assert "expected signatures by builder" in capsys.readouterr().err


def test_without_contributions_the_splits_of_a_trusted_model_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    declared = features(with_mean=False)
    model = train(declared.names, 5)
    path, key = tmp_path / "fraud.qt", SigningKey.generate()
    policy = Policy.with_thresholds(review=0.3, decline=0.8, invalid="review")
    compile_bundle(features=declared, model=model, policy=policy, output=path, target=TARGET)
    # Nobody vouches for it: Treelite is not given what may be forged.
    assert main(["inspect", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["importances"] is None
    sign_bundle(path, key, "builder")
    write_trust(tmp_path / "trust.toml", key)
    drawn = ["--trust", str(tmp_path / "trust.toml"), "--picture", str(tmp_path / "w.png")]
    assert main(["inspect", str(path), *drawn, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["importances"]
    counts = model.get_score(importance_type="weight")
    assert found["features"] == counts
    assert found["measure"] == f"splits that ask for the feature, of {sum(counts.values()):.0f} in 5 trees"
    assert (tmp_path / "w.png").is_file()


def test_what_cannot_be_done_is_one_line(
    versions: Versions, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    good, plain = str(versions.challenger), str(write_plain_bundle(tmp_path / "plain.qt"))
    (tmp_path / "half.qt").write_bytes(versions.champion.read_bytes()[:5000])
    for asked, message in (
        ([str(tmp_path / "none.qt")], "none.qt: expected a readable bundle file"),
        ([str(tmp_path / "half.qt")], "the file is truncated"),
        ([good, "--picture", str(tmp_path / "w.jpg")], "expected a picture's name ending in .png or .svg"),
        ([good, "--picture", str(tmp_path / "no" / "w.png")], "expected to write the picture, found"),
        ([plain, "--picture", str(tmp_path / "w.png")], "expected contributions to weigh features by"),
        ([good, "--trust", str(tmp_path / "none.toml")], "expected a readable trust file"),
    ):
        assert main(["inspect", *asked]) == 2
        said = capsys.readouterr()
        assert (said.out, said.err.count("\n")) == ("", 1)
        assert message in said.err
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["inspect", good, "--picture", str(tmp_path / "w.png")]) == 2
    assert "pip install 'quickthorn[plot]'" in capsys.readouterr().err
