"""`quickthorn keygen`: a new key pair for signing bundles."""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec

from quickthorn.cli.passphrase import add_passphrase, passphrase_of
from quickthorn.cli.refusal import DONE, refuse
from quickthorn.errors import SigningError

DESCRIPTION = (
    "Make a key pair: the private key in a new file that only its owner can read, the public key beside it "
    "with .pub added to the name, for the trust files of those who load your bundles."
)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the verb `keygen`."""
    parser = subparsers.add_parser("keygen", help="make a signing key", description=DESCRIPTION)
    parser.add_argument("output", type=Path, metavar="KEY.pem", help="file to write the private key to")
    parser.add_argument(
        "--algorithm", choices=("ed25519", "p256"), default="ed25519", help="kind of key (default: ed25519)"
    )
    add_passphrase(parser, "encrypt the private key under")
    parser.add_argument("--json", action="store_true", help="print what was made as one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write both files and print the key's id; returns the exit code."""
    from quickthorn.signing import SigningKey

    public = args.output.with_name(f"{args.output.name}.pub")
    try:
        if public.exists():
            raise SigningError(f"{public}: expected to write a new file, found one there")
        key = SigningKey.generate(args.algorithm)
        key.write(args.output, passphrase_of(args))
        key.public.write(public)
    except SigningError as error:
        return refuse("keygen", error)
    if args.json:
        print(
            msgspec.json.encode(
                {"private": str(args.output), "public": str(public), "key_id": key.public.key_id}
            ).decode()
        )
        return DONE
    print(f"{args.output}: private key, {args.algorithm}")
    print(f"{public}: public key, id {key.public.key_id}")
    return DONE
