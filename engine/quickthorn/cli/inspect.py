"""`quickthorn inspect`: what is in a bundle."""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec

from quickthorn.bundle import Bundle, read_bundle
from quickthorn.cli.refusal import DONE, FAILED, refuse
from quickthorn.errors import BundleError, MissingExtraError, QuickthornError, SigningError
from quickthorn.lifecycle import Importances, describe, draw_importances, importances, signatures_of
from quickthorn.signing import Trust

DESCRIPTION = (
    "Check every byte of a bundle against its digests and print what it says of itself: who signed it, the event's "
    "fields, features, forest, calibration, policy, reasons, importances, members and tools. None of its code is run, "
    "so it may be one for another processor. Exit code 0 where it was read, 1 where it is not signed as --trust "
    "demands, 2 where it is no whole bundle or the picture cannot be drawn."
)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the verb `inspect`."""
    parser = subparsers.add_parser("inspect", help="show what is in a bundle", description=DESCRIPTION)
    parser.add_argument("bundle", type=Path, help="bundle file to look into")
    parser.add_argument(
        "--picture",
        type=Path,
        metavar="FILE.png|svg",
        help="draw the features' importances to this file: mean contributions where the bundle has them, else, with "
        "--trust, how many splits ask for each (needs the extra plot)",
    )
    parser.add_argument("--trust", type=Path, metavar="TRUST.toml", help="trust file that signatures are held to")
    parser.add_argument("--json", action="store_true", help="print the whole manifest and the rest as one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Read and print; returns the exit code."""
    try:
        trust = Trust.from_toml(args.trust) if args.trust is not None else None
        bundle = read_bundle(args.bundle)
    except QuickthornError as error:
        return refuse("inspect", error)
    try:
        signatures = signatures_of(bundle, trust, str(args.bundle))
    except SigningError as error:
        return refuse("inspect", error, FAILED)
    try:
        weights = _weights(args, bundle)
        if args.picture is not None and weights is not None:
            draw_importances(weights, args.picture, f"bundle {bundle.short_id}, version {bundle.manifest.version}")
    except QuickthornError as error:
        return refuse("inspect", error)
    if args.json:
        found = {
            "bundle_id": bundle.bundle_id,
            "size_bytes": bundle.size_bytes,
            "signatures": signatures,
            "importances": weights,
            "picture": str(args.picture) if args.picture is not None else None,
            "manifest": bundle.manifest,
        }
        print(msgspec.json.encode(found).decode())
        return DONE
    for line in describe(bundle, signatures, weights):
        print(line)
    if args.picture is not None:
        print(f"\n{args.picture}: importances drawn")
    return DONE


def _weights(args: argparse.Namespace, bundle: Bundle) -> Importances | None:
    """Importances, or None where there are none and nobody has asked for a picture of them."""
    try:
        weights = importances(bundle, trusted=args.trust is not None, origin=str(args.bundle))
    except MissingExtraError:
        if args.picture is not None:
            raise
        return None
    if weights is None and args.picture is not None:
        raise BundleError(
            f"{args.bundle}: --picture: expected contributions to weigh features by, or a model whose splits may be "
            "counted as --trust vouches for it, found neither"
        )
    return weights
