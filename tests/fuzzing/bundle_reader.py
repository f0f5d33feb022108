"""Coverage-guided fuzzing of the bundle reader: any bytes are a bundle, or a BundleError, and nothing else.

    python -m tests.fuzzing.bundle_reader tests/fuzzing/corpus -max_total_time=600

takes what libFuzzer takes. What it finds goes into the corpus, which the ordinary tests read as well. Every input is
tried with right digests too, and half of the mutations know the format, so that what lies behind digests is reached.
"""

from __future__ import annotations

import struct
import sys
import tempfile
from pathlib import Path

import atheris
import numpy as np

with atheris.instrument_imports():
    from quickthorn.bundle import read_bundle, write_bundle
    from quickthorn.bundle import signature_block as signature_block  # its branches count, too
from tests.bundle.mutations import MUTATIONS, with_right_digests
from tests.bundle.small import small_manifest, small_members

from quickthorn.errors import BundleError
from quickthorn.signing import SigningKey, sign_bundle


def read_any(data: bytes) -> None:
    """One input: as it is, and as somebody who knows the format would forge it."""
    for image in (data, with_right_digests(data)):
        try:
            bundle = read_bundle(image)
        except BundleError:
            continue
        assert bundle.size_bytes == len(image)
        assert sum(map(len, bundle.members.values())) < len(image)


def mutate(data: bytes, size_most: int, seed: int) -> bytes:
    """libFuzzer's own mutation, or one that knows where lengths, members and JSON are."""
    random = np.random.default_rng(seed)
    if random.random() < 0.5:
        return bytes(atheris.Mutate(data, size_most))
    try:
        mutant = MUTATIONS[random.integers(len(MUTATIONS))](data, random)
    except (ValueError, TypeError, LookupError, AttributeError, struct.error):  # too broken already to know its parts
        return bytes(atheris.Mutate(data, size_most))
    return with_right_digests(mutant)[:size_most]


def write_seeds(directory: Path) -> None:
    """The small bundle of the tests, in the format of the day, unsigned and signed."""
    for name in ("unsigned", "signed"):
        write_bundle(directory / name, small_manifest(), small_members())
    sign_bundle(directory / "signed", SigningKey.generate(), "builder")


def main() -> None:
    """Fuzz until told to stop; exit code 0 where nothing was found."""
    with tempfile.TemporaryDirectory() as seeds:
        write_seeds(Path(seeds))
        atheris.Setup([*sys.argv, seeds], read_any, custom_mutator=mutate)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
