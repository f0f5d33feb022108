"""Feature sets over third-party signals, their events and their engines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import quickthorn as qt

S = 1_000_000
KEY = bytes(range(16))


class Payment(qt.Event):
    event_id: qt.Id
    at: qt.EventTime
    payer: qt.Entity
    payee: qt.Entity | None


class Bureau(qt.Signal):
    score: qt.Number
    person: qt.Entity
    band: qt.Category | None = qt.field(values=("a", "b"))
    debt: qt.Money | None = qt.field(signed=True)
    listed: qt.Boolean | None


class Device(qt.Signal):
    device: qt.Entity
    risk: qt.Number | None


def add_signals(features: qt.FeatureSet) -> qt.FeatureSet:
    """Every kind of value, status and age, by two entities and of two sources."""
    for by in (Payment.payer, Payment.payee):
        for ttl in ("3s", "10s"):
            for value in (Bureau.score, Bureau.band, Bureau.debt, Bureau.listed, Device.risk):
                features[f"{by!r}_{value!r}_{ttl}"] = qt.signal_value(value, by=by, ttl=ttl)
                features[f"{by!r}_{value!r}_{ttl}_status"] = qt.signal_status(value, by=by, ttl=ttl)
            features[f"{by!r}_{ttl}_status"] = qt.signal_status(Bureau, by=by, ttl=ttl)
        features[f"{by!r}_age"] = qt.signal_age(Bureau.debt, by=by)
        features[f"{by!r}_device_age"] = qt.signal_age(Device, by=by)
    return features


def signals() -> qt.FeatureSet:
    return add_signals(qt.FeatureSet(Payment, remembered_ids=100))


def forgetful_signals() -> qt.FeatureSet:
    features = add_signals(qt.FeatureSet(Payment, lateness="5s", expire_after="12s", remembered_ids=100))
    features["count"] = qt.count(by=Payment.payer, over="3s")
    return features


FEATURES = (signals, forgetful_signals)


def loaded(path: Path, **options: Any) -> Any:
    return qt.Engine.load(
        path, **{"hash_key": KEY, "max_keys": 1000, "max_history_bytes": 1 << 22, **options}, allow_unsigned=True
    )


def payment(at: int, payer: object = "a", payee: object = None) -> dict[str, Any]:
    return {"event_id": f"{at}-{payer}", "at": at, "payer": payer, "payee": payee}


def read(engine: Any, at: int, name: str = "Payment.payer_Bureau.score_3s") -> tuple[float, float]:
    features = engine.features(payment(at))
    return features[name], features[f"{name}_status"]
