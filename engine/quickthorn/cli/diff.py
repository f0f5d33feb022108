"""`quickthorn diff`: two bundles side by side, and what they decide of the same events."""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec

from quickthorn.cli.progress import Steps, add_quiet
from quickthorn.cli.refusal import DONE, refuse
from quickthorn.cli.trust_options import add_trust_options
from quickthorn.errors import QuickthornError
from quickthorn.lifecycle import Comparison, ReasonStability, compare, read_event_table

DESCRIPTION = (
    "Compare two bundles: their schema, features, forest, policy and reasons, and with events how feature values and "
    "scores move, which outcomes change, and whether the same reasons are given. Exit code 0 whatever is found, 2 "
    "where it cannot be compared; `promote` judges by gates."
)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the verb `diff`."""
    parser = subparsers.add_parser("diff", help="compare two bundles", description=DESCRIPTION)
    parser.add_argument("old", type=Path, help="bundle file that is in use")
    parser.add_argument("new", type=Path, help="bundle file that would take its place")
    add_events(parser)
    add_trust_options(parser, "trust file that both are held to")
    add_quiet(parser)
    parser.add_argument("--json", action="store_true", help="print what was found as one JSON object")
    parser.set_defaults(run=run)


def add_events(parser: argparse.ArgumentParser) -> None:
    """The options `--events` and `--label`."""
    parser.add_argument(
        "--events", type=Path, metavar="FILE", help="events that both decide, .parquet or .jsonl, in order of time"
    )
    parser.add_argument("--label", metavar="COLUMN", help="column of 0 and 1 in the events, to judge the ranking by")


def run(args: argparse.Namespace) -> int:
    """Compare and print; returns the exit code."""
    try:
        with Steps(quiet=args.quiet) as steps:
            events = None
            if args.events is not None:
                steps("read the events")
                events = read_event_table(args.events)
            found = compare(
                args.old,
                args.new,
                events,
                label=args.label,
                trust=args.trust,
                allow_unsigned=args.allow_unsigned,
                on_step=steps,
            )
    except QuickthornError as error:
        return refuse("diff", error)
    if args.json:
        print(msgspec.json.encode(found).decode())
    else:
        print_comparison(found)
    return DONE


def print_comparison(found: Comparison) -> None:
    """The comparison as people read it."""
    print(f"old  bundle {found.old_id[:16]}, version {found.old_version}, {found.old_size_bytes:,} bytes")
    print(f"new  bundle {found.new_id[:16]}, version {found.new_version}, {found.new_size_bytes:,} bytes")
    for subject, lines in (
        ("schema", found.schema),
        ("features", found.features),
        ("kept", found.kept),
        ("forest", found.forest),
        ("policy", found.policy),
        ("reason map", found.reason_map),
    ):
        print(f"{subject}: {'the same' if not lines else ''}".rstrip())
        for line in lines:
            print(f"  {line}")
    if found.scores is None:
        return
    print(f"{found.events:,} events, invalid {found.invalid[0]:,} → {found.invalid[1]:,}")
    for name, share in found.features_moved.items():
        print(f"  feature {name} has another value in {share:.2%}")
    scores = found.scores
    print(
        f"scores: mean {scores.old_mean:.6g} → {scores.new_mean:.6g}, largest move {scores.largest:.6g}, "
        f"PSI {scores.psi:.4f}"
    )
    if found.old_average_precision is not None and found.new_average_precision is not None:
        print(f"average precision: {found.old_average_precision:.4f} → {found.new_average_precision:.4f}")
    print(f"outcomes changed: {found.swap_share:.2%}")
    for swap, count in found.swaps.items():
        print(f"  {swap:<24}{count:>9,}")
    if found.reasons is not None:
        _print_reasons(found.reasons)


def _print_reasons(found: ReasonStability) -> None:
    print(
        f"reasons: {found.events:,} events have some from both, {found.old_only:,} from old alone, "
        f"{found.new_only:,} from new alone"
    )
    if not found.events:
        return
    print(f"  the same first reason in {found.first_same_share:.2%}, mean overlap of all {found.mean_overlap:.2%}")
    for code, (old, new) in found.shifts.items():
        print(f"  {code} {'rose' if new > old else 'fell'} from {old:.2%} to {new:.2%}")
