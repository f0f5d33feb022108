"""Measures the feature stage, alone and beside its rivals, and writes benchmarks/FEATURES.md.

    python -m benchmarks.features_report                 about five minutes on a quiet machine; then the page
    python -m benchmarks.features_report --small --page FOLDER   the same in seconds with few keys, to see that it works

The Fraud Detection Handbook's transactions are not in the repository: --transactions names the Parquet file with the
columns event_id, ts, customer_id, terminal_id, amount, amount_cents and fraud. Without one, replay is measured on
simulated ones.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from benchmarks import feature_timing as timing
from benchmarks.feature_workload import EVENTS_PER_KEY
from benchmarks.features_page import render
from benchmarks.handbook_replay import DAY_US, EVALUATORS, tied
from benchmarks.machine import machine
from benchmarks.report import commit

ROOT = Path(__file__).parents[1]
TRANSACTIONS = ROOT.parent / "shared" / "data" / "handbook_transactions.parquet"
# Fewer events for the most keys, which would take minutes to fill.
LIVE_KEYS = ((10_000, EVENTS_PER_KEY), (1_000_000, EVENTS_PER_KEY), (10_000_000, 8))
MEMORY_KEYS = 500_000
HOUR_US = 3_600_000_000


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what the command line asks for and write the page."""
    chosen = _arguments(arguments)
    document = run(chosen)
    chosen.page.mkdir(parents=True, exist_ok=True)
    (chosen.page / "FEATURES.md").write_text(render(document))
    print(f"page: {chosen.page / 'FEATURES.md'}")


def run(chosen: argparse.Namespace) -> dict[str, Any]:
    """Everything that the page is rendered from."""
    small, processor = chosen.small, chosen.processor
    with tempfile.TemporaryDirectory(prefix="quickthorn-") as scratch:
        folder = Path(scratch)
        timer = timing.build_timer(folder, "-O0" if small else "-O3")
        made = timing.libraries(folder)
        calls, swept_calls = (256, 2) if small else (100_000, 500)
        document: dict[str, Any] = {
            "commit": commit(),
            "when": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
            "machine": machine(),
            "remark": chosen.remark,
            "compile": [] if small else timing.compile_seconds("two_hundred"),
            "latency": {
                str(keys): timing.latency(timer, made["latency"], keys, calls, swept_calls, processor, events)
                | {"events_per_key": events}
                for keys, events in (((400, EVENTS_PER_KEY),) if small else LIVE_KEYS)
            },
            "memory": timing.memory(timer, made["memory"], 2_000 if small else MEMORY_KEYS, processor),
        }
        document["replay"] = replayed(folder, None if small else chosen.transactions)
    return document


def replayed(folder: Path, transactions: Path | None) -> dict[str, Any]:
    """Every evaluator in a process of its own, then all of them once more; their features compared."""
    path = folder / "transactions.parquet"
    if transactions is not None and transactions.exists():
        path.symlink_to(transactions.resolve())
        source = "the Fraud Detection Handbook's transactions"
    else:
        pa.parquet.write_table(_simulated(3_000), path)
        source = "simulated transactions"
    answers: dict[str, dict[str, Any]] = {}
    for name in 2 * [*EVALUATORS]:
        if "refused" in answers.get(name, {}):
            continue
        target = folder / "answer.npz"
        command = [sys.executable, "-m", "benchmarks.handbook_replay", name, str(path), str(target)]
        ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if ran.returncode != 0:
            answers[name] = {"refused": ran.stderr.strip().splitlines()[-1][:200]}
            continue
        with np.load(target) as found:
            answer = answers.setdefault(name, {"seconds": [], "version": str(found["_version"])})
            answer["seconds"] += found["_seconds"].tolist()
            answer["columns"] = {column: found[column] for column in found.files if not column.startswith("_")}
    rows, excluded = pyarrow.parquet.read_metadata(path).num_rows, tied(path)
    ours = answers["Quickthorn"]["columns"]
    for answer in answers.values():
        columns = answer.pop("columns", None)
        if columns is not None:
            assert columns.keys() == ours.keys()
            judged = {name: np.abs(columns[name] - ours[name])[~excluded] for name in ours}
            answer["largest_difference"] = float(max(difference.max() for difference in judged.values()))
    return {"source": source, "rows": rows, "tied": int(excluded.sum()), "answers": answers}


def _simulated(rows: int) -> pa.Table:
    random = np.random.default_rng(11)
    # Whole hours, so that many rows share their time, and many are exactly as old as a window is long.
    at = 1_522_540_800_000_000 + np.cumsum(random.integers(1, DAY_US * 80 // rows, rows)) // HOUR_US * HOUR_US
    cents = random.integers(100, 20_000, rows)
    return pa.table(
        {
            "event_id": np.arange(rows),
            "ts": pa.array(at, pa.timestamp("us", tz="UTC")),
            "customer_id": random.integers(0, 50, rows).astype(np.int32),
            "terminal_id": random.integers(0, 80, rows).astype(np.int32),
            "amount": cents / 100.0,
            "amount_cents": cents,
            "fraud": (random.random(rows) < 0.05).astype(np.int8),
        }
    )


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", type=Path, default=ROOT / "benchmarks", help="the folder that FEATURES.md goes to")
    parser.add_argument("--transactions", type=Path, default=TRANSACTIONS)
    parser.add_argument("--small", action="store_true", help="few keys and rows")
    parser.add_argument("--processor", type=int, default=max(os.sched_getaffinity(0)), help="where to measure")
    parser.add_argument("--remark", default="", help="a sentence for the page, such as who else used the machine")
    chosen = parser.parse_args(arguments)
    if chosen.small and chosen.page == ROOT / "benchmarks":
        parser.error("--small: expected --page with another folder than the one the results page is in")
    return chosen


if __name__ == "__main__":
    main()
