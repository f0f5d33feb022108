"""`quickthorn verify`: everything about a bundle that can be checked on this machine."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import msgspec

from quickthorn.cli.refusal import DONE, FAILED, refuse
from quickthorn.cli.trust_options import add_trust_options
from quickthorn.errors import BundleError, SigningError, StateError

DESCRIPTION = (
    "Check every byte of a bundle against its digests, its signatures against a trust file, and, with each of its "
    "libraries that this processor runs, every golden vector: leaf by leaf and bit by bit. Exit code 0 where all of "
    "it holds, 1 where something does not, 2 where the trust file cannot be used."
)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the verb `verify`."""
    parser = subparsers.add_parser("verify", help="check a bundle", description=DESCRIPTION)
    parser.add_argument("bundle", type=Path, help="bundle file to check")
    add_trust_options(parser, "trust file that signatures are held to")
    parser.add_argument("--json", action="store_true", help="print what was found as one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check and print what was found; returns the exit code."""
    from quickthorn.signing import Trust

    try:
        trust = Trust.from_toml(args.trust) if args.trust is not None else None
    except SigningError as error:
        return refuse("verify", error)
    try:
        found = _checked(args.bundle, trust)
    except (BundleError, SigningError, StateError) as error:
        if args.json:
            print(msgspec.json.encode({"holds": False, "error": str(error)}).decode())
            return FAILED
        return refuse("verify", error, FAILED)
    if args.json:
        print(msgspec.json.encode({"holds": True, **found}).decode())
        return DONE
    print(f"{args.bundle}: bundle {found['bundle_id'][:16]}, version {found['version']}, every byte as written")
    for signer in found["signers"]:
        print(f"  signed as {signer['role']} by {signer['name']} ({signer['key_id'][:16]})")
    if trust is None:
        print(f"  signatures: {found['signatures']}, not looked at, as --allow-unsigned was given")
    ran, rows = ", ".join(found["targets_run"]), found["golden_rows"]
    print(f"  {rows} golden vectors agree on {ran}" if rows else f"  maps on {ran}; without a forest nothing is proven")
    if found["targets_not_run"]:
        print(f"  not run, as this processor cannot: {', '.join(found['targets_not_run'])}")
    return DONE


def _checked(path: Path, trust: Any) -> dict[str, Any]:
    from quickthorn.bundle import read_bundle
    from quickthorn.native import _native
    from quickthorn.serving import Engine

    bundle = read_bundle(path)
    signers = trust.check(bundle, str(path)) if trust is not None else ()
    targets = bundle.manifest.targets
    runs = [target for target in targets if _native.processor_supports(target)]
    for target in runs or targets[:1]:
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
        "targets_run": runs,
        "targets_not_run": [target for target in targets if target not in runs],
    }
