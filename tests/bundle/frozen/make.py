"""Makes the frozen bundle of the present format, with its inputs and what is decided on some events.

    python -m tests.bundle.frozen.make

Files that are there are left alone, and the key that signs is kept nowhere.
"""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

import quickthorn as qt
from quickthorn.bundle import FORMAT_VERSION
from quickthorn.calibration import fit
from quickthorn.compiling import compile_bundle
from quickthorn.event.sample_events import sample_events
from quickthorn.signing import SigningKey, sign_bundle

FOLDER = Path(__file__).parent
HASH_KEY = bytes(range(16))
EVENTS = 120
POLICY = """\
reasons = ["review", "decline"]

[thresholds]
review = 0.3
decline = 0.7

[fallback]
invalid = "review"
late = "step_up"

[[block]]
name = "large"
when = "amount > 80 and channel == 'web'"

[exploration]
share = 0.1
outcome = "approve"
of = ["decline"]
seed = 5
"""
REASONS = """\
population = "payments of the year before"

[[reason]]
code = "A1"
text = "The amount is unusual"
features = ["amount", "amount_to_usual", "usual"]

[[reason]]
code = "B1"
text = "What the card did before"
features = ["count", "frauds", "channel", "bureau"]
"""
NAMES = ("amount", "channel", "count", "usual", "amount_to_usual", "frauds", "bureau")


class Payment(qt.Event):
    event_id: qt.Id
    at: qt.EventTime
    card: qt.Entity
    amount: qt.Money
    channel: qt.Category | None = qt.field(values=("web", "app"))


class Bureau(qt.Signal):
    person: qt.Entity
    score: qt.Number | None


@qt.kernel
def ratio(value, usual):  # type: ignore[no-untyped-def]
    return value / usual if usual > 0.0 else math.nan


def features() -> qt.FeatureSet:
    """What the bundle computes."""
    found = qt.FeatureSet(Payment, lateness="10m")
    found["amount"] = Payment.amount
    found["channel"] = Payment.channel
    found["count"] = qt.count(by=Payment.card, over="1h", include_current=True)
    found["usual"] = qt.mean(Payment.amount, by=Payment.card, over="7d")
    found["amount_to_usual"] = ratio(Payment.amount, found["usual"])
    found["frauds"] = qt.fraud_count(by=Payment.card, over="7d")
    found["bureau"] = qt.signal_value(Bureau.score, by=Payment.card, ttl="30d")
    return found


def steps() -> list[dict[str, Any]]:
    """What the engine is told: events, with a label or a signal after some of them."""
    told: list[dict[str, Any]] = []
    for number, event in enumerate(sample_events(Payment.schema.fields, EVENTS, seed=6, entities=8)):
        event["at"] += number * 120_000_000
        if number % 10 == 7:
            event["at"] -= 300_000_000
        if number % 25 == 24:
            event["amount"] = "much"
        told.append({"event": event})
        if number % 4 == 3 and number % 25 != 24:
            told.append({"label": [event["event_id"], number % 8 == 3, event["at"] + 1]})
        if number % 6 == 5:
            told.append({"signal": ["Bureau", event["card"], {"score": number / 7}, event["at"]]})
    return told


def decided(path: Path) -> list[dict[str, Any]]:
    """Every step, those with an event with what is decided on it."""
    engine = qt.Engine.load(path, hash_key=HASH_KEY, allow_unsigned=True)
    lines = []
    for step in steps():
        if "label" in step:
            engine.label(*step["label"])
        elif "signal" in step:
            engine.signal(*step["signal"])
        else:
            step["expected"] = answer(engine.decide(step["event"], features=True))
        lines.append(step)
    return lines


def answer(decision: Any) -> dict[str, Any]:
    """What is recorded of a decision; None for NaN."""

    def finite(value: float) -> float | None:
        return None if math.isnan(value) else value

    return {
        **{name: getattr(decision, name) for name in ("outcome", "rule", "status", "propensity", "aligned_score")},
        "margin": finite(decision.margin),
        "score": finite(decision.score),
        "reasons": [reason.code for reason in decision.reasons],
        "features": {name: finite(value) for name, value in (decision.features or {}).items()},
    }


def main() -> None:
    """Write what is not there yet."""
    import xgboost

    name = f"format-{FORMAT_VERSION}"
    bundle, inputs = FOLDER / f"{name}.qt", FOLDER / name
    if bundle.exists():
        print(f"{bundle} is there and is left alone")
        return
    shutil.rmtree(inputs, ignore_errors=True)
    inputs.mkdir()
    (inputs / "policy.toml").write_text(POLICY)
    (inputs / "reasons.toml").write_text(REASONS)
    random = np.random.default_rng(8)
    rows = np.abs(random.normal(0.0, 60.0, (2_000, len(NAMES))))
    rows[:, 1] = random.integers(0, 2, 2_000)
    rows[random.random(rows.shape) < 0.1] = np.nan
    fraud = np.nan_to_num(rows[:, 0]) + 20 * np.nan_to_num(rows[:, 4]) > random.normal(90, 40, 2_000)
    data = xgboost.DMatrix(rows, label=fraud, feature_names=list(NAMES))
    model = xgboost.train({"objective": "binary:logistic", "max_depth": 3, "nthread": 1}, data, num_boost_round=6)
    model.save_model(inputs / "model.json")
    margins = model.predict(data, output_margin=True).astype(np.float64)
    fit(margins, fraud, method="isotonic").save(inputs / "calibration.json")
    compile_bundle(
        features=features(),
        model=inputs / "model.json",
        policy=inputs / "policy.toml",
        reasons=inputs / "reasons.toml",
        calibration=inputs / "calibration.json",
        reference=rows,
        output=bundle,
        target="x86-64-v2",
        version=1,
    )
    key = SigningKey.generate("ed25519")
    sign_bundle(bundle, key, "builder")
    (FOLDER / f"{name}.trust.toml").write_text(
        f'require = ["builder"]\n\n[[keys]]\nname = "frozen"\nroles = ["builder"]\n'
        f'public_key = """\n{key.public.pem.decode()}"""\n'
    )
    lines = [msgspec.json.encode(line) for line in decided(bundle)]
    (FOLDER / f"{name}.decisions.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    print(f"{bundle}: {bundle.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
