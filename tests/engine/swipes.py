"""Swipes of cards in shops: the events, features and engines whose state is saved and restored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import quickthorn as qt

KEY = bytes(range(16))
SMALL: dict[str, Any] = {"hash_key": KEY, "max_keys": 100, "max_history_bytes": 1 << 22}


def loaded(path: Path, **options: Any) -> Any:
    return qt.Engine.load(path, **{**SMALL, **options}, allow_unsigned=True)


class Swipe(qt.Event):
    event_id: qt.Id
    at: qt.EventTime
    card: qt.Entity
    shop: qt.Entity
    amount: qt.Money = qt.field(minor_units=True)


@qt.kernel
def large(amount):  # type: ignore[no-untyped-def]
    return amount > 100.0


@qt.kernel
def huge(amount):  # type: ignore[no-untyped-def]
    return amount > 200.0


def swipes(over: str = "1h", where: Any = None, by: Any = None, extra: bool = False, **options: Any) -> qt.FeatureSet:
    features = qt.FeatureSet(Swipe, **{"remembered_ids": 1000, **options})
    features["card_count"] = qt.count(by=Swipe.card if by is None else by, over=over, where=where)
    features["card_sum"] = qt.sum(Swipe.amount, by=Swipe.card if by is None else by, over=over)
    features["shop_count"] = qt.count(by=Swipe.shop, over="1d")
    features["linked"] = qt.component_size(qt.Component(Swipe.card, Swipe.shop), of=Swipe.card)
    if extra:
        features["amount"] = Swipe.amount
        features["usual"] = large(features["card_sum"])
    return features


def swipe(number: int, card: object = "c", shop: object = "s") -> dict[str, Any]:
    return {"event_id": number, "at": number, "card": card, "shop": shop, "amount": 1}
