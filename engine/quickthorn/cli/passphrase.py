"""The passphrase of a private key, by the name of an environment variable: an argument would be seen by everybody."""

from __future__ import annotations

import argparse
import os

from quickthorn.errors import SigningError


def add_passphrase(parser: argparse.ArgumentParser, what: str) -> None:
    """The option `--passphrase-env`; ``what`` says what is done with the passphrase."""
    parser.add_argument("--passphrase-env", metavar="NAME", help=f"{what} the passphrase in this environment variable")


def passphrase_of(args: argparse.Namespace) -> bytes | None:
    """The passphrase; SigningError where the variable that was named is not there or is empty."""
    if args.passphrase_env is None:
        return None
    passphrase = os.environ.get(args.passphrase_env, "")
    if not passphrase:
        raise SigningError(f"--passphrase-env: expected a passphrase in ${args.passphrase_env}, found none")
    return passphrase.encode()
