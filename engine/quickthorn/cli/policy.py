"""`quickthorn policy check`: what a policy's author should know before it decides anything."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

import msgspec

from quickthorn.cli.refusal import DONE, FAILED, refuse
from quickthorn.errors import QuickthornError

DESCRIPTION = (
    "Read a policy and look it over: rules that can never fire, rules of different outcomes that hold together, gaps "
    "between them, and outcomes that are never given. With --features its conditions are held against the event's "
    "fields and the features. Arithmetic and comparisons of two values are not seen into: such rules are named as "
    "undecided. Exit code 0 where nothing was found but what is undecided, 1 where something was, 2 where the policy "
    "or the features were refused."
)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the verb `policy`."""
    parser = subparsers.add_parser("policy", help="look a policy over")
    verbs = parser.add_subparsers(dest="policy_verb", required=True, metavar="verb")
    check = verbs.add_parser("check", help="name overlaps, gaps and rules that never fire", description=DESCRIPTION)
    check.add_argument("policy", type=Path, metavar="FILE", help="policy file (TOML)")
    check.add_argument("--features", metavar="FILE.py:NAME", help="Python file and the name of the FeatureSet in it")
    check.add_argument("--json", action="store_true", help="print one JSON object")
    check.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print what was found; returns the exit code."""
    try:
        from quickthorn.cli.compile import load_features
        from quickthorn.decision.compiled import compile_conditions
        from quickthorn.decision.policy_file import read_policy
        from quickthorn.decision.review import review

        source = read_policy(args.policy)
        conditions = None
        if args.features is not None:
            features = load_features(args.features)
            conditions = compile_conditions(source, features.schema.fields, features.names)
        findings = review(source.policy, conditions)
    except QuickthornError as error:
        if args.json:
            print(msgspec.json.encode({"policy": str(args.policy), "error": str(error)}).decode())
        return refuse("policy check", error)
    if args.json:
        listed = [asdict(finding) for finding in findings]
        print(msgspec.json.encode({"policy": str(args.policy), "findings": listed}).decode())
    else:
        for finding in findings:
            print(f"{finding.kind}: {finding.where}: {finding.message}")
        if args.features is None and (source.policy.rules or source.policy.segment or source.policy.cap):
            print("conditions were not looked into: --features says what they are over")
        print(f"{args.policy}: {len(findings)} to look at")
    return FAILED if any(finding.kind != "undecided" for finding in findings) else DONE
