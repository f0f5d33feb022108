"""Files whose digests are right but whose contents are not: made by hand, as someone who knows the format could."""

from __future__ import annotations

import hashlib
import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from quickthorn.bundle import read_bundle
from quickthorn.errors import BundleError

Document = dict[str, Any]
Handmade = Callable[..., bytes]


def test_the_handmade_bundle_itself_loads(document: Document, area: bytes, handmade: Handmade) -> None:
    assert read_bundle(handmade(document, area)).manifest.event == "Payment"


def test_a_newer_container_is_refused_by_version(document: Document, area: bytes, handmade: Handmade) -> None:
    with pytest.raises(BundleError, match=r"container version 1, found version 2: it was built by a newer quickthorn"):
        read_bundle(handmade(document, area, container_version=2))
    with pytest.raises(BundleError, match=r"container version 1, found version 0$"):
        read_bundle(handmade(document, area, container_version=0))


@pytest.mark.parametrize(("key", "word"), [("format_version", "format"), ("abi_version", "ABI")])
def test_a_newer_manifest_is_refused_by_version(
    document: Document, area: bytes, handmade: Handmade, key: str, word: str
) -> None:
    # A newer manifest has fields this release has never heard of; the version must be what the message is about.
    known = document[key]
    newer = {"reasons": ["a"], **document, key: known + 1}
    found = f"{word} version {known}, found version {known + 1}: the bundle was built by a newer"
    with pytest.raises(BundleError, match=found):
        read_bundle(handmade(newer, area))
    with pytest.raises(BundleError, match=f"{word} version {known}, found version 0$"):
        read_bundle(handmade({**document, key: 0}, area))


def test_reserved_bytes_must_be_zero(document: Document, area: bytes, handmade: Handmade) -> None:
    with pytest.raises(BundleError, match="reserved"):
        read_bundle(handmade(document, area, reserved=1))


@pytest.mark.parametrize("length", [0, 16 * 2**20 + 1, 2**32 - 1])
def test_a_manifest_length_that_lies_is_refused(
    document: Document, area: bytes, handmade: Handmade, length: int
) -> None:
    with pytest.raises(BundleError, match=f"inside the file, found a length of {length}"):
        read_bundle(handmade(document, area, manifest_bytes=length))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("extra",), 1, "unknown field `extra`"),
        (("schema", 3, "extra"), 1, r"unknown field `extra` - at `\$.schema\[3\]`"),
        (("schema", 3, "kind"), "cash", r"Invalid enum value 'cash' - at `\$.schema\[3\].kind`"),
        (("schema", 3, "scale"), "2", r"Expected `int \| null`, got `str` - at `\$.schema\[3\].scale`"),
        (("features",), ["amount", 7], r"Expected `str`, got `int` - at `\$.features\[1\]`"),
        (("forest", "trees"), 3.5, r"Expected `int`, got `float` - at `\$.forest.trees`"),
        (("forest", "link"), "logit", r"Invalid enum value 'logit' - at `\$.forest.link`"),
        (("policy", "thresholds", "on"), 1, r"Expected `str`, got `int` - at `\$.policy.thresholds.on`"),
        (("policy", "thresholds", "least", "review"), 0.8, r"review: expected at most .* - at `\$.policy`"),
        (("row_limit",), 0, r"Expected `int` >= 1 - at `\$.row_limit`"),
        (("lateness_us",), 2**70, r"at `\$.lateness_us`"),
        (("golden", "rows"), True, r"Expected `int`, got `bool` - at `\$.golden.rows`"),
        (("members", 0, "sha256"), "ABC", r"at `\$.members\[0\].sha256`"),
    ],
)
def test_a_manifest_that_does_not_fit_names_the_path(
    document: Document, area: bytes, handmade: Handmade, path: tuple[Any, ...], value: object, message: str
) -> None:
    place: Any = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(BundleError, match=message):
        read_bundle(handmade(document, area))


def test_a_manifest_with_a_field_missing_is_refused(document: Document, area: bytes, handmade: Handmade) -> None:
    del document["tools"]
    with pytest.raises(BundleError, match="missing required field `tools`"):
        read_bundle(handmade(document, area))


@pytest.mark.parametrize(
    "text",
    [
        b"{",
        b"[]",
        b"\xff\xfe",
        b'"\xc3\x28"',
        b"null",
        b"{}",
        b'{"a":' + b"[" * 200_000,
        b"NaN",
        b'{"format_version":4}',
    ],
)
def test_a_manifest_that_is_no_manifest_is_refused(area: bytes, handmade: Handmade, text: bytes) -> None:
    with pytest.raises(BundleError, match="manifest"):
        read_bundle(handmade(text, area))


@pytest.mark.parametrize(
    "name",
    ["../library.so", "/library.so", "golden/../library.so", "./library.so", "golden//x", "golden/", "", "Library.so",
     "a\\b", "a\0b", "naïve", "x" * 129],
)  # fmt: skip
def test_a_member_name_that_leads_elsewhere_is_refused(
    document: Document, area: bytes, handmade: Handmade, name: str
) -> None:
    document["members"][0]["name"] = name
    with pytest.raises(BundleError, match=r"member name: expected .* - at `\$.members\[0\]`"):
        read_bundle(handmade(document, area))


def test_a_member_listed_twice_is_refused(document: Document, area: bytes, handmade: Handmade) -> None:
    document["members"].insert(1, dict(document["members"][0]))
    with pytest.raises(BundleError, match=r"golden/decisions.jsonl: expected members in order of name, each once"):
        read_bundle(handmade(document, area))


def test_members_out_of_order_are_refused(document: Document, area: bytes, handmade: Handmade) -> None:
    document["members"].reverse()
    with pytest.raises(BundleError, match=r"expected .*found at|in order of name"):
        read_bundle(handmade(document, area))


def test_a_member_nobody_called_for_is_refused(document: Document, area: bytes, handmade: Handmade) -> None:
    content = b"import os"
    digest = hashlib.sha256(content).hexdigest()
    document["members"].append({"name": "startup.py", "offset": len(area), "size": len(content), "sha256": digest})
    with pytest.raises(BundleError, match=r"member startup.py: expected only"):
        read_bundle(handmade(document, area + content.ljust(64, b"\0")))


@pytest.mark.parametrize("index", range(6))
def test_a_member_left_out_is_refused(document: Document, handmade: Handmade, members: Any, index: int) -> None:
    left_out = sorted(members)[index]
    kept = [member for member in document["members"] if member["name"] != left_out]
    area = b""
    for member in kept:
        member["offset"] = len(area)
        area += members[member["name"]] + bytes(-member["size"] % 64)
    document["members"] = kept
    with pytest.raises(BundleError, match=f"member {left_out}: expected by the manifest, found missing"):
        read_bundle(handmade(document, area))


def test_overlapping_members_are_refused(document: Document, area: bytes, handmade: Handmade) -> None:
    document["members"][1]["offset"] = 0
    with pytest.raises(BundleError, match=r"expected at offset 64, found at 0: it overlaps what comes before"):
        read_bundle(handmade(document, area))


@pytest.mark.parametrize("moved", [1, 64, 2**62 - 64])
def test_unlisted_bytes_between_members_are_refused(
    document: Document, area: bytes, handmade: Handmade, moved: int
) -> None:
    document["members"][1]["offset"] += moved
    with pytest.raises(BundleError, match="unlisted bytes lie before it"):
        read_bundle(handmade(document, area[:64] + bytes(min(moved, 64)) + area[64:]))


def test_unlisted_bytes_after_the_last_member_are_refused(document: Document, area: bytes, handmade: Handmade) -> None:
    with pytest.raises(BundleError, match="expected members to end at"):
        read_bundle(handmade(document, area + bytes(64)))


@pytest.mark.parametrize("size", [10**6, 2**62])
def test_a_member_longer_than_the_file_is_refused(
    document: Document, area: bytes, handmade: Handmade, size: int
) -> None:
    document["members"][-1]["size"] = size
    with pytest.raises(BundleError, match=f"policy.toml: expected at most 128 bytes left, found {size}"):
        read_bundle(handmade(document, area))


def test_a_last_member_into_its_own_padding_is_refused(document: Document, area: bytes, handmade: Handmade) -> None:
    # The padding is inside the file, so only the digest can tell.
    document["members"][-1]["size"] += 1
    with pytest.raises(BundleError, match=r"member policy.toml: its bytes do not have the digest"):
        read_bundle(handmade(document, area))


def test_golden_arrays_must_have_the_size_of_their_shape(document: Document, area: bytes, handmade: Handmade) -> None:
    document["golden"]["rows"] = 3
    with pytest.raises(BundleError, match=r"golden/features.f64: expected 48 bytes by the shapes .* found 32"):
        read_bundle(handmade(document, area))


@pytest.mark.parametrize("position", range(6))
def test_an_altered_member_is_named(document: Document, area: bytes, handmade: Handmade, position: int) -> None:
    member = document["members"][position]
    altered = bytearray(area)
    altered[member["offset"] + member["size"] - 1] ^= 1
    with pytest.raises(BundleError, match=f"member {member['name']}: its bytes do not have the digest"):
        read_bundle(handmade(document, bytes(altered)))


def test_too_many_members_are_refused(document: Document, area: bytes, handmade: Handmade) -> None:
    document["members"] = [{**document["members"][0], "name": f"m{number:03}"} for number in range(65)]
    with pytest.raises(BundleError, match="expected at most 64 members, found 65"):
        read_bundle(handmade(document, area))


def test_lengths_are_judged_before_memory_is_taken(document: Document, area: bytes, handmade: Handmade) -> None:
    absurd = [handmade(document, area, manifest_bytes=2**32 - 1), handmade(document, area, manifest_bytes=16 << 20)]
    document["members"][-1]["size"] = 2**62
    absurd.append(handmade(document, area))
    document["golden"]["rows"] = 2**62
    absurd.append(handmade(document, area))
    tracemalloc.start()
    try:
        for image in absurd:
            with pytest.raises(BundleError):
                read_bundle(image)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 1 << 20


def test_a_manifest_spelled_otherwise_is_another_bundle(document: Document, area: bytes, handmade: Handmade) -> None:
    spaced = json.dumps(document, indent=1).encode()
    first, second = read_bundle(handmade(document, area)), read_bundle(handmade(spaced, area))
    assert first.manifest == second.manifest
    assert first.bundle_id != second.bundle_id
