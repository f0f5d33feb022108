"""A bundle store: what is put in comes out, by its id, on a disk and anywhere else, and nothing is written over."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.bundle.small import small_manifest, small_members

from quickthorn.bundle import read_bundle, write_bundle
from quickthorn.errors import BundleError, StoreError
from quickthorn.lifecycle import Store
from quickthorn.signing import SigningKey, sign_bundle


@pytest.fixture(params=["disk", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store") if request.param == "disk" else f"memory://{tmp_path.name}")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    write_bundle(tmp_path / "fraud.qt", small_manifest(), small_members())
    return tmp_path / "fraud.qt"


def test_a_bundle_comes_back_by_its_id_or_the_beginning_of_it(store: Store, bundle: Path) -> None:
    image = bundle.read_bytes()
    stored = store.put_bundle(image, "fraud.qt")
    for asked in (stored.bundle_id, stored.bundle_id[:8]):
        assert store.bundle_image(asked) == image
    for asked, found in (("0" * 8, "found none"), ("abc", "found 'abc'"), ("../../etc", "found '../../etc'")):
        with pytest.raises(StoreError, match=found):
            store.bundle_image(asked)


def test_signatures_may_be_added_but_not_taken_away(store: Store, bundle: Path) -> None:
    unsigned = bundle.read_bytes()
    store.put_bundle(unsigned, "fraud.qt")
    sign_bundle(bundle, SigningKey.generate(), "builder")
    signed = store.put_bundle(bundle.read_bytes(), "fraud.qt")
    assert read_bundle(store.bundle_image(signed.bundle_id)).envelopes == signed.envelopes
    with pytest.raises(StoreError, match="expected the signatures that are stored, found a file without some of them"):
        store.put_bundle(unsigned, "fraud.qt")
    assert len(read_bundle(store.bundle_image(signed.bundle_id)).envelopes) == 1


def test_what_is_no_bundle_is_not_stored(store: Store, bundle: Path) -> None:
    with pytest.raises(BundleError):
        store.put_bundle(bundle.read_bytes()[:-64], "fraud.qt")
    assert store.names("bundles", ".qt") == []


def test_a_bundle_that_was_exchanged_on_the_way_is_refused(tmp_path: Path, bundle: Path) -> None:
    store = Store(str(tmp_path / "store"))
    stored = store.put_bundle(bundle.read_bytes(), "fraud.qt")
    write_bundle(bundle, small_manifest(), {**small_members(), "library/x86-64-v3.so": b"another"})
    (tmp_path / "store" / "bundles" / f"{stored.bundle_id}.qt").write_bytes(bundle.read_bytes())
    with pytest.raises(StoreError, match="expected the bundle of that id, found another"):
        store.bundle_image(stored.bundle_id)


def test_a_file_is_created_once(store: Store) -> None:
    store.create("ledgers/prod/00000001.json", b"first")
    with pytest.raises(StoreError, match="expected to write a new file, found one there"):
        store.create("ledgers/prod/00000001.json", b"second")
    assert store.read("ledgers/prod/00000001.json") == b"first"
    assert store.names("ledgers/prod", ".json") == ["00000001"]


def test_a_place_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="expected a directory or a URL that fsspec knows"):
        Store("nowhere://x")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="expected a readable file, found: Not a directory"):
        Store(str(tmp_path / "file")).create("ledgers/prod/00000001.json", b"entry")
    with pytest.raises(StoreError, match="expected to write the file, found"):
        Store("/proc/none").create("ledgers/prod/00000001.json", b"entry")
