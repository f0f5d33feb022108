"""Connected components as plain sets of entities, searched one by one."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import combinations

from quickthorn.features.components import Component, ComponentValue
from quickthorn.features.declare import FeatureSet, parts_of
from quickthorn.reference.event import Row
from quickthorn.reference.labels import known_at

Member = tuple[str, str]  # the name of a field, and the entity in it


@dataclass(eq=False)
class Cluster:
    """One component: its entities, its events, and those that belong to it by their first entity."""

    members: set[Member]
    rows: list[Row] = field(default_factory=list)
    own: list[Row] = field(default_factory=list)


class Graph:
    """Everything that one declared component links."""

    def __init__(self, component: Component, values: tuple[ComponentValue, ...], features: FeatureSet) -> None:
        self.component = component
        self.kept = values
        self.time = features.schema.event_time.name
        self.lateness_us = features.lateness_us
        self.expire_after_us = features.expire_after_us
        self.clock_us: int | None = None  # the largest time of an event that was let in
        self.clusters: list[Cluster] = []

    def members(self, row: Row) -> list[Member]:
        """The entities that the event has."""
        names = [entity.name for entity in self.component.entities]
        return [(name, row[name]) for name in names if row[name] is not None]

    def cluster_of(self, member: Member, row: Row) -> Cluster | None:
        """What the entity belongs to as the event finds it; None where it was never seen, or is forgotten."""
        for cluster in self.clusters:
            if member in cluster.members:
                return None if self._is_expired(cluster, row[self.time]) else cluster
        return None

    def _is_expired(self, cluster: Cluster, at_us: int) -> bool:
        judged_us = at_us if self.clock_us is None else max(at_us, self.clock_us - self.lateness_us)
        return bool(self.expire_after_us) and judged_us - self._newest_us(cluster) >= self.expire_after_us

    def _newest_us(self, cluster: Cluster) -> int:
        newest_us: int = max(row[self.time] for row in cluster.rows)
        return newest_us

    def pass_time(self, at_us: int) -> None:
        """The stream has come at least this far."""
        self.clock_us = at_us if self.clock_us is None else max(self.clock_us, at_us)

    def behind_us(self, row: Row) -> int:
        """How much older the event is than the newest of what its entities belong to; 0 when it is not older."""
        found = [self.cluster_of(member, row) for member in self.members(row)]
        newest_us: list[int] = [self._newest_us(cluster) for cluster in found if cluster is not None]
        at_us: int = row[self.time]
        return max(0, max(newest_us, default=at_us) - at_us)

    def leaves_out(self, row: Row) -> bool:
        """Whether the event has nothing to link here, or is too late."""
        return not self.members(row) or self.behind_us(row) > self.lateness_us

    def read(self, row: Row, with_current: bool) -> dict[ComponentValue, float]:
        """Every value at the event's time."""
        if self.leaves_out(row):
            return dict.fromkeys(self.kept, math.nan)
        return {value: self._value(value, row, with_current and value.include_current) for value in self.kept}

    def _value(self, value: ComponentValue, row: Row, with_current: bool) -> float:
        now_us: int = row[self.time]
        members = self.members(row)
        if value.of is not None:
            if row[value.of.name] is None:
                return math.nan
            asked = (value.of.name, row[value.of.name])
            together = next(whole for whole in self._linked(row) if asked in whole) if with_current else {asked}
            members = [member for member in members if member in together]
        found = [self.cluster_of(member, row) for member in members]
        clusters = list(dict.fromkeys(cluster for cluster in found if cluster is not None))
        times_us = [row[self.time] for cluster in clusters for row in cluster.rows]
        # What has been linked cannot be taken apart for an event that was before it.
        if any(time_us > now_us for time_us in times_us):
            return math.nan
        if value.kind == "size":
            return float(sum(len(cluster.members) for cluster in clusters) + with_current * found.count(None))
        if value.kind == "fraud":
            return float(sum(known_at(row, now_us) is True for cluster in clusters for row in cluster.own))
        if with_current:
            times_us.append(now_us)
        return float(now_us - min(times_us)) / 1e6 if times_us else math.nan

    def _linked(self, row: Row) -> list[set[Member]]:
        """What the event's entities belong to once it is stored: every two linked, unless they would be too many."""
        wholes: list[set[Member]] = []
        for member in self.members(row):
            cluster = self.cluster_of(member, row)
            whole = set(cluster.members) if cluster is not None else {member}
            if whole not in wholes:
                wholes.append(whole)
        for pair in combinations(self.members(row), 2):
            one, other = (next(whole for whole in wholes if member in whole) for member in pair)
            if one is not other and len(one) + len(other) <= self.component.cap:
                wholes.remove(other)
                one |= other
        return wholes

    def store(self, row: Row) -> bool:
        """Link the event's entities; True when a link was left out, as it would make a component too large."""
        if self.leaves_out(row):
            return False
        wholes = self._linked(row)
        for member in self.members(row):
            if self.cluster_of(member, row) is None:
                # A component that is found to have expired is gone for all its entities.
                self.clusters = [cluster for cluster in self.clusters if member not in cluster.members]
        for whole in wholes:
            parts = [cluster for cluster in self.clusters if cluster.members & whole]
            rows = [kept for part in parts for kept in part.rows]
            own = [kept for part in parts for kept in part.own]
            if self.members(row)[0] in whole:
                own.append(row)
            self.clusters = [cluster for cluster in self.clusters if cluster not in parts]
            self.clusters.append(Cluster(whole, [*rows, row], own))
        return len(wholes) > 1


def graphs_of(features: FeatureSet) -> list[Graph]:
    """One graph per component that something is read of."""
    parts = (part for name in features.names for part in parts_of(features.expression(name)))
    values = dict.fromkeys(part for part in parts if isinstance(part, ComponentValue))
    components = dict.fromkeys(value.component for value in values)
    return [
        Graph(component, tuple(value for value in values if value.component == component), features)
        for component in components
    ]
