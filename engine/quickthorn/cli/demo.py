"""`quickthorn demo`: the whole product over one simulated stream, from raw events to live decisions."""

from __future__ import annotations

import argparse
from pathlib import Path

from quickthorn.cli.refusal import refuse
from quickthorn.errors import QuickthornError

DESCRIPTION = (
    "Simulate a payment stream with planted fraud, replay it into a training table, train XGBoost on what was known at "
    "the time, compile the bundle, and decide the last days of the stream live, one event at a time. Prints a table of "
    "results and leaves the stream, the model, the policy, the bundle, demo.json and demo.png in the directory."
)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the verb `demo`."""
    parser = subparsers.add_parser(
        "demo", help="run everything once on a simulated payment stream", description=DESCRIPTION
    )
    parser.add_argument(
        "--directory", type=Path, default=Path("quickthorn-demo"), help="where results go (default %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=7, help="seed of the random numbers (default %(default)s)")
    parser.add_argument(
        "--days", type=int, default=120, help="length of the stream in days, at least 60 (default %(default)s)"
    )
    parser.add_argument("--customers", type=int, default=2000, help="number of customers (default %(default)s)")
    parser.add_argument("--terminals", type=int, default=400, help="number of terminals (default %(default)s)")
    parser.add_argument("--trees", type=int, default=150, help="trees of the model (default %(default)s)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the demo and print its results; returns the exit code."""
    try:
        # Imported here, so that `--help` and the other verbs do not wait for the compiler's packages.
        from quickthorn.demo.report import results_table
        from quickthorn.demo.run import run_demo
        from quickthorn.extras import require

        console = require("rich.console", "demo", "the demo's output").Console()
        results = run_demo(
            args.directory,
            seed=args.seed,
            days=args.days,
            customers=args.customers,
            terminals=args.terminals,
            trees=args.trees,
            console=console,
        )
    except QuickthornError as error:
        return refuse("demo", error)
    console.print()
    console.print(results_table(results))
    took = sum(results.seconds.values())
    console.print(f"{took:.0f} s in all; the picture is {args.directory / 'demo.png'}", highlight=False)
    return 0
