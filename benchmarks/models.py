"""The six forests that rivals are compared on, made once and kept: M1 to M3 XGBoost, M4 and M5 LightGBM, M6 CatBoost.

100 float32 features with 10 % missing; labels are noisy enough for trees to be as full as their limits allow. Making
them all takes about fifteen minutes on two cores; `small=True` makes the same shapes with few trees in seconds.

    python -m benchmarks.models --directory /tmp/models
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from benchmarks.rivals.adapter import ModelFiles

Rows = npt.NDArray[np.float32]

FEATURES = 100
MISSING = 0.1
TEST_ROWS, SMALL_TEST_ROWS = 20_000, 400


@dataclass(frozen=True)
class Recipe:
    """What a model is made from; a changed recipe is another model, with another place in the cache."""

    name: str
    library: str
    shape: str
    trees: int
    depth: int = 0
    leaves: int = 0
    training_rows: int = 40_000
    test_rows: int = TEST_ROWS
    seed: int = 7


RECIPES = (
    Recipe("M1", "xgboost", "100 trees of depth 6", 100, depth=6),
    Recipe("M2", "xgboost", "500 trees of depth 6", 500, depth=6, training_rows=80_000),
    Recipe("M3", "xgboost", "1000 trees of depth 8", 1000, depth=8, training_rows=150_000),
    Recipe("M4", "lightgbm", "500 trees of 63 leaves", 500, leaves=63),
    Recipe("M5", "lightgbm", "1000 trees of 255 leaves", 1000, leaves=255),
    Recipe("M6", "catboost", "1000 trees of depth 6", 1000, depth=6),
)


# One of each library is enough to see that everything works.
SMALL_NAMES = ("M1", "M4", "M6")


def small(recipe: Recipe) -> Recipe:
    """The same kind of model with few trees, for runs that check rather than measure."""
    trees = max(recipe.trees // 50, 5)
    return replace(
        recipe,
        shape=f"{trees} trees of {f'depth {recipe.depth}' if recipe.depth else f'{recipe.leaves} leaves'}",
        trees=trees,
        training_rows=6_000,
        test_rows=SMALL_TEST_ROWS,
    )


def rows_of(count: int, seed: int, features: int = FEATURES) -> Rows:
    """float32 [count, features]: normal values, 10 % of them missing."""
    random = np.random.default_rng(seed)
    rows = random.normal(size=(count, features)).astype(np.float32)
    rows[random.random(rows.shape) < MISSING] = np.nan
    return rows


def labels_of(rows: Rows, seed: int) -> npt.NDArray[np.int64]:
    """int64 [n] of 0 and 1: likelier where the first twenty features are large, but never certain."""
    known = np.nan_to_num(rows)
    logit = 0.3 * known[:, :20].sum(axis=1) + 0.3 * known[:, 3] * known[:, 4]
    return (np.random.default_rng(seed).random(len(rows)) < 1 / (1 + np.exp(-logit))).astype(np.int64)


def make(recipe: Recipe, directory: Path) -> ModelFiles:
    """The model's files under `directory`, from the cache there or trained now."""
    version = metadata.version(recipe.library)
    digest = hashlib.sha256(f"{recipe}{version}".encode()).hexdigest()[:12]
    return kept(directory / f"{recipe.name}-{digest}", lambda folder: _train(recipe, version, folder))


def kept(folder: Path, fill: Callable[[Path], None]) -> ModelFiles:
    """What `fill` writes into a folder, which is there as a whole or not at all."""
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
        try:
            fill(unfinished)
            unfinished.rename(folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return ModelFiles.read(folder)


def _train(recipe: Recipe, version: str, folder: Path) -> None:
    training = rows_of(recipe.training_rows, seed=recipe.seed)
    labels = labels_of(training, seed=recipe.seed + 1)
    tested = rows_of(recipe.test_rows, seed=recipe.seed + 2)
    train = {"xgboost": _xgboost, "lightgbm": _lightgbm, "catboost": _catboost}[recipe.library]
    file, margins, leaf_counts = train(recipe, training, labels, tested, folder)
    write(
        folder, asdict(recipe) | {"version": version, "file": file, "features": FEATURES}, tested, margins, leaf_counts
    )


def write(
    folder: Path, card: dict[str, Any], rows: Rows, margins: npt.NDArray[np.floating[Any]], leaf_counts: list[int]
) -> None:
    """The rows, the source library's margins for them, and the card that says what model this is."""
    np.save(folder / "rows.npy", rows)
    np.save(folder / "margins.npy", np.asarray(margins, dtype=np.float64))
    counted = {"total": sum(leaf_counts), "least": min(leaf_counts), "most": max(leaf_counts)}
    (folder / "card.json").write_text(json.dumps(card | {"leaf_counts": counted}, indent=1))


def _xgboost(recipe: Recipe, training: Rows, labels: Any, tested: Rows, folder: Path) -> tuple[str, Any, list[int]]:
    import xgboost

    parameters = {
        "objective": "binary:logistic",
        "max_depth": recipe.depth,
        "eta": 0.05,
        # Half of the rows for a tree: the noise in them fills it to its last level.
        "subsample": 0.5,
        "min_child_weight": 0,
        "nthread": 2,
        "seed": recipe.seed,
    }
    booster = xgboost.train(parameters, xgboost.QuantileDMatrix(training, labels), recipe.trees)
    booster.save_model(folder / "model.ubj")
    margins = booster.inplace_predict(tested, predict_type="margin")
    return "model.ubj", margins, [tree.count("leaf=") for tree in booster.get_dump()]


def _lightgbm(recipe: Recipe, training: Rows, labels: Any, tested: Rows, folder: Path) -> tuple[str, Any, list[int]]:
    import lightgbm

    parameters = {
        "objective": "binary",
        "num_leaves": recipe.leaves,
        "learning_rate": 0.05,
        "min_data_in_leaf": 20,
        "num_threads": 2,
        "deterministic": True,
        "force_row_wise": True,
        "seed": recipe.seed,
        "verbose": -1,
    }
    booster = lightgbm.train(parameters, lightgbm.Dataset(training, labels), recipe.trees)
    booster.save_model(folder / "model.txt")
    counts = [tree["num_leaves"] for tree in booster.dump_model()["tree_info"]]
    return "model.txt", booster.predict(tested, raw_score=True), counts


def _catboost(recipe: Recipe, training: Rows, labels: Any, tested: Rows, folder: Path) -> tuple[str, Any, list[int]]:
    import catboost

    model = catboost.CatBoostClassifier(
        iterations=recipe.trees,
        depth=recipe.depth,
        learning_rate=0.05,
        random_seed=recipe.seed,
        thread_count=2,
        verbose=False,
        allow_writing_files=False,
    )
    model.fit(training, labels)
    model.save_model(str(folder / "model.cbm"))
    counts = [int(count) for count in model.get_tree_leaf_counts()]
    return "model.cbm", model.predict(tested, prediction_type="RawFormulaVal"), counts


def main() -> None:
    """Make the models and print what they are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", type=Path, required=True, help="where models are kept, outside the repository")
    parser.add_argument("--small", action="store_true", help="few trees, in seconds")
    parser.add_argument("names", nargs="*", help="which of M1 to M6; all if none is named")
    chosen = parser.parse_args()
    for recipe in RECIPES:
        if not chosen.names or recipe.name in chosen.names:
            model = make(small(recipe) if chosen.small else recipe, chosen.directory)
            counts = model.card["leaf_counts"]
            mean = counts["total"] / recipe.trees if not chosen.small else counts["total"] / small(recipe).trees
            print(f"{model.name}: {model.card['shape']}, {counts['least']} to {counts['most']} leaves, mean {mean:.1f}")


if __name__ == "__main__":
    main()
