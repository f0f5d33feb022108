"""What the feature stage is measured with: 60 windowed and 40 derived features of four entities, six windows of one."""

from __future__ import annotations

import math

import quickthorn as qt

ENTITIES = 4
SPAN_US = 30 * 86_400_000_000  # the longest window
EVENTS_PER_KEY = 20
_OVER = ("1h", "1d", "7d", "14d", "30d")
_SIX_OVER = ("5m", "1h", "6h", "1d", "7d", "30d")


class Transfer(qt.Event):
    """What native/feature_timer.cpp makes events of."""

    event_id: qt.Id
    at: qt.EventTime
    entity_0: qt.Entity
    entity_1: qt.Entity
    entity_2: qt.Entity
    entity_3: qt.Entity
    amount: qt.Money


class Visit(qt.Event):
    """The same with one entity."""

    event_id: qt.Id
    at: qt.EventTime
    entity_0: qt.Entity
    amount: qt.Money


@qt.kernel
def to_usual(amount, mean):  # type: ignore[no-untyped-def]
    """How many times the usual amount this is."""
    return amount / mean if mean > 0 else math.nan


def sixty_windowed_and_forty_derived() -> qt.FeatureSet:
    """Per entity 15 values over five windows (count, mean and greatest amount), and ten computed from those."""
    features = qt.FeatureSet(Transfer)
    entities = (Transfer.entity_0, Transfer.entity_1, Transfer.entity_2, Transfer.entity_3)
    for place, entity in enumerate(entities):
        for over in _OVER:
            name = f"{place}_{over}"
            features[f"count_{name}"] = qt.count(by=entity, over=over)
            features[f"mean_{name}"] = qt.mean(Transfer.amount, by=entity, over=over)
            features[f"max_{name}"] = qt.max(Transfer.amount, by=entity, over=over)
    for place in range(ENTITIES):
        for over in _OVER:
            name = f"{place}_{over}"
            features[f"to_usual_{name}"] = to_usual(Transfer.amount, features[f"mean_{name}"])
            features[f"share_{name}"] = qt.share(features[f"count_{name}"], features[f"count_{place}_30d"])
    return features


def six_windows() -> qt.FeatureSet:
    """Count and mean amount over six windows of one entity: what the memory per key is measured with."""
    features = qt.FeatureSet(Visit)
    for over in _SIX_OVER:
        features[f"count_{over}"] = qt.count(by=Visit.entity_0, over=over)
        features[f"mean_{over}"] = qt.mean(Visit.amount, by=Visit.entity_0, over=over)
    return features


def two_hundred() -> qt.FeatureSet:
    """200 features over four entities: seven windows of five aggregates, and what came with them."""
    features = qt.FeatureSet(Transfer)
    entities = (Transfer.entity_0, Transfer.entity_1, Transfer.entity_2, Transfer.entity_3)
    for place, entity in enumerate(entities):
        for over in ("5m", "1h", "6h", "1d", "7d", "30d", "90d"):
            features[f"count_{place}_{over}"] = qt.count(by=entity, over=over)
            for name, declare in (("sum", qt.sum), ("mean", qt.mean), ("std", qt.std), ("max", qt.max)):
                features[f"{name}_{place}_{over}"] = declare(Transfer.amount, by=entity, over=over)
        features[f"since_{place}"] = qt.since_last(by=entity)
        features[f"age_{place}"] = qt.age(by=entity)
        features[f"decayed_{place}"] = qt.decayed_sum(Transfer.amount, by=entity, half_life="1d")
        features[f"last_{place}"] = qt.last(Transfer.amount, by=entity)
        for over in ("5m", "1h", "6h", "1d", "7d", "30d", "90d"):
            features[f"to_usual_{place}_{over}"] = to_usual(Transfer.amount, features[f"mean_{place}_{over}"])
        for over in ("1h", "1d", "7d", "30d"):
            features[f"share_{place}_{over}"] = qt.share(
                features[f"count_{place}_{over}"], features[f"count_{place}_90d"]
            )
    return features
