"""`quickthorn bench`: how long a bundle's decisions take here, and whether that is within a budget."""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec

from quickthorn.cli.progress import Steps, add_quiet
from quickthorn.cli.refusal import DONE, FAILED, refuse
from quickthorn.cli.trust_options import add_trust_options
from quickthorn.errors import QuickthornError
from quickthorn.lifecycle import Budget, Latency, measure_latency, percentile_table, read_events, sample_events
from quickthorn.serving import Engine

DESCRIPTION = (
    "Decide events one by one and print the percentiles of single calls, one after the other (hot) and each after a "
    "sweep of 64 MiB (cold). Exit code 0 where a budget is kept or none is given, 1 where it is not, 2 where nothing "
    "could be measured. On a shared machine, pin the process to a core and look at the median."
)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the verb `bench`."""
    parser = subparsers.add_parser("bench", help="measure a bundle's latency", description=DESCRIPTION)
    parser.add_argument("bundle", type=Path, help="bundle file to measure")
    parser.add_argument(
        "--events", type=Path, metavar="FILE", help="events to decide, .parquet or .jsonl (default: made up)"
    )
    parser.add_argument("--calls", type=int, default=50_000, help="how many events to decide (default %(default)s)")
    parser.add_argument("--budget", type=Path, metavar="BUDGET.toml", help="limits, such as hot.p99_us = 20")
    add_trust_options(parser, "trust file that signatures are held to")
    add_quiet(parser)
    parser.add_argument("--json", action="store_true", help="print what was found as one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure and print; returns the exit code."""
    try:
        with Steps(quiet=args.quiet) as steps:
            steps("load the bundle")
            budget = Budget.from_toml(args.budget) if args.budget is not None else Budget()
            engine = Engine.load(args.bundle, trust=args.trust, allow_unsigned=args.allow_unsigned)
            steps("make events up" if args.events is None else "read the events")
            events = (
                sample_events(engine.manifest.schema, args.calls)
                if args.events is None
                else read_events(args.events)[: args.calls]
            )
            steps(f"decide {len(events):,} events one by one")
            latency = measure_latency(engine, events)
    except QuickthornError as error:
        return refuse("bench", error)
    broken = budget.broken_by(latency)
    if args.json:
        found = {"bundle_id": engine.bundle_id, "latency": latency, "within_budget": not broken, "broken": broken}
        print(msgspec.json.encode(found).decode())
    else:
        _print(engine, latency, broken)
    return FAILED if broken else DONE


def _print(engine: Engine, latency: Latency, broken: tuple[str, ...]) -> None:
    print(f"{engine!r}, microseconds a call")
    for line in percentile_table({"hot": latency.hot, "cold": latency.cold}, name_width=6):
        print(line)
    for sentence in broken:
        print(f"over budget: {sentence}")
