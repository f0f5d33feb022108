"""What a native engine is made of, from a bundle that has been checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quickthorn.bundle import Bundle, Manifest, SchemaField
from quickthorn.serving.policy import decision_parts

if TYPE_CHECKING:
    from quickthorn.decision import Policy
    from quickthorn.native import _native


def engine_parts(bundle: Bundle) -> dict[str, Any]:
    """What every engine of the bundle is made of, beside its library."""
    manifest = bundle.manifest
    return {
        "fields": [_field(field) for field in manifest.schema],
        "signals": [
            {"name": source.name, "fields": [_field(field) for field in source.fields]} for source in manifest.signals
        ],
        "bundle_id": bundle.bundle_id,
        **decision_parts(bundle),
    }


def engage_kill_switch(engine: _native.Engine, policy: Policy | None) -> None:
    """Begin with the kill switch on where the bundle's policy says so."""
    if policy is not None and policy.kill_switch is not None and policy.kill_switch.active:
        engine._set_kill_switch(policy.kill_switch.outcome)


def engine_limits(manifest: Manifest, max_keys: int, history_bytes: int) -> dict[str, int]:
    """How much an engine of the bundle keeps, and for how long."""
    return {
        "max_keys": max_keys,
        "row_limit": manifest.row_limit,
        "lateness_us": manifest.lateness_us,
        "expire_after_us": manifest.expire_after_us,
        "remembered_ids": manifest.remembered_ids,
        "history_bytes": history_bytes,
    }


def _field(field: SchemaField) -> dict[str, Any]:
    return {
        "name": field.name,
        "kind": field.kind,
        "required": field.required,
        "scale": field.scale if field.scale is not None else 0,
        "minor_units": field.minor_units,
        "signed": field.signed,
        "values": list(field.values),
        "closed": field.closed,
        "as_text": field.as_text,
    }
