"""Events from files: Parquet, or lines of JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from quickthorn.errors import EventError
from quickthorn.extras import require


def read_events(path: Path) -> list[Any]:
    """The events of a file, in its order: dicts of a .parquet, or the lines of a .jsonl as bytes.

    EventError where it cannot be read, or is of another kind. Whether they fit a schema is the engine's to say.
    """
    try:
        if path.suffix == ".jsonl":
            return [line for line in path.read_bytes().splitlines() if line.strip()]
        if path.suffix == ".parquet":
            parquet = require("pyarrow.parquet", "compile", "reading events from Parquet")
            events: list[Any] = parquet.read_table(path).to_pylist()
            return events
    except (OSError, ValueError) as error:
        raise EventError(f"{path}: expected readable events, found: {error}") from error
    raise EventError(f"{path}: expected a file name ending in .parquet or .jsonl, found {path.suffix!r}")
