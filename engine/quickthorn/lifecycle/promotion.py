"""Putting a bundle into an environment, and taking it back: by gates, and on the record."""

from __future__ import annotations

import datetime as dt
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from quickthorn.bundle import read_bundle
from quickthorn.bundle.replacing import replacing, write_whole
from quickthorn.errors import BundleError, GateError
from quickthorn.event.sample_events import sample_events
from quickthorn.lifecycle.comparison import Comparison, compare
from quickthorn.lifecycle.gates import GateResult, Gates, judge
from quickthorn.lifecycle.latency import deciding, timed
from quickthorn.lifecycle.ledger import Ledger, Recorded
from quickthorn.lifecycle.store import Store
from quickthorn.serving import Engine
from quickthorn.signing import SigningKey, Trust

_TURNS, _CALLS_A_TURN = 40, 100


@dataclass(frozen=True)
class Promotion:
    """What became of a challenger: ``recorded`` is its entry in the ledger, None where a gate did not let it through.

    ``compared`` is None where there was no champion to compare it with; then no gate was judged.
    """

    results: tuple[GateResult, ...]
    compared: Comparison | None
    recorded: Recorded | None


def promote(
    challenger: str | os.PathLike[str],
    *,
    store: Store,
    environment: str,
    trust: Trust,
    key: SigningKey,
    gates: Gates,
    events: Any = None,
    label: str | None = None,
    on_step: Callable[[str], object] = lambda step: None,
) -> Promotion:
    """Judge a challenger against the environment's champion; where it passes, store it and sign that it is in place.

    The challenger must satisfy ``trust`` and agree with its golden vectors, and be of a higher version than the
    champion; ``gates`` are judged on ``events``, an Arrow table in event-time order, and its column ``label``.
    ``on_step`` is called with what is being done, in words, as each step of it begins.

    Raises GateError where it cannot be judged or is no newer, and what the ledger, the store and ``Engine.load`` raise.
    """
    on_step("check the ledger and the challenger")
    ledger = Ledger(store, environment, trust)
    champion = ledger.in_place()
    engine = Engine.load(challenger, trust=trust)
    version = engine.manifest.version
    results: tuple[GateResult, ...] = ()
    compared = None
    if champion is not None:
        if version <= champion.entry.version:
            raise GateError(
                f"{os.fspath(challenger)}: expected a version above the champion's {champion.entry.version}, "
                f"found {version}"
            )
        with _on_disk(store, champion.bundle_id) as old:
            # The challenger was held to the trust file above, and the champion by the ledger that names its bytes.
            compared = compare(old, challenger, events, label=label, allow_unsigned=True, on_step=on_step)
            on_step("judge it by the gates")
            results = judge(gates, compared, lambda: _latency_ratio(old, Path(challenger)))
    if not all(result.holds for result in results):
        return Promotion(results, compared, None)
    on_step("store the bundle and sign the ledger")
    bundle = store.put_bundle(Path(challenger).read_bytes(), os.fspath(challenger))
    grounds = {result.gate: msgspec.to_builtins(result) for result in results}
    recorded = ledger.append("promote", bundle.bundle_id, version, key, grounds)
    return Promotion(results, compared, recorded)


def roll_back(
    *, store: Store, environment: str, trust: Trust, key: SigningKey, to: str | None = None, why: str = ""
) -> Recorded:
    """Sign that a bundle that was in place before is in place again: the one of the id ``to``, else the last other one.

    It must still satisfy ``trust``: what is revoked does not come back. Raises GateError where there is none to go back
    to, and what the ledger, the store and ``Trust.check`` raise.
    """
    ledger = Ledger(store, environment, trust)
    entries = ledger.entries()
    earlier = [found.bundle_id for found in entries if found.bundle_id != entries[-1].bundle_id]
    if to is not None:
        earlier = [bundle_id for bundle_id in earlier if bundle_id.startswith(to)]
    if not earlier:
        wanted = f"a bundle {to}" if to is not None else "a bundle"
        raise GateError(f"{environment}: expected {wanted} that was in place before the present one, found none")
    image = store.bundle_image(earlier[-1])
    bundle = read_bundle(image)
    trust.check(bundle, f"{store.url}: bundle {bundle.short_id}")
    grounds: Mapping[str, Any] = {"why": why} if why else {}
    return ledger.append("rollback", bundle.bundle_id, bundle.manifest.version, key, grounds)


def fetch(
    output: str | os.PathLike[str], *, store: Store, environment: str, trust: Trust, at: dt.datetime | None = None
) -> Recorded:
    """Write the bundle that is in place, or was at a moment, to a file, and return its entry in the ledger.

    It must satisfy ``trust`` as it stands now. The file appears whole, or what was there before stays. Raises GateError
    where nothing was in place, BundleError where the file cannot be written, and what the ledger, the store and
    ``Trust.check`` raise.
    """
    recorded = Ledger(store, environment, trust).in_place(at)
    if recorded is None:
        raise GateError(f"{environment}: expected a bundle in place, found none")
    image = store.bundle_image(recorded.bundle_id)
    bundle = read_bundle(image)
    trust.check(bundle, f"{store.url}: bundle {bundle.short_id}")
    try:
        with replacing(Path(output)) as file:
            write_whole(file, image)
    except OSError as error:
        raise BundleError(f"{os.fspath(output)}: expected to write the file, found: {error.strerror}") from error
    return recorded


@contextmanager
def _on_disk(store: Store, bundle_id: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="quickthorn-") as scratch:
        path = Path(scratch) / "champion.qt"
        path.write_bytes(store.bundle_image(bundle_id))
        yield path


def _latency_ratio(old: Path, new: Path) -> float:
    """The challenger's median over the champion's, hot, in turns of 100 calls, so that both meet the same machine."""
    calls = [deciding(Engine.load(path, allow_unsigned=True)) for path in (old, new)]
    streams = [sample_events(read_bundle(path).manifest.schema, (_TURNS + 10) * _CALLS_A_TURN) for path in (old, new)]
    taken_ns: tuple[list[int], list[int]] = ([], [])
    for turn in range(_TURNS + 10):
        for call, stream, taken in zip(calls, streams, taken_ns, strict=True):
            latency_ns = timed(call, stream[turn * _CALLS_A_TURN : (turn + 1) * _CALLS_A_TURN])
            if turn >= 10:  # the turns before warm up
                taken.extend(latency_ns)
    return float(np.median(taken_ns[1]) / np.median(taken_ns[0]))
