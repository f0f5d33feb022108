"""A hundred thousand bundles made wrong: none crashes the reader, and none is taken for the one it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quickthorn.bundle import Bundle, Manifest, read_bundle, write_bundle
from quickthorn.errors import BundleError
from quickthorn.signing import SigningKey, sign_bundle

from .mutations import MUTATIONS, Mutation, with_right_digests

MUTANTS = 100_000
SHARDS = 4


@pytest.fixture
def images(tmp_path: Path, manifest: Manifest, members: dict[str, bytes]) -> tuple[bytes, bytes]:
    """The small bundle, unsigned and signed."""
    path = tmp_path / "good.qt"
    write_bundle(path, manifest, members)
    unsigned = path.read_bytes()
    sign_bundle(path, SigningKey.generate(), "builder")
    return unsigned, path.read_bytes()


def outcome(image: bytes) -> Bundle | None:
    """What the reader makes of it: a bundle, or a refusal. Everything else is an error of the test."""
    try:
        return read_bundle(image)
    except BundleError as refused:
        sentence = str(refused)
    assert sentence.startswith("bundle: ")
    assert "\n" not in sentence
    return None


@pytest.mark.parametrize("shard", range(SHARDS))
def test_no_mutant_crashes_the_reader_and_none_is_taken_for_the_original(
    images: tuple[bytes, bytes], shard: int
) -> None:
    random = np.random.default_rng(shard)
    originals = [outcome(image) for image in images]
    taken: list[tuple[str, bytes]] = []
    forged_and_read = 0
    for number in range(MUTANTS // SHARDS):
        which = int(random.integers(2))
        image, mutation = images[which], MUTATIONS[number % len(MUTATIONS)]
        mutant = mutation(image, random)
        while random.random() < 0.2 and len(mutant) > 128:
            mutant = _again(mutant, random)
        forged = random.random() < 0.3
        if forged:
            mutant = with_right_digests(mutant)
        found = outcome(mutant)
        original = originals[which]
        assert original is not None
        if found is None:
            continue
        same = (found.manifest, dict(found.members)) == (original.manifest, dict(original.members))
        forged_and_read += forged
        # With right digests it may be a bundle, but then it goes by an id of its own.
        if not same and (found.bundle_id == original.bundle_id or not forged):
            taken.append((mutation.__name__, mutant))
    assert taken == []
    # Otherwise the digests kept everything out, and nothing behind them was tried.
    assert forged_and_read > 50


def _again(image: bytes, random: np.random.Generator) -> bytes:
    simple: tuple[Mutation, ...] = MUTATIONS[:3]
    return simple[random.integers(len(simple))](image, random)
