"""`quickthorn verify`: everything about a bundle that can be checked on this machine."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from quickthorn.bundle import Bundle, read_bundle
from quickthorn.cli.progress import Steps, add_quiet
from quickthorn.cli.refusal import DONE, FAILED, refuse
from quickthorn.cli.trust_options import add_trust_options
from quickthorn.errors import BundleError, ModelError, QuickthornError, SigningError, StateError

if TYPE_CHECKING:
    from quickthorn.signing import Trust

DESCRIPTION = (
    "Check every byte of a bundle against its digests, its signatures against a trust file, and, with each of its "
    "libraries that this processor runs, every golden vector: leaf by leaf and bit by bit. With --model and --data the "
    "same is done with every row of a file, held to the library that trained the model: its leaf in every tree, its "
    "margin to the bit, and its contributions where the bundle has them. Exit code 0 where all of it holds, 1 where "
    "something does not, 2 where the trust file, the model or the data cannot be used."
)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the verb `verify`."""
    parser = subparsers.add_parser("verify", help="check a bundle", description=DESCRIPTION)
    parser.add_argument("bundle", type=Path, help="bundle file to check")
    add_trust_options(parser, "trust file that signatures are held to")
    parser.add_argument("--model", type=Path, metavar="FILE", help="the trained model, to hold the bundle to")
    parser.add_argument(
        "--data",
        type=Path,
        metavar="FILE",
        help="rows to hold it to its model on: .parquet, .csv, .arrow, .feather or .jsonl with a column for each "
        "feature, or with events",
    )
    parser.add_argument(
        "--features",
        metavar="FILE.py:NAME",
        help="the FeatureSet, for the values of categories (default: those of the event's fields of the same names)",
    )
    add_quiet(parser)
    parser.add_argument("--json", action="store_true", help="print what was found as one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check and print what was found; returns the exit code."""
    from quickthorn.signing import Trust

    try:
        if (args.model is None) != (args.data is None):
            given, lacking = ("--data", "--model") if args.model is None else ("--model", "--data")
            raise ModelError(f"verify: expected {lacking} along with {given}, found none")
        trust = Trust.from_toml(args.trust) if args.trust is not None else None
    except QuickthornError as error:
        return refuse("verify", error)
    try:
        with Steps(quiet=args.quiet) as steps:
            steps("check every byte")
            bundle = read_bundle(args.bundle)
            found = _checked(args.bundle, bundle, trust, steps)
            parity = _parity(args, bundle, trust, steps) if args.model is not None else None
    except (BundleError, SigningError, StateError) as error:
        if args.json:
            print(msgspec.json.encode({"holds": False, "error": str(error)}).decode())
            return FAILED
        return refuse("verify", error, FAILED)
    except QuickthornError as error:
        return refuse("verify", error)
    holds = parity is None or parity["holds"]
    if args.json:
        print(msgspec.json.encode({"holds": holds, **found, "parity": parity}).decode())
        return DONE if holds else FAILED
    print(f"{args.bundle}: bundle {found['bundle_id'][:16]}, version {found['version']}, every byte as written")
    for signer in found["signers"]:
        print(f"  signed as {signer['role']} by {signer['name']} ({signer['key_id'][:16]})")
    if trust is None:
        print(f"  signatures: {found['signatures']}, not looked at, as --allow-unsigned was given")
    ran, rows = ", ".join(found["targets_run"]), found["golden_rows"]
    vectors = f"{rows} golden vectors and " if rows else ""
    print(f"  {vectors}{found['golden_events']} golden events agree on {ran}")
    if found["targets_not_run"]:
        print(f"  not run, as this processor cannot: {', '.join(found['targets_not_run'])}")
    if parity is not None:
        _print_parity(args, parity)
    return DONE if holds else FAILED


def _checked(path: Path, bundle: Bundle, trust: Trust | None, steps: Steps) -> dict[str, Any]:
    from quickthorn.serving import Engine
    from quickthorn.serving.target import runnable_targets

    signers = trust.check(bundle, str(path)) if trust is not None else ()
    targets = bundle.manifest.targets
    runs = runnable_targets(targets)
    for target in runs or targets[:1]:
        steps(f"hold {target} to the golden vectors and events")
        # Read again, so that what is mapped was verified in the very bytes that are mapped.
        Engine.load(path, target=target, trust=trust, allow_unsigned=trust is None)
    golden = bundle.manifest.golden
    return {
        "bundle_id": bundle.bundle_id,
        "version": bundle.manifest.version,
        "size_bytes": bundle.size_bytes,
        "signatures": len(bundle.envelopes),
        "signers": [{"name": signer.name, "key_id": signer.key_id, "role": signer.role} for signer in signers],
        "golden_rows": golden.rows if golden is not None else 0,
        "golden_events": bundle.manifest.golden_events,
        "targets_run": runs,
        "targets_not_run": [target for target in targets if target not in runs],
    }


def _parity(args: argparse.Namespace, bundle: Bundle, trust: Trust | None, steps: Steps) -> dict[str, Any]:
    # Imported here: they need what compiling needs, and what trains.
    from quickthorn.cli.compile import load_features
    from quickthorn.compiling.source_model import category_values
    from quickthorn.lifecycle.feature_vectors import read_data_table, vectors_of
    from quickthorn.lifecycle.parity import parity
    from quickthorn.serving import Engine

    if args.features is not None:
        features = load_features(args.features)
        if features.names != bundle.manifest.features:
            raise ModelError(f"--features: expected the features of {args.bundle}, found others in {args.features}")
        values = category_values(features)
    else:
        fields = {field.name: field.values for field in bundle.manifest.schema if field.values}
        values = {place: fields[name] for place, name in enumerate(bundle.manifest.features) if name in fields}
    steps("read the data")
    table = read_data_table(args.data)
    engine = Engine.load(args.bundle, trust=trust, allow_unsigned=trust is None)
    vectors, rows, kind = vectors_of(table, engine, values, str(args.data))
    found = parity(bundle, args.model, vectors, values, origin=str(args.bundle), on_step=steps)
    if found.first is not None:
        # As the file counts them, where events were left out.
        first = msgspec.structs.replace(found.first, row=int(rows[found.first.row]))
        found = msgspec.structs.replace(found, first=first)
    return {
        "holds": found.holds,
        "data": kind,
        "left_out": table.num_rows - len(rows),
        **msgspec.to_builtins(found),
    }


def _print_parity(args: argparse.Namespace, parity: dict[str, Any]) -> None:
    left_out = f", {parity['left_out']:,} that do not fit the schema left out" if parity["left_out"] else ""
    print(f"  {args.data}: {parity['rows']:,} rows of {parity['data']}{left_out}, on {', '.join(parity['targets'])}")
    print(f"    leaves in {parity['trees']:,} trees: {parity['leaves_differing']:,} rows differ")
    undefined = f", {parity['margins_undefined']:,} of no finite margin" if parity["margins_undefined"] else ""
    print(
        f"    margins, to the bit: {parity['margins_differing']:,} rows differ, "
        f"by {parity['largest_margin_difference']:.3g} at most{undefined}"
    )
    if parity["contributions_compared"]:
        print(
            f"    contributions of {parity['contributions_compared']:,} rows, beyond rounding: "
            f"{parity['contributions_differing']:,} rows differ, "
            f"by {parity['largest_contribution_difference']:.3g} at most"
        )
    first = parity["first"]
    if first is not None:
        print(
            f"    NOT EQUAL, first in row {first['row']} on {first['target']}: {first['what']}: "
            f"expected {first['expected']!r}, found {first['found']!r}"
        )
