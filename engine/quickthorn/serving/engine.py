"""``Engine``: one bundle at work inside the decision service's own process."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from quickthorn.bundle import Bundle, Manifest, read_bundle
from quickthorn.bundle.manifest import (
    GOLDEN_CONTRIBUTIONS,
    GOLDEN_FEATURES,
    GOLDEN_LEAVES,
    GOLDEN_MARGINS,
    GOLDEN_SCORES,
    library_member,
)
from quickthorn.errors import BundleError, PolicyError, SigningError, StateError
from quickthorn.event import Signal
from quickthorn.native import _native
from quickthorn.serving import state_file
from quickthorn.serving.batch import Batch
from quickthorn.serving.engine_parts import engage_kill_switch, engine_limits, engine_parts
from quickthorn.serving.golden_replay import golden_engine, replay_disagreement
from quickthorn.serving.policy import policy_of, scores_are_probabilities
from quickthorn.serving.signals import as_row, source_named
from quickthorn.serving.state_file import ComponentLayout, GroupLayout, Layout, SignalLayout, StateKeys
from quickthorn.serving.target import choose_target

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from quickthorn.signing import Trust

_KEYS_MOST = 2**31
_HASH_KEY_BYTES = 16


class Engine(_native.Engine):
    """One bundle at work: ``decide``, ``score`` and ``observe`` single events, or whole Arrow tables.

    An event is a dict (or any mapping), an object with the schema's attributes, JSON bytes, or one Arrow row. Events
    may come from any thread; they are taken one at a time, and a batch gives way to single events that wait.

    Made by ``Engine.load``. ``manifest`` is the bundle's own description, ``bundle_id`` its identity.
    """

    manifest: Manifest
    bundle_id: str
    _layout: Layout
    _state_keys: StateKeys

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        errors: Literal["fallback", "raise"] = "fallback",
        hash_key: bytes | None = None,
        max_keys: int = 2**24,
        max_history_bytes: int = 2**34,
        target: str | None = None,
        state: str | os.PathLike[str] | None = None,
        trust: str | os.PathLike[str] | Trust | None = None,
        allow_unsigned: bool = False,
    ) -> Engine:
        """Read, verify and map a bundle; the golden vectors are held to before the engine is handed out.

        ``errors``             what ``decide`` and ``score`` do with an event that does not fit the schema: "fallback"
                               gives a Decision with status "invalid" and the policy's fallback outcome, "raise" raises
                               EventError
        ``hash_key``           16 secret bytes under which identifiers are hashed; random by default
        ``max_keys``           most entities kept per entity field
        ``max_history_bytes``  most memory for past events; address space of that size is reserved at once, memory is
                               taken as it is used
        ``state``              a file that ``save_state`` wrote, to go on from; it needs the ``hash_key``, ``max_keys``
                               and ``max_history_bytes`` that it was saved with
        ``target``             the bundle's library to use, by CPU level; by default the best that this processor runs
        ``trust``              a trust file, or a Trust: the bundle must be signed as it demands before any of its code
                               is mapped
        ``allow_unsigned``     load without ``trust``, and look at no signatures: for bundles made on the spot, as in
                               tests and notebooks

        Raises BundleError for a file that is damaged, altered, of another format, compiled for another processor or
        not what its golden vectors say; SigningError for one that is not signed as ``trust`` demands, or where
        neither ``trust`` nor ``allow_unsigned`` is given; StateError where the address space cannot be reserved, or the
        state is not one that this engine can go on from.
        """
        if errors not in ("fallback", "raise"):
            raise ValueError(f'errors: expected "fallback" or "raise", found {errors!r}')
        if hash_key is not None and (not isinstance(hash_key, bytes) or len(hash_key) != _HASH_KEY_BYTES):
            raise ValueError(f"hash_key: expected {_HASH_KEY_BYTES} bytes, found {_described(hash_key)}")
        for name, value, most in (("max_keys", max_keys, _KEYS_MOST), ("max_history_bytes", max_history_bytes, 2**48)):
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
                raise StateError(f"{name}: expected 1 to {most}, found {value!r}")
        secret = hash_key if hash_key is not None else os.urandom(_HASH_KEY_BYTES)
        origin = os.fspath(path)
        if trust is not None and allow_unsigned:
            raise ValueError("allow_unsigned: expected False along with trust=, found True")
        bundle = read_bundle(path)
        if trust is None and not allow_unsigned:
            raise SigningError(
                f"{origin}: expected trust=, a trust file to hold its signatures to, or allow_unsigned=True, "
                "found neither"
            )
        if trust is not None:
            _check_trust(trust, bundle, origin)
        manifest = bundle.manifest
        library = bundle.members[library_member(choose_target(manifest.targets, target, origin))]
        try:
            parts = engine_parts(bundle)
            engine = cls(
                library=library,
                hash_key=secret,
                limits=engine_limits(manifest, max_keys, max_history_bytes),
                raise_errors=errors == "raise",
                **parts,
            )
        except BundleError as error:
            raise BundleError(f"{origin}: {error}") from error
        engine.manifest = manifest
        engine.bundle_id = bundle.bundle_id
        engine._layout = _layout(manifest, max_keys, max_history_bytes)
        engine._state_keys = StateKeys(secret)
        engage_kill_switch(engine, manifest.policy)
        _prove(engine, parts, bundle, origin)
        if state is not None:
            engine.restore_state(state)
        return engine

    def features(self, event: object) -> dict[str, float]:
        """The event's features by name, as they stand now; nothing is updated. EventError where it does not fit."""
        return dict(zip(self.manifest.features, self._read_features(event), strict=True))

    def score_batch(self, events: object) -> Batch:
        """Score every row of an Arrow table, batch or stream against the windows as they stand; nothing is updated."""
        return self._batch(events, "score")

    def decide_batch(self, events: object) -> Batch:
        """Decide every row of an Arrow table, batch or stream in order: read, score, update."""
        return self._batch(events, "decide")

    def observe_batch(self, events: object) -> npt.NDArray[np.uint8]:
        """Update the windows with every row of an Arrow table, batch or stream; returns status codes, uint8 (n,).

        A code is a place in ("ok", "capped", "late", "duplicate", "invalid").
        """
        codes: npt.NDArray[np.uint8] = self._run_batch(events, "observe")["statuses"]
        return codes

    def signal(
        self, source: type[Signal] | str, key: str | int, values: Mapping[str, object], at: int | str | datetime
    ) -> str:
        """Tell what a third party says of a key: the latest is kept, and read by the events that follow.

        ``source``  the class that declares it, or its name
        ``key``     whom it is about, as the events name them
        ``values``  the source's values by name; an optional one may be None or left out
        ``at``      when it was said, in event time: int microseconds UTC, an aware datetime or an RFC 3339 string

        Returns "ok" where it is now what is known of the key, "late" where something newer is, or the key is idle for
        longer than ``expire_after``, and "capped" where ``max_keys`` are kept; the last two are left out and counted.
        Raises SignalError, and changes nothing, where the source is unknown or any of the rest does not fit it.
        """
        number, summary = source_named(self.manifest, source)
        return self._signal(number, as_row(summary, key, values, at))

    def signal_batch(self, source: type[Signal] | str, signals: object) -> tuple[tuple[int, str], ...]:
        """Tell every row of an Arrow table, batch or stream, in order; columns are the source's fields and ``at``.

        Returns (row, message) of each that does not fit; all others have been told. SignalError where the source is
        unknown, or the table as a whole does not fit it.
        """
        number, _ = source_named(self.manifest, source)
        return tuple(self._signal_batch(number, signals))

    def save_state(self, path: str | os.PathLike[str]) -> None:
        """Write everything the engine remembers to one file, as it stands at one moment, while decisions go on.

        Decisions wait only until the kernel has made a copy of the process (docs/STATE_FORMAT.md has figures); the copy
        writes the file, beside its destination, and it is renamed once all of it is on the disk. Until then what was
        there before stays. The file holds no identifiers, only their hashes, and is readable by its owner alone.

        Raises StateError where the process cannot be copied or the file cannot be written.
        """
        state_file.save(self, path, self._layout, self._state_keys)

    def restore_state(self, path: str | os.PathLike[str]) -> None:
        """Go on from a file that ``save_state`` wrote, as if the engine that saved it had never stopped.

        The file is read and checked beside what the engine has, which serves decisions until the last byte is found
        good and is then replaced, counters included. The bundle may be another one than the state was saved with, as
        long as everything that entities keep is declared as it was.

        Raises StateError where the file is truncated or altered in any bit, or was saved by an engine with another
        layout, hash key, ``max_keys`` or ``max_history_bytes``; the engine then goes on with what it had.
        """
        state_file.restore(self, path, self._layout, self._state_keys)

    def engage_kill_switch(self, outcome: str | None = None) -> None:
        """Give every event this outcome from the next decision on; features and scores go on as before.

        ``outcome``  by default the one that the policy's kill switch names

        Any thread may call. Raises PolicyError where the policy has no such outcome, or names none.
        """
        switch = self.manifest.policy.kill_switch if self.manifest.policy else None
        if outcome is None and switch is None:
            raise PolicyError("kill switch: expected an outcome, found none, and the policy names none")
        self._set_kill_switch(outcome if outcome is not None or switch is None else switch.outcome)

    def release_kill_switch(self) -> None:
        """Let the policy decide again, from the next decision on."""
        self._set_kill_switch(None)

    @property
    def kill_switch(self) -> str | None:
        """The outcome that every event gets at the moment, or None."""
        return self._kill_switch()

    def label_batch(self, labels: object) -> tuple[tuple[int, str], ...]:
        """Tell every label of an Arrow table, batch or stream with columns event_id, fraud and available_at, in order.

        Returns (row, message) of each that was refused: those may be told again, all others have taken effect.
        LabelError where the table as a whole does not fit, or the bundle has no features of labels.
        """
        return tuple(self._label_batch(labels))

    def counters(self) -> dict[str, int]:
        """How often what happened since load, or in all that a restored state remembers, and how much is kept."""
        return self._counters()

    def __repr__(self) -> str:
        forest = self.manifest.forest
        trees = f"{forest.trees} trees" if forest else "no forest"
        return f"Engine(bundle={self.bundle_id[:12]}, {len(self.manifest.features)} features, {trees})"

    def _batch(self, events: object, pass_name: str) -> Batch:
        ran = self._run_batch(events, pass_name)
        policy = policy_of(self.manifest)
        return Batch(
            scores=ran["scores"],
            margins=ran["margins"],
            outcome_codes=ran["outcomes"],
            rule_codes=ran["rules"],
            propensities=ran["propensities"],
            reason_codes=ran["reasons"],
            status_codes=ran["statuses"],
            errors=tuple(ran["errors"]),
            outcome_names=policy.outcomes,
            rule_names=policy.rule_names,
            scores_are_probabilities=scores_are_probabilities(self.manifest),
        )


def _check_trust(trust: str | os.PathLike[str] | Trust, bundle: Bundle, origin: str) -> None:
    # Imported where it is needed: a service that checks no signatures starts without cryptography.
    from quickthorn.signing import Trust

    (trust if isinstance(trust, Trust) else Trust.from_toml(trust)).check(bundle, origin)


def _prove(engine: Engine, parts: dict[str, Any], bundle: Bundle, origin: str) -> None:
    disagreement = _forest_disagreement(engine, bundle) if bundle.manifest.forest is not None else None
    disagreement = disagreement or replay_disagreement(golden_engine(engine, parts, bundle), bundle)
    if disagreement is not None:
        raise BundleError(f"{origin}: {disagreement}")


def _forest_disagreement(engine: Engine, bundle: Bundle) -> str | None:
    members = bundle.members
    return engine._verify_golden(
        members[GOLDEN_FEATURES],
        members[GOLDEN_MARGINS],
        members[GOLDEN_SCORES],
        members[GOLDEN_LEAVES],
        members.get(GOLDEN_CONTRIBUTIONS),
    )


def _layout(manifest: Manifest, max_keys: int, max_history_bytes: int) -> Layout:
    return Layout(
        abi_version=manifest.abi_version,
        groups=tuple(GroupLayout(entities=group.entities, layout=group.layout) for group in manifest.groups),
        components=tuple(
            ComponentLayout(entities=component.entities, cap=component.cap, labelled=component.labelled)
            for component in manifest.components
        ),
        looked_up=manifest.looked_up,
        signals=tuple(
            SignalLayout(
                source=source.name,
                fields=tuple((field.name, field.kind, field.scale, field.values) for field in source.fields),
            )
            for source in manifest.signals
        ),
        max_keys=max_keys,
        max_history_bytes=max_history_bytes,
        row_limit=manifest.row_limit,
        lateness_us=manifest.lateness_us,
        expire_after_us=manifest.expire_after_us,
        remembered_ids=manifest.remembered_ids,
    )


def _described(value: object) -> str:
    return f"{len(value)} bytes" if isinstance(value, bytes) else repr(value)
