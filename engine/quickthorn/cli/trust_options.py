"""`--trust` or `--allow-unsigned`: verbs that run a bundle's code are told whom to believe, or that nobody is asked."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_trust_options(parser: argparse.ArgumentParser, meaning: str) -> None:
    """The two options, of which exactly one must be given; ``meaning`` is what `--trust` says of itself."""
    either = parser.add_mutually_exclusive_group(required=True)
    either.add_argument("--trust", type=Path, metavar="TRUST.toml", help=meaning)
    either.add_argument(
        "--allow-unsigned", action="store_true", help="run the bundle's code without looking at its signatures"
    )
