"""Bundles made wrong on purpose: bits, lengths, members and JSON, with the old digests or with right ones."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

PRELUDE_BYTES = 64
Mutation = Callable[[bytes, np.random.Generator], bytes]


def with_right_digests(image: bytes) -> bytes:
    """The image with the digests of its members and of its header made right, as somebody who forges it would.

    What cannot be made sense of stays as it is.
    """
    if len(image) < PRELUDE_BYTES:
        return image
    manifest_bytes = struct.unpack_from("<I", image, 12)[0]
    text, rest = image[PRELUDE_BYTES : PRELUDE_BYTES + manifest_bytes], image[PRELUDE_BYTES + manifest_bytes :]
    try:
        document = json.loads(text)
        area = rest[-len(text) % 64 :]
        for member in document["members"]:
            content = area[member["offset"] : member["offset"] + member["size"]]
            member["sha256"] = hashlib.sha256(content).hexdigest()
        righted = json.dumps(document, separators=(",", ":")).encode()
        text = righted if len(righted) == len(text) else text
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        pass
    digest = hashlib.sha256(image[:32] + text).digest()
    return image[:32] + digest + text + rest


def flipped(image: bytes, random: np.random.Generator) -> bytes:
    """A few bits the other way round."""
    changed = bytearray(image)
    for place in random.integers(0, len(image) * 8, random.integers(1, 9)):
        changed[place // 8] ^= 1 << int(place % 8)
    return bytes(changed)


def cut(image: bytes, random: np.random.Generator) -> bytes:
    """Without its end, its beginning, or a piece of its middle."""
    first, last = sorted(int(place) for place in random.integers(0, len(image) + 1, 2))
    return (image[:first], image[last:], image[:first] + image[last:])[random.integers(3)]


def lengthened(image: bytes, random: np.random.Generator) -> bytes:
    """With bytes of its own, or zeros, put in once more."""
    first, last = sorted(int(place) for place in random.integers(0, len(image) + 1, 2))
    place = int(random.integers(0, len(image) + 1))
    more = image[first:last] if random.random() < 0.5 else bytes(last - first)
    return image[:place] + more + image[place:]


def with_lying_lengths(image: bytes, random: np.random.Generator) -> bytes:
    """One of the prelude's numbers is another one: near the true one, of all ones, or anything."""
    offset, form = ((8, "<I"), (12, "<I"), (16, "<Q"), (24, "<Q"))[random.integers(4)]
    limit = 1 << 8 * struct.calcsize(form)
    true = struct.unpack_from(form, image, offset)[0]
    lies = (
        true + int(random.integers(-65, 66)),
        limit - 1,
        int(random.integers(0, 1 << 32)),
        1 << int(random.integers(32)),
    )
    changed = bytearray(image)
    struct.pack_into(form, changed, offset, lies[random.integers(4)] % limit)
    return bytes(changed)


def with_blocks_swapped(image: bytes, random: np.random.Generator) -> bytes:
    """Two runs of 64 bytes have changed places, as members of one size would."""
    blocks = len(image) // 64
    one, other = (int(block) * 64 for block in random.integers(0, blocks, 2))
    changed = bytearray(image)
    changed[one : one + 64], changed[other : other + 64] = image[other : other + 64], image[one : one + 64]
    return bytes(changed)


def with_other_json(image: bytes, random: np.random.Generator) -> bytes:
    """The manifest is spelled in another order, or a field of it is gone, doubled or of another value."""
    manifest_bytes = struct.unpack_from("<I", image, 12)[0]
    area = image[PRELUDE_BYTES + -(-manifest_bytes // 64) * 64 :]
    document = json.loads(image[PRELUDE_BYTES : PRELUDE_BYTES + manifest_bytes])
    place: Any = document
    while random.random() < 0.7 and isinstance(place, (dict, list)) and place:
        inner = list(place.values()) if isinstance(place, dict) else place
        chosen = inner[random.integers(len(inner))]
        if not isinstance(chosen, (dict, list)) or not chosen:
            break
        place = chosen
    if isinstance(place, dict):
        keys = list(place)
        key = keys[random.integers(len(keys))]
        deeds = (
            lambda: _reorder(place, random),
            lambda: place.pop(key),
            lambda: place.update({key: _VALUES[random.integers(len(_VALUES))]}),
            lambda: place.update({"stranger": 1}),
        )
    else:
        deeds = (place.reverse, place.pop, lambda: place.append(place[0]), place.clear)
    deeds[random.integers(4)]()
    text = json.dumps(document, separators=(",", ":")).encode()
    padding = bytes(-len(text) % 64)
    lengths = struct.pack("<IQ", len(text), PRELUDE_BYTES + len(text) + len(padding) + len(area))
    return image[:12] + lengths + image[24:PRELUDE_BYTES] + text + padding + area


_VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    2**62,
    2**80,
    1.5,
    "",
    "x" * 5000,
    [],
    {},
    [[]],
    "../../etc",
    "\0",
    1e308,
)
MUTATIONS: tuple[Mutation, ...] = (flipped, cut, lengthened, with_lying_lengths, with_blocks_swapped, with_other_json)


def _reorder(place: dict[str, Any], random: np.random.Generator) -> None:
    entries = list(place.items())
    place.clear()
    place.update(entries[number] for number in random.permutation(len(entries)))
