"""The smallest bundle there is: one feature of a payment, no forest, for the least demanding CPU level."""

from __future__ import annotations

from pathlib import Path

import quickthorn as qt
from quickthorn.compiling import compile_bundle


class Payment(qt.Event):
    """A payment of which nothing but the amount is looked at."""

    event_id: qt.Id
    at: qt.EventTime
    amount: qt.Money


def write_plain_bundle(path: Path, version: int = 0) -> Path:
    """Compile it there."""
    features = qt.FeatureSet(Payment)
    features["amount"] = Payment.amount
    compile_bundle(features=features, output=path, target="x86-64-v2", version=version)
    return path
