"""A manifest that contradicts itself cannot be made."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from quickthorn.bundle import ComponentSummary, GoldenShapes, Manifest, SchemaField
from quickthorn.decision import Policy

Change = dict[str, Any]

_ID = SchemaField(name="event_id", kind="id", required=True)
_TIME = SchemaField(name="at", kind="event_time", required=True)
_CUSTOMER = SchemaField(name="customer", kind="entity", required=True)
_AMOUNT = SchemaField(name="amount", kind="money", required=True, scale=2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": (_TIME, _CUSTOMER, _AMOUNT)}, "exactly one required id field, found none"),
        ({"schema": (_ID, _CUSTOMER, _AMOUNT)}, "exactly one required event_time field, found none"),
        ({"schema": (_ID, _TIME, _ID)}, "field 'event_id': expected once, found twice"),
        ({"features": ("amount", "amount")}, "feature 'amount': expected once, found twice"),
        ({"schema": (_ID, _TIME, _AMOUNT)}, "entity field of the schema, found 'customer'"),
        ({"schema": (_ID, _TIME, _CUSTOMER)}, "a field of the schema, found 'amount'"),
        (
            {"components": (ComponentSummary(entities=("customer", "amount"), cap=2, values=1),)},
            "components: expected an entity field of the schema, found 'amount'",
        ),
        ({"golden": None}, "found one without the other"),
        ({"forest": None}, "found one without the other"),
        ({"forest": None, "golden": None}, "expected a forest whose scores it judges, found none"),
        ({"golden": GoldenShapes(rows=2, features=3, trees=3)}, "golden.features: expected 2 features, found 3"),
        ({"golden": GoldenShapes(rows=2, features=2, trees=4)}, "golden.trees: expected 3 trees, found 4"),
    ],
)
def test_contradictions_are_refused(manifest: Manifest, change: Change, message: str) -> None:
    fields = {name: getattr(manifest, name) for name in manifest.__struct_fields__}
    with pytest.raises(ValueError, match=message):
        Manifest(**{**fields, **change})


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ({"kind": "money"}, "expected a scale, found none"),
        ({"kind": "number", "scale": 2}, "expected no money options"),
        ({"kind": "number", "signed": True}, "expected no money options"),
        ({"kind": "text", "minor_units": True}, "expected no money options"),
        ({"kind": "text", "values": ("a",)}, "expected no category options"),
        ({"kind": "boolean", "closed": True}, "expected no category options"),
        ({"kind": "category", "closed": True}, "expected values to be closed over"),
        ({"kind": "number", "as_text": True}, "expected no text option, found one"),
        ({"kind": "category", "values": ("a", "a")}, "value 'a': expected once, found twice"),
    ],
)
def test_field_options_belong_to_their_kind(field: Change, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SchemaField(name="x", required=False, **field)


@pytest.mark.parametrize(("review", "decline"), [(0.8, 0.3), (float("nan"), 0.5), (0.5, float("nan"))])
def test_thresholds_out_of_order_are_refused(review: float, decline: float) -> None:
    with pytest.raises(ValueError, match=r"expected (at most|a finite number)"):
        Policy.with_thresholds(review=review, decline=decline, invalid="review")


def test_a_manifest_cannot_be_changed(manifest: Manifest) -> None:
    with pytest.raises(AttributeError):
        manifest.targets = ("x86-64-v4",)  # type: ignore[misc]


def test_the_members_called_for_follow_from_the_manifest(manifest: Manifest) -> None:
    assert manifest.expected_members() == {
        "library/x86-64-v3.so": None,
        "policy.toml": None,
        "golden/features.f64": 2 * 2 * 8,
        "golden/margins.f64": 2 * 8,
        "golden/scores.f64": 2 * 8,
        "golden/leaves.i32": 2 * 3 * 4,
        "model.treelite.gz": None,
        "golden/events.jsonl": None,
        "golden/event_features.f64": 1 * 2 * 8,
        "golden/decisions.jsonl": None,
    }
    scores_only = msgspec.structs.replace(manifest, policy=None)
    assert "policy.toml" not in scores_only.expected_members()
