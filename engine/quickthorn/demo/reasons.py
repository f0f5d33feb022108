"""What the demo tells an analyst of a reviewed or declined payment: many features, few reasons."""

from __future__ import annotations

from quickthorn.decision.reasons import ReasonCode, ReasonMap
from quickthorn.demo.features import demo_features

# Code, text, and how the names of the features it stands for begin.
_REASONS = (
    ("AMOUNT", "The amount is unusual for this customer or terminal", ("amount", "log_amount")),
    ("PACE", "Payments come faster than this customer usually makes them", ("customer_count", "customer_pace")),
    ("SPENT", "This customer has spent unusually much or little lately", ("customer_sum", "customer_mean")),
    ("PLACE", "The payment was made far from where this customer pays", ("distance", "customer_distance", "abroad")),
    ("DEVICE", "The payment came from a new device", ("device_new", "customer_new_devices")),
    ("TERMINAL", "The terminal behaves unlike before", ("terminal",)),
    (
        "MANNER",
        "The way or the hour of the payment is seen in frauds",
        ("channel", "entry", "category", "hour", "night"),
    ),
)


def demo_reasons() -> ReasonMap:
    """The reason map of the demo's feature set."""
    names = demo_features().names
    return ReasonMap(
        population="the simulated payments that the model was trained on",
        reason=tuple(
            ReasonCode(code=code, text=text, features=tuple(name for name in names if name.startswith(beginnings)))
            for code, text, beginnings in _REASONS
        ),
    )
