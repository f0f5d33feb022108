"""One small unsigned bundle, two keys, and trust files written as people would write them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from quickthorn.bundle import Manifest, SchemaField, ToolVersions, write_bundle
from quickthorn.bundle.manifest import GOLDEN_DECISIONS, GOLDEN_EVENT_FEATURES, GOLDEN_EVENTS
from quickthorn.signing import SigningKey

GOLDEN = dict.fromkeys((GOLDEN_EVENTS, GOLDEN_EVENT_FEATURES, GOLDEN_DECISIONS), b"12345678")


@pytest.fixture
def manifest() -> Manifest:
    """A bundle of features only, the seventh of its makers."""
    return Manifest(
        quickthorn="0.1.0",
        version=7,
        targets=("x86-64-v2",),
        event="Payment",
        schema=(
            SchemaField(name="event_id", kind="id", required=True),
            SchemaField(name="at", kind="event_time", required=True),
        ),
        features=("at",),
        groups=(),
        lateness_us=0,
        expire_after_us=0,
        remembered_ids=1024,
        row_limit=4096,
        forest=None,
        checkpoint=None,
        policy=None,
        golden=None,
        golden_events=1,
        reference=None,
        tools=ToolVersions(
            numpy="2.4.6", numba="0.68.1", llvmlite="0.50.0", treelite=None, compiler="g++ 12.2.0", flags=()
        ),
    )


@pytest.fixture
def bundle_file(tmp_path: Path, manifest: Manifest) -> Path:
    """The bundle, whose library is no library: nothing here maps it."""
    path = tmp_path / "fraud.qt"
    write_bundle(path, manifest, {"library/x86-64-v2.so": bytes(range(1, 130)), **GOLDEN})
    return path


@pytest.fixture(scope="session")
def builder() -> SigningKey:
    """The key of those who build."""
    return SigningKey.generate("ed25519")


@pytest.fixture(scope="session")
def approver() -> SigningKey:
    """The key of those who approve."""
    return SigningKey.generate("p256")


TrustFile = Callable[..., Path]


@pytest.fixture
def trust_file(tmp_path: Path, builder: SigningKey, approver: SigningKey) -> TrustFile:
    """Writes a trust file; ``builder_lines`` and ``more`` are put in as they stand."""

    def write(require: str = '["builder", "approver"]', builder_lines: str = "", top: str = "", more: str = "") -> Path:
        path = tmp_path / "trust.toml"
        entries = "".join(
            f'[[keys]]\nname = "{name}"\nroles = ["{role}"]\n{lines}\npublic_key = """\n{key.public.pem.decode()}"""\n'
            for name, role, key, lines in (
                ("ci", "builder", builder, builder_lines),
                ("risk", "approver", approver, ""),
            )
        )
        path.write_text(f"require = {require}\n{top}\n{entries}{more}\n", encoding="utf-8")
        return path

    return write
