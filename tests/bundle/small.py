"""A small bundle as the product's own records: its manifest, and members in no particular order."""

from __future__ import annotations

import math
import struct

from quickthorn.bundle import (
    CheckpointSummary,
    ForestSummary,
    GoldenShapes,
    GroupSummary,
    Manifest,
    SchemaField,
    ToolVersions,
)
from quickthorn.calibration.link import Link
from quickthorn.decision import Policy


def small_manifest() -> Manifest:
    """The manifest of the small bundle as the product's records."""
    return Manifest(
        quickthorn="0.1.0",
        version=3,
        targets=("x86-64-v3",),
        event="Payment",
        schema=(
            SchemaField(name="event_id", kind="id", required=True),
            SchemaField(name="at", kind="event_time", required=True),
            SchemaField(name="customer", kind="entity", required=True),
            SchemaField(name="amount", kind="money", required=True, scale=2, signed=True),
            SchemaField(name="channel", kind="category", required=False, values=("web", "app"), closed=True),
        ),
        features=("amount", "customer_mean_1d"),
        groups=(
            GroupSummary(
                entities=("customer",),
                columns=("amount",),
                values=1,
                horizon_us=86_400_000_000,
                layout="0123456789abcdef" * 4,
            ),
        ),
        lateness_us=0,
        expire_after_us=0,
        remembered_ids=1024,
        row_limit=4096,
        forest=ForestSummary(source="xgboost", source_version="3.2.0", trees=3, leaves=17, link=Link.SIGMOID),
        checkpoint=CheckpointSummary(treelite="4.8.1", bytes=500),
        policy=Policy.with_thresholds(review=0.25, decline=0.75, invalid="review"),
        golden=GoldenShapes(rows=2, features=2, trees=3),
        golden_events=1,
        reference=None,
        tools=ToolVersions(
            numpy="2.4.6",
            numba="0.68.1",
            llvmlite="0.50.0",
            treelite="4.8.1",
            compiler="g++ (Debian) 12.2.0",
            flags=("-O2", "-shared"),
        ),
    )


def small_members() -> dict[str, bytes]:
    """The members of the small bundle, in no particular order."""
    return {
        "policy.toml": b"[thresholds]\nreview = 0.25\ndecline = 0.75\n[fallback]\ninvalid = 'review'\n",
        "library/x86-64-v3.so": bytes(range(1, 130)),
        "golden/margins.f64": struct.pack("<2d", -1.5, 2.25),
        "golden/scores.f64": struct.pack("<2d", 0.18, 0.9),
        "golden/features.f64": struct.pack("<4d", 59.9, 12.0, -1.0, 0.5),
        "golden/leaves.i32": struct.pack("<6i", 1, 2, 3, 4, 5, 6),
        "model.treelite.gz": b"a checkpoint, gzipped",
        "golden/events.jsonl": b'{"event":{"event_id":"e","at":0,"customer":"c","amount":"59.90"}}\n',
        "golden/event_features.f64": struct.pack("<2d", 59.9, math.nan),
        "golden/decisions.jsonl": b'{"status":"ok","outcome":"approve","margin":-1.5,"score":0.18}\n',
    }
