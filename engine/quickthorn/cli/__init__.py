"""The command line: one file per verb."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib import metadata

from quickthorn.cli import bench, demo, diff, keygen, policy, production, sign, simulate, verify
from quickthorn.cli import compile as compile_verb
from quickthorn.cli import inspect as inspect_verb


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code: 0 done, 1 a check does not hold, 2 refused with one line of error."""
    parser = argparse.ArgumentParser(
        prog="quickthorn", description="From a raw payment event to a fraud decision in microseconds, in the process."
    )
    parser.add_argument("--version", action="version", version=f"quickthorn {metadata.version('quickthorn')}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="verb")
    for verb in (compile_verb, policy, inspect_verb, verify, keygen, sign, bench, diff, production, demo, simulate):
        verb.add_parser(verbs)
    parsed = parser.parse_args(arguments)
    code: int = parsed.run(parsed)
    return code
