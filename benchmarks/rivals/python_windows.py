"""The rival that is always at hand: windows as Python deques in the process, and the trainer's own predict."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import numpy as np
import xgboost

DAY_US = 86_400_000_000
WINDOWS_US = (DAY_US, 7 * DAY_US, 30 * DAY_US)
CHANNEL_CODE = {"pos": 0.0, "web": 1.0, "app": 2.0}


class SlidingWindow:
    """Count and sum of one entity over one duration; cents, so that sums are exact."""

    def __init__(self, over_us: int) -> None:
        self.over_us = over_us
        self.rows: deque[tuple[int, int]] = deque()
        self.cents = 0

    def at(self, now_us: int) -> SlidingWindow:
        """The window brought to now."""
        while self.rows and self.rows[0][0] <= now_us - self.over_us:
            self.cents -= self.rows.popleft()[1]
        return self

    def add(self, now_us: int, cents: int) -> None:
        """One more event."""
        self.rows.append((now_us, cents))
        self.cents += cents


class PythonWindows:
    """The workload's features and decision, hand-written in Python around ``Booster.inplace_predict``."""

    def __init__(self, model: xgboost.Booster) -> None:
        # A name check per call is left out, to the rival's advantage.
        self.model = model.copy()
        self.model.feature_names = None
        self.model.set_param({"nthread": 1})
        self.customers: dict[str, list[SlidingWindow]] = {}
        self.terminals: dict[str, list[SlidingWindow]] = {}

    def features(self, event: dict[str, Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Read, then update."""
        now_us, cents = event["at"], round(float(event["amount"]) * 100)
        customer = self.customers.setdefault(event["customer"], [SlidingWindow(us) for us in WINDOWS_US])
        terminal = self.terminals.setdefault(event["terminal"], [SlidingWindow(us) for us in WINDOWS_US])
        distance = event["distance_km"]
        vector = [
            cents / 100,
            CHANNEL_CODE[event["channel"]],
            float(event["device_new"]),
            math.nan if distance is None else distance,
        ]
        usual = math.nan
        for own, place in zip(customer, terminal, strict=True):
            own.at(now_us)
            usual = (own.cents + cents) / ((len(own.rows) + 1) * 100)
            vector += (len(own.rows) + 1.0, usual, float(len(place.at(now_us).rows)))
            own.add(now_us, cents)
            place.add(now_us, cents)
        vector.append(cents / 100 / usual if usual > 0 else math.nan)
        return np.array([vector])

    def decide(self, event: dict[str, Any]) -> float:
        """The score of one event."""
        return float(self.model.inplace_predict(self.features(event))[0])
