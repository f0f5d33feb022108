"""The commands that sign: keygen, sign and verify, as the people of two departments call them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.plain_bundle import write_plain_bundle

import quickthorn as qt
from quickthorn.cli import main


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A bundle of one feature, its makers' third."""
    return write_plain_bundle(tmp_path_factory.mktemp("built") / "fraud.qt", version=3).read_bytes()


@pytest.fixture
def desk(tmp_path: Path, built: bytes, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the bundle, two pairs of keys, one of them under a passphrase, and a trust file."""
    (tmp_path / "fraud.qt").write_bytes(built)
    monkeypatch.setenv("RISK_PASSPHRASE", "open sesame")
    assert main(["keygen", str(tmp_path / "ci.pem")]) == 0
    locked = ["--algorithm", "p256", "--passphrase-env", "RISK_PASSPHRASE"]
    assert main(["keygen", str(tmp_path / "risk.pem"), *locked]) == 0
    keys = "".join(
        f'[[keys]]\nname = "{name}"\nroles = ["{role}"]\n'
        f'public_key = """\n{(tmp_path / f"{name}.pem.pub").read_text()}"""\n'
        for name, role in (("ci", "builder"), ("risk", "approver"))
    )
    (tmp_path / "trust.toml").write_text(f'require = ["builder", "approver"]\nminimum_version = 3\n{keys}')
    return tmp_path


def sign_both(desk: Path) -> None:
    bundle = str(desk / "fraud.qt")
    assert main(["sign", bundle, "--key", str(desk / "ci.pem"), "--role", "builder"]) == 0
    by_risk = ["--key", str(desk / "risk.pem"), "--passphrase-env", "RISK_PASSPHRASE", "--role", "approver"]
    assert main(["sign", bundle, *by_risk]) == 0


def test_a_bundle_that_two_have_signed_verifies(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sign_both(desk)
    capsys.readouterr()
    assert main(["verify", str(desk / "fraud.qt"), "--trust", str(desk / "trust.toml")]) == 0
    said = capsys.readouterr().out
    assert "version 3, every byte as written" in said
    assert "signed as builder by ci (" in said
    assert "signed as approver by risk (" in said
    assert qt.Engine.load(desk / "fraud.qt", trust=desk / "trust.toml").manifest.version == 3


def test_keys_and_signatures_are_named_in_json(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["keygen", str(desk / "new.pem"), "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["public"] == str(desk / "new.pem.pub")
    assert main(["sign", str(desk / "fraud.qt"), "--key", made["private"], "--role", "builder", "--json"]) == 0
    signed = json.loads(capsys.readouterr().out)
    assert (signed["role"], signed["key_id"]) == ("builder", made["key_id"])


def test_json_says_the_same(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["verify", str(desk / "fraud.qt"), "--trust", str(desk / "trust.toml"), "--json"]
    capsys.readouterr()
    assert main(asked) == 1
    refused = json.loads(capsys.readouterr().out)
    assert refused["holds"] is False
    assert "expected signatures by builder and approver" in refused["error"]
    sign_both(desk)
    capsys.readouterr()
    assert main(asked) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["holds"], found["version"], found["signatures"]) == (True, 3, 2)
    assert [signer["name"] for signer in found["signers"]] == ["ci", "risk"]
    assert found["targets_run"] == ["x86-64-v2"]


def test_without_a_trust_file_the_bytes_alone_are_checked(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["verify", str(desk / "fraud.qt"), "--allow-unsigned"]) == 0
    assert "signatures: 0, not looked at, as --allow-unsigned was given" in capsys.readouterr().out
    altered = bytearray((desk / "fraud.qt").read_bytes())
    altered[-100] ^= 1
    (desk / "fraud.qt").write_bytes(altered)
    assert main(["verify", str(desk / "fraud.qt"), "--allow-unsigned"]) == 1
    assert "member library/x86-64-v2.so: its bytes do not have the digest" in capsys.readouterr().err


def test_what_cannot_be_done_is_one_line(
    desk: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, key = str(desk / "fraud.qt"), str(desk / "ci.pem")
    monkeypatch.delenv("RISK_PASSPHRASE")
    locked = ["--key", str(desk / "risk.pem"), "--role", "approver"]
    for asked, message in (
        (["keygen", key], "expected to write a new file, found one there"),
        (["sign", bundle, "--key", key, "--role", "Chief"], "role: expected 1 to 64 of a-z"),
        (["sign", bundle, "--key", f"{key}.pub", "--role", "builder"], "expected a private key in PEM"),
        (["sign", str(desk / "none.qt"), "--key", key, "--role", "builder"], "expected a readable bundle file"),
        (["sign", bundle, *locked], "expected a passphrase for this private key, found none"),
        (["sign", bundle, *locked, "--passphrase-env", "RISK_PASSPHRASE"], "expected a passphrase in $RISK_PASSPHRASE"),
        (["verify", bundle, "--trust", str(desk / "none.toml")], "expected a readable trust file"),
    ):
        capsys.readouterr()
        assert main(asked) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.count("\n") == 1
        assert message in said.err


@pytest.mark.parametrize("asked", [["verify", "fraud.qt"], ["bench", "fraud.qt"], ["diff", "fraud.qt", "fraud.qt"]])
def test_verbs_that_run_a_bundle_are_told_whom_to_believe(asked: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    for options, message in (
        ([], "one of the arguments --trust --allow-unsigned is required"),
        (["--trust", "trust.toml", "--allow-unsigned"], "argument --allow-unsigned: not allowed with argument --trust"),
    ):
        with pytest.raises(SystemExit, match="2"):
            main([*asked, *options])
        assert message in capsys.readouterr().err
