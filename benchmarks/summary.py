"""Rounds made into figures: medians over rounds, and percentiles of all cold calls together."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from statistics import median
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Measured:
    """One adapter on one model: its offline step, and what every round that went well found (nanoseconds)."""

    prepared: dict[str, Any]
    rounds: list[dict[str, Any]]

    @property
    def refused(self) -> str | None:
        """Why there are no figures, where there are none."""
        if "refused" in self.prepared:
            return str(self.prepared["refused"])
        if self.taken:
            return None
        return str(self.rounds[0]["refused"]) if self.rounds else "it was not measured"

    @cached_property
    def taken(self) -> list[dict[str, Any]]:
        """The rounds that went well."""
        return [each for each in self.rounds if "refused" not in each]

    def hot(self, name: str) -> float | None:
        """A percentile of hot calls at C level."""
        return self._median("hot", name)

    def mean(self) -> float | None:
        """Per row of a plain loop at C level."""
        found = [each["mean"] for each in self.taken if "mean" in each]
        return median(found) if found else None

    def cold(self, name: str) -> float | None:
        """A percentile of all rounds' cold calls at C level."""
        calls = [taken for each in self.taken for taken in each.get("cold_calls", [])]
        share = {"p50": 50.0, "p99": 99.0, "p999": 99.9}[name]
        return float(np.percentile(calls, share)) if calls else None

    def python(self, name: str) -> float | None:
        """A percentile of calls of one row from Python."""
        return self._median("python", name)

    def batch(self, size: str) -> float | None:
        """Per row of a batch from Python."""
        return self._median("batch", size)

    def _median(self, what: str, name: str) -> float | None:
        found = [each[what][name] for each in self.taken if name in each.get(what, {})]
        return median(found) if found else None


class Summary:
    """A run's results by model and adapter."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.models: dict[str, dict[str, Any]] = document["models"]
        self._prepared = document["prepared"]
        self._rounds = document["rounds"]

    def one(self, model: str, adapter: str) -> Measured | None:
        """What is known of an adapter on a model; None where the adapter does not claim to read such models."""
        prepared = self._prepared.get(adapter, {}).get(model)
        if prepared is None:
            return None
        rounds = [each[adapter][model] for each in self._rounds if model in each.get(adapter, {})]
        return Measured(prepared, rounds)

    def all_of(self, model: str) -> dict[str, Measured]:
        """Every adapter that claims to read a model, by name, in the order of the run."""
        found = {adapter: self.one(model, adapter) for adapter in self._prepared}
        return {adapter: one for adapter, one in found.items() if one is not None}

    def adapters(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(self._prepared)

    def versions(self) -> dict[str, str]:
        """By adapter; those that could not be installed have none."""
        return {
            adapter: version
            for adapter, models in self._prepared.items()
            if (version := next((one["version"] for one in models.values() if "version" in one), None)) is not None
        }

    def clock(self, name: str) -> float:
        """The median of what processes found of the clock they read: `empty_ns` or `step_ns`."""
        found = [
            taken["clock"][name]
            for model in self.models
            for one in self.all_of(model).values()
            for taken in one.taken
            if "clock" in taken
        ]
        return median(found) if found else 0.0
