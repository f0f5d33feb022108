"""What a rival is made to look like: an offline step, a load, then one row at C level or from Python, or batches."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class ModelFiles:
    """A trained model on disk, with rows to test it on and what its own library says of them."""

    folder: Path
    card: dict[str, Any]

    @classmethod
    def read(cls, folder: Path) -> ModelFiles:
        """The model in this folder, which benchmarks/models.py or curve.py wrote."""
        return cls(folder, json.loads((folder / "card.json").read_text()))

    @property
    def name(self) -> str:
        """M1 to M6, or a point of the curve."""
        return str(self.card["name"])

    @property
    def library(self) -> str:
        """Who trained it: xgboost, lightgbm or catboost."""
        return str(self.card["library"])

    @property
    def file(self) -> Path:
        """The model in its library's own format."""
        return self.folder / str(self.card["file"])

    @property
    def features(self) -> int:
        """How many values a row has."""
        return int(self.card["features"])

    def rows(self) -> npt.NDArray[np.float32]:
        """float32 [n, features], NaN = missing, every row different."""
        return np.asarray(np.load(self.folder / "rows.npy"), dtype=np.float32)

    def margins(self) -> npt.NDArray[np.float64]:
        """float64 [n]: the source library's margins for rows()."""
        return np.asarray(np.load(self.folder / "margins.npy"), dtype=np.float64)


@dataclass(frozen=True)
class NativeCall:
    """One row at C level: ``double f(const void* row)`` at `address`, called with the rows of `rows` one by one."""

    address: int
    rows: npt.NDArray[Any]
    keep: Any = None
    """What has to live as long as the address is called."""


@dataclass(frozen=True)
class Loaded:
    """A rival that is ready to answer. What it answers is a margin, or from Python with `scores` a probability."""

    batch: Callable[[npt.NDArray[np.float32]], Any] | None = None
    """From float32 [n, features] to n answers, called from Python."""
    one_row: Callable[[Any], Any] | None = None
    """One call from Python, of what `row_form` makes of a float32 [1, features] row before the clock starts."""
    row_form: Callable[[npt.NDArray[np.float32]], Any] = lambda row: row
    native: NativeCall | None = None
    scores: bool = False
    """Whether the calls from Python answer with probabilities; at C level, all answers are margins."""
    keep: Any = None
    """What has to live as long as the calls are made."""


class Refused(Exception):
    """A rival that cannot be installed, or does not take a model: the reason goes into the table."""


class Adapter(Protocol):
    """One way of evaluating a forest. Modules import the libraries they need inside these methods only."""

    name: str
    environment: str
    """The file in requirements/ whose packages it needs, or "" for this interpreter's own."""
    libraries: tuple[str, ...]
    """Whose models it reads."""
    tolerance: float
    """The largest difference from the source library's answers that passes, relative to 1 + |margin|; 0: bit-equal."""
    recipe: str
    """Settings that matter, for the table. What `prepare` wrote is kept under it; "" is never kept."""

    def version(self) -> str:
        """Name and version of what is measured; Refused where it is not installed."""

    def prepare(self, model: ModelFiles, folder: Path) -> list[Path]:
        """The offline step, which is timed: writes into `folder`, and returns the files that serving needs."""

    def load(self, model: ModelFiles, folder: Path) -> Loaded:
        """What `prepare` left in `folder`, ready to answer on one thread."""
