"""`quickthorn simulate`: write a simulated payment stream with planted fraud to a Parquet file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from quickthorn.cli.refusal import refuse
from quickthorn.demo.scenarios import SCENARIOS
from quickthorn.demo.stream import check_sizes, simulate, write_stream
from quickthorn.errors import QuickthornError, SimulationError
from quickthorn.extras import require

if TYPE_CHECKING:
    import pyarrow as pa

DESCRIPTION = (
    "Simulate card payments of customers at terminals, with planted fraud: compromised terminals, stolen cards, bursts "
    "of card testing, and account takeovers. Labels come late, as chargebacks do: the column label_available_at says "
    "when each is known. The columns fraud, scenario and label_available_at are the truth; keep them from the system "
    "under test. The same arguments and seed write the same file."
)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the verb `simulate`."""
    parser = subparsers.add_parser(
        "simulate", help="write a simulated payment stream with planted fraud", description=DESCRIPTION
    )
    parser.add_argument("--days", type=int, default=120, help="length of the stream in days (default %(default)s)")
    parser.add_argument("--customers", type=int, default=2000, help="number of customers (default %(default)s)")
    parser.add_argument("--terminals", type=int, default=400, help="number of terminals (default %(default)s)")
    parser.add_argument("--seed", type=int, default=7, help="seed of the random numbers (default %(default)s)")
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("events.parquet"), help="Parquet file to write (default %(default)s)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the stream and print what is in it; returns the exit code."""
    try:
        check_sizes(args.days, args.customers, args.terminals, args.seed)
        _check_output(args.output)
        table = simulate(args.days, args.customers, args.terminals, args.seed)
        write_stream(table, args.output)
    except QuickthornError as error:
        return refuse("simulate", error)
    _print_summary(table, args.output)
    return 0


def _check_output(output: Path) -> None:
    # Before the work rather than after it: nobody wants to wait for a file that cannot be written.
    if output.suffix != ".parquet":
        raise SimulationError(f"output: expected a file name ending in .parquet, got {str(output)!r}")
    if not output.parent.is_dir():
        raise SimulationError(f"output: expected an existing directory, got {str(output.parent)!r}")
    if output.is_dir():
        raise SimulationError(f"output: expected a file, got the directory {str(output)!r}")


def _print_summary(table: pa.Table, output: Path) -> None:
    compute = require("pyarrow.compute", "demo", "summing up a payment stream")
    rows = table.num_rows
    frauds = compute.sum(table["fraud"]).as_py() or 0
    print(f"{output}: {rows:,} payments, {output.stat().st_size / 1e6:.1f} MB")
    if rows:
        first, last = (table["at"][row].as_py().isoformat(timespec="seconds") for row in (0, rows - 1))
        print(f"  time span   {first} to {last}")
        print(f"  frauds      {frauds:,} ({frauds / rows:.2%})")
    counts = {row["values"]: row["counts"] for row in table["scenario"].value_counts().to_pylist()}
    for scenario in SCENARIOS[1:]:
        print(f"    {scenario:<22}{counts.get(scenario, 0):>9,}")
