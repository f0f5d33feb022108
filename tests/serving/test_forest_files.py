"""Forest files: what is loaded is exactly what was compiled, or nothing at all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

import quickthorn as qt
from quickthorn.bundle import ForestManifest, pack_forest, read_forest, write_bundle
from quickthorn.bundle.manifest import library_member
from quickthorn.errors import BundleError

FORBIDDEN = "numba llvmlite treelite xgboost lightgbm catboost sklearn scipy pandas pyarrow quickthorn.compiling"


def test_a_loaded_forest_is_the_one_that_was_saved(
    forest: qt.Forest, forest_file: Path, feature_rows: npt.NDArray[np.float64]
) -> None:
    loaded = qt.Forest.load(forest_file)
    assert loaded.forest_id == forest.forest_id
    assert loaded.manifest == forest.manifest
    assert np.array_equal(loaded.score_batch(feature_rows), forest.score_batch(feature_rows))
    assert repr(loaded) == "Forest(xgboost, 4 features, 9 trees)"
    shape = (loaded.feature_names, loaded.feature_count, loaded.output_count, loaded.tree_count)
    assert shape == (("a", "b", "c", "d"), 4, 1, 9)


def test_a_loaded_forest_can_be_saved_again(forest_file: Path, tmp_path: Path) -> None:
    loaded = qt.Forest.load(forest_file)
    assert loaded.save(tmp_path / "again.qtf") == loaded.forest_id
    assert (tmp_path / "again.qtf").read_bytes() == forest_file.read_bytes()


def test_loading_imports_no_compiler_and_no_training_library(forest_file: Path) -> None:
    program = (
        "import sys, quickthorn as qt\n"
        f"forest = qt.Forest.load({str(forest_file)!r})\n"
        "row = forest.row(); row['a'] = 1.0\n"
        "forest.score(row), forest.leaves(row), forest.score_batch(row.values.reshape(1, -1))\n"
        f"found = [name for name in {FORBIDDEN!r}.split() if name in sys.modules]\n"
        "assert not found, found\n"
    )
    # Without a PATH there is no compiler to be found.
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False, env={"PATH": ""}
    )
    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_bundle_is_no_forest_and_a_forest_no_bundle(bundle: Path, forest_file: Path) -> None:
    with pytest.raises(
        BundleError,
        match=r"fraud.qt: expected a forest file, which quickthorn.Forest.load reads, found a bundle, which "
        r"quickthorn.Engine.load reads$",
    ):
        qt.Forest.load(bundle)
    with pytest.raises(
        BundleError,
        match=r"fraud.qtf: expected a bundle, which quickthorn.Engine.load reads, found a forest file, which "
        r"quickthorn.Forest.load reads$",
    ):
        qt.Engine.load(forest_file, allow_unsigned=True)


def test_a_flipped_bit_anywhere_is_refused(forest_file: Path, tmp_path: Path) -> None:
    image = forest_file.read_bytes()
    for place in np.linspace(0, len(image) - 1, 100, dtype=int).tolist():
        altered = bytearray(image)
        altered[place] ^= 0x10
        (tmp_path / "altered.qtf").write_bytes(altered)
        with pytest.raises(BundleError, match=r"altered.qtf: "):
            qt.Forest.load(tmp_path / "altered.qtf")


def test_what_is_no_forest_file_is_refused(tmp_path: Path, forest_file: Path) -> None:
    with pytest.raises(BundleError, match="expected a readable forest file, found: No such file"):
        qt.Forest.load(tmp_path / "none.qtf")
    (tmp_path / "short.qtf").write_bytes(forest_file.read_bytes()[:-64])
    with pytest.raises(BundleError, match="the file is truncated"):
        qt.Forest.load(tmp_path / "short.qtf")


def test_a_level_the_file_does_not_have_is_refused(forest_file: Path) -> None:
    with pytest.raises(BundleError, match=r"expected a processor of level .*, found one without it \(asked for: z80\)"):
        qt.Forest.load(forest_file, target="z80")


@pytest.mark.parametrize("member", ["golden/margins.f64", "golden/scores.f64", "golden/leaves.i32"])
def test_a_file_whose_forest_does_something_else_is_refused(forest_file: Path, member: str) -> None:
    file = read_forest(forest_file)
    content = bytearray(file.members[member])
    content[6] ^= 0x10
    forged = read_forest(pack_forest(file.manifest, {**file.members, member: bytes(content)}))
    with pytest.raises(BundleError, match=r"forged: golden row 0.*: expected "):
        qt.Forest.open(forged, "forged")


def test_a_library_of_another_shape_or_without_a_forest_is_refused(forest: qt.Forest, classes: qt.Forest) -> None:
    image = classes._file.members[library_member(classes.manifest.targets[0])]
    members = dict.fromkeys(map(library_member, forest.manifest.targets), image)
    forged = read_forest(pack_forest(forest.manifest, {**forest._file.members, **members}))
    with pytest.raises(BundleError, match="forged: library: expected a forest of 9 trees, found one of 12"):
        qt.Forest.open(forged, "forged")


CONTRADICTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "names": ({"feature_names": ("a", "b")}, "feature_names: expected 4 names, found 2"),
    "twice": ({"feature_names": ("a", "b", "c", "a")}, "feature 'a': expected once, found twice"),
    "categories": ({"categories": (None, ("x",))}, "categories: expected 4 entries, found 2"),
    "levels": ({"categories": (None, None, None, ("x", "x"))}, "categories: expected each value of a feature once"),
    "outputs": ({"outputs": 2}, "golden: expected the features, trees and outputs of the forest"),
    "targets": ({"targets": ("x86-64-v2", "x86-64-v2")}, "target 'x86-64-v2': expected once, found twice"),
}


@pytest.mark.parametrize("what", CONTRADICTIONS)
def test_a_manifest_that_contradicts_itself_is_refused(forest: qt.Forest, what: str) -> None:
    changes, message = CONTRADICTIONS[what]
    with pytest.raises(ValueError, match=message):
        ForestManifest(**{**msgspec.structs.asdict(forest.manifest), **changes})


def test_a_forest_is_not_made_by_hand(forest: qt.Forest) -> None:
    with pytest.raises(TypeError, match=r"a forest is made by compile_model\(\) or Forest.load\(\)"):
        qt.Forest()
    with pytest.raises(TypeError, match=r"cannot create 'quickthorn._native.Row' instances"):
        qt.Row()


def test_a_library_of_a_forest_alone_makes_no_engine(forest: qt.Forest, bundle: Path, tmp_path: Path) -> None:
    from quickthorn.bundle import read_bundle

    whole = read_bundle(bundle)
    members = {
        name: forest._file.members[name] if name.startswith("library/") else content
        for name, content in whole.members.items()
    }
    write_bundle(tmp_path / "forged.qt", whole.manifest, members)
    with pytest.raises(BundleError, match="library: expected 4 event fields, found 0"):
        qt.Engine.load(tmp_path / "forged.qt", allow_unsigned=True)
