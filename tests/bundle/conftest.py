"""A small bundle, once as the product's own records and once as a plain document with a container written by hand."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from quickthorn.bundle import Manifest

from .small import small_manifest, small_members

Document = dict[str, Any]
Handmade = Callable[..., bytes]

_DOCUMENT: Document = {
    "kind": "bundle",
    "format_version": 4,
    "abi_version": 3,
    "quickthorn": "0.1.0",
    "version": 3,
    "targets": ["x86-64-v3"],
    "event": "Payment",
    "schema": [
        {"name": "event_id", "kind": "id", "required": True},
        {"name": "at", "kind": "event_time", "required": True},
        {"name": "customer", "kind": "entity", "required": True},
        {"name": "amount", "kind": "money", "required": True, "scale": 2, "signed": True},
        {"name": "channel", "kind": "category", "required": False, "values": ["web", "app"], "closed": True},
    ],
    "features": ["amount", "customer_mean_1d"],
    "groups": [
        {
            "entities": ["customer"],
            "columns": ["amount"],
            "values": 1,
            "horizon_us": 86_400_000_000,
            "labelled": False,
            "layout": "0123456789abcdef" * 4,
        }
    ],
    "components": [],
    "looked_up": [],
    "signals": [],
    "tables": [],
    "lateness_us": 0,
    "expire_after_us": 0,
    "remembered_ids": 1024,
    "row_limit": 4096,
    "forest": {
        "source": "xgboost",
        "source_version": "3.2.0",
        "trees": 3,
        "leaves": 17,
        "link": "sigmoid",
        "link_scale": 1.0,
    },
    "checkpoint": {"treelite": "4.8.1", "bytes": 500},
    "calibration": None,
    "policy": {
        "thresholds": {"least": {"decline": 0.75, "review": 0.25}, "on": "score"},
        "fallback": {"invalid": "review", "late": None, "capped": None, "duplicate": None, "unscored": None},
        "outcomes": ["approve", "step_up", "review", "decline"],
        "precedence": "block",
        "expected_loss": None,
        "block": [],
        "allow": [],
        "cap": [],
        "segment": [],
        "exploration": None,
        "reasons": None,
        "kill_switch": None,
    },
    "reasons": None,
    "golden": {"rows": 2, "features": 2, "trees": 3, "outputs": 1, "explained_rows": 0},
    "golden_events": 1,
    "reference": None,
    "tools": {
        "numpy": "2.4.6",
        "numba": "0.68.1",
        "llvmlite": "0.50.0",
        "treelite": "4.8.1",
        "compiler": "g++ (Debian) 12.2.0",
        "flags": ["-O2", "-shared"],
    },
    "members": [],
}
_FIELD_DEFAULTS: Document = {
    "scale": None,
    "minor_units": False,
    "signed": False,
    "values": [],
    "closed": False,
    "as_text": False,
}
for _field in _DOCUMENT["schema"]:
    _given = dict(_field)
    _field.clear()
    _field.update({name: _given[name] for name in ("name", "kind", "required")})
    _field.update({name: _given.get(name, default) for name, default in _FIELD_DEFAULTS.items()})


@pytest.fixture
def manifest() -> Manifest:
    """The manifest of the small bundle as the product's records."""
    return small_manifest()


@pytest.fixture
def members() -> dict[str, bytes]:
    """The members of the small bundle, in no particular order."""
    return small_members()


@pytest.fixture
def document(members: dict[str, bytes]) -> Document:
    """The same manifest as a plain JSON document, its members listed as docs/BUNDLE_FORMAT.md says."""
    document = deepcopy(_DOCUMENT)
    offset = 0
    for name in sorted(members):
        digest = hashlib.sha256(members[name]).hexdigest()
        document["members"].append({"name": name, "offset": offset, "size": len(members[name]), "sha256": digest})
        offset += -(-len(members[name]) // 64) * 64
    return document


@pytest.fixture
def area(members: dict[str, bytes]) -> bytes:
    """The member area of the small bundle."""
    return b"".join(members[name] + bytes(-len(members[name]) % 64) for name in sorted(members))


@pytest.fixture
def handmade() -> Handmade:
    """Builds a container by hand from a document (or raw manifest text) and an area, with right digests throughout."""

    def build(
        manifest: Document | bytes,
        area: bytes,
        *,
        container_version: int = 1,
        manifest_bytes: int | None = None,
        reserved: int = 0,
    ) -> bytes:
        text = manifest if isinstance(manifest, bytes) else json.dumps(manifest, separators=(",", ":")).encode()
        padding = bytes(-(64 + len(text)) % 64)
        stated = len(text) if manifest_bytes is None else manifest_bytes
        file_bytes = 64 + len(text) + len(padding) + len(area)
        prelude = b"\x89QTHORN\n" + struct.pack("<IIQQ", container_version, stated, file_bytes, reserved)
        return prelude + hashlib.sha256(prelude + text).digest() + text + padding + area

    return build
