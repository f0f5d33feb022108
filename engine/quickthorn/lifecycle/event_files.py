"""Events from files: Parquet, or lines of JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from quickthorn.errors import EventError
from quickthorn.extras import require

if TYPE_CHECKING:
    import pyarrow as pa


def read_events(path: Path) -> list[Any]:
    """The events of a file, in its order: dicts of a .parquet, or the lines of a .jsonl as bytes.

    EventError where it cannot be read, or is of another kind. Whether they fit a schema is the engine's to say.
    """
    if path.suffix != ".jsonl":
        events: list[Any] = read_event_table(path).to_pylist()
        return events
    try:
        return [line for line in path.read_bytes().splitlines() if line.strip()]
    except OSError as error:
        raise EventError(f"{path}: expected readable events, found: {error}") from error


def read_event_table(path: Path) -> pa.Table:
    """The events of a .parquet or .jsonl as an Arrow table, a column a field; EventError as above."""
    if path.suffix not in (".parquet", ".jsonl"):
        raise EventError(f"{path}: expected a file name ending in .parquet or .jsonl, found {path.suffix!r}")
    purpose = "reading events from files"
    try:
        if path.suffix == ".parquet":
            return require("pyarrow.parquet", "compile", purpose).read_table(path)
        return require("pyarrow.json", "compile", purpose).read_json(path)
    except (OSError, ValueError) as error:
        raise EventError(f"{path}: expected readable events, found: {error}") from error
