"""Feature vectors from files: columns by feature name, or events that a bundle computes them of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from quickthorn.errors import RowError
from quickthorn.extras import require
from quickthorn.replay import replay
from quickthorn.serving import Engine

if TYPE_CHECKING:
    import pyarrow as pa

_READERS: Final = {
    ".parquet": ("pyarrow.parquet", "read_table"),
    ".csv": ("pyarrow.csv", "read_csv"),
    ".arrow": ("pyarrow.feather", "read_table"),
    ".feather": ("pyarrow.feather", "read_table"),
    ".jsonl": ("pyarrow.json", "read_json"),
}
# What a row holds of a category that is none of its feature's values, as the engine has it.
_UNKNOWN: Final = -1.0


def read_data_table(path: Path) -> pa.Table:
    """A .parquet, .csv, .arrow, .feather (Arrow IPC files) or .jsonl as an Arrow table; RowError where it is none."""
    if path.suffix not in _READERS:
        endings = ", ".join(_READERS)
        raise RowError(f"{path}: expected a file name ending in {endings}, found {path.suffix!r}")
    module, function = _READERS[path.suffix]
    reader = getattr(require(module, "compile", "reading feature vectors from files"), function)
    try:
        table = reader(path)
    except (OSError, ValueError) as error:
        raise RowError(f"{path}: expected readable data, found: {error}") from error
    if not table.num_rows:
        raise RowError(f"{path}: expected at least one row, found none")
    return table


def vectors_of(
    table: pa.Table, engine: Engine, values: Mapping[int, Sequence[str]], origin: str
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], str]:
    """The vectors in a table, the rows that they are of, and whether the table has "vectors" or "events".

    Where every feature is a column of the table, that is what it has; null and NaN are missing, and text in a feature
    with category ``values`` (by the feature's place) is their place in them. Any other table has events, and the
    engine's code computes the features of each as it would live, one after the other; events that do not fit the
    schema are left out.

    float64 (n, features) and int64 (n,). RowError, opened by ``origin``, where a column cannot be read as numbers, or
    no event fits.
    """
    names = engine.manifest.features
    absent = [name for name in names if name not in table.column_names]
    kind = "events" if absent else "vectors"
    if absent and not {"id", "event_time"} <= {
        field.kind for field in engine.manifest.schema if field.name in table.column_names
    }:
        raise RowError(
            f"{origin}: expected a column for each of {len(names)} features, or the fields of {engine.manifest.event} "
            f"events, found none for the feature {absent[0]!r}"
        )
    if absent:
        replayed = replay(engine, table, errors="keep")
        rows = np.flatnonzero(np.array(replayed["status"].to_pylist()) != "invalid")
        if not len(rows):
            raise RowError(f"{origin}: expected events that fit the bundle's schema, found none among {len(table)}")
        table = replayed.select(list(names)).take(rows)
    else:
        rows = np.arange(table.num_rows)
    columns = [_column(table, name, values.get(place), origin) for place, name in enumerate(names)]
    return np.ascontiguousarray(np.column_stack(columns)), rows, kind


def _column(table: pa.Table, name: str, values: Sequence[str] | None, origin: str) -> npt.NDArray[np.float64]:
    pa = require("pyarrow", "compile", "reading feature vectors from files")
    if table.column_names.count(name) != 1:
        raise RowError(f"{origin}: column {name!r}: expected it once, found it {table.column_names.count(name)} times")
    column: Any = table[name]
    try:
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            if values is None:
                raise RowError(
                    f"{origin}: column {name!r}: expected numbers, or text where the values of a category are known, "
                    f"found text such as {_first(column)!r}"
                )
            places = {value: float(place) for place, value in enumerate(values)}
            return np.array(
                [np.nan if text is None else places.get(text, _UNKNOWN) for text in column.to_pylist()],
                dtype=np.float64,
            )
        found: npt.NDArray[np.float64] = (
            column.cast(pa.uint8() if pa.types.is_boolean(column.type) else column.type)
            .cast(pa.float64())
            .to_numpy(zero_copy_only=False)
        )
    except pa.ArrowException as error:
        raise RowError(f"{origin}: column {name!r}: expected numbers, found {column.type}: {error}") from error
    return found


def _first(column: Any) -> str:
    return next((str(text) for text in column.to_pylist() if text is not None), "")
