"""`quickthorn sign`: put a signature behind a bundle's image."""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec

from quickthorn.cli.passphrase import add_passphrase, passphrase_of
from quickthorn.cli.refusal import DONE, refuse
from quickthorn.errors import BundleError, SigningError

DESCRIPTION = (
    "Check every byte of a bundle and sign it in a role, such as builder or approver. The signature goes into the "
    "file, behind those that are there; the bundle's id stays as it was."
)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the verb `sign`."""
    parser = subparsers.add_parser("sign", help="sign a bundle", description=DESCRIPTION)
    parser.add_argument("bundle", type=Path, help="bundle file to sign")
    parser.add_argument("--key", required=True, type=Path, metavar="KEY.pem", help="private key to sign with")
    parser.add_argument("--role", required=True, help="role to sign in, as trust files call it: builder, approver …")
    add_passphrase(parser, "open the private key with")
    parser.add_argument("--json", action="store_true", help="print what was made as one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Sign and print as whom; returns the exit code."""
    from quickthorn.signing import SigningKey, sign_bundle

    try:
        key = SigningKey.read(args.key, passphrase_of(args))
        sign_bundle(args.bundle, key, args.role)
    except (BundleError, SigningError) as error:
        return refuse("sign", error)
    if args.json:
        print(
            msgspec.json.encode({"bundle": str(args.bundle), "role": args.role, "key_id": key.public.key_id}).decode()
        )
        return DONE
    print(f"{args.bundle}: signed as {args.role} by key {key.public.key_id[:16]}")
    return DONE
