"""The Fraud Detection Handbook's 14 features of every transaction: Quickthorn's replay, pandas, polars and DuckDB.

    python -m benchmarks.handbook_replay EVALUATOR TRANSACTIONS ANSWER

computes them from the Parquet file, on one processor, and writes what it took and the features as a numpy archive.
What is timed begins with the columns in memory, in the form that the evaluator likes best, and ends with the features
in memory.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import quickthorn as qt

DAYS = (1, 7, 30)
DELAY_DAYS = 7
DAY_US = 86_400_000_000
Columns = dict[str, npt.NDArray[np.float64]]


class Transaction(qt.Event):
    """A row of the file; the label stands in it and is read seven days late, as the handbook does."""

    event_id: qt.Id
    ts: qt.EventTime
    customer_id: qt.Entity
    terminal_id: qt.Entity
    amount_cents: qt.Money = qt.field(minor_units=True)
    fraud: qt.Boolean


@qt.kernel
def weekend(at):  # type: ignore[no-untyped-def]
    """1 on Saturday and Sunday."""
    return (at // 86_400_000_000 + 3) % 7 >= 5


@qt.kernel
def night(at):  # type: ignore[no-untyped-def]
    """1 from 0 to 6 h."""
    return at // 3_600_000_000 % 24 <= 6


@qt.kernel
def zero_if_missing(value):  # type: ignore[no-untyped-def]
    """The handbook's risk of a terminal without transactions."""
    return 0.0 if math.isnan(value) else value


def handbook_features() -> qt.FeatureSet:
    """The 14 features, under short names."""
    features = qt.FeatureSet(Transaction)
    features["weekend"] = weekend(Transaction.ts)
    features["night"] = night(Transaction.ts)
    for days in DAYS:
        own: dict[str, Any] = {"by": Transaction.customer_id, "over": f"{days}d", "include_current": True}
        features[f"count_{days}"] = qt.count(**own)
        features[f"mean_{days}"] = qt.mean(Transaction.amount_cents, **own)
        delayed: dict[str, Any] = {"by": Transaction.terminal_id, "over": f"{days}d", "delay": f"{DELAY_DAYS}d"}
        features[f"terminal_count_{days}"] = qt.count(**delayed)
        features[f"risk_{days}"] = zero_if_missing(qt.mean(Transaction.fraud, **delayed))
    return features


def by_quickthorn(path: Path) -> tuple[Callable[[], Columns], str]:
    """Replay of the Arrow table; the feature set is compiled before."""
    import pyarrow.parquet

    from quickthorn.compiling import compile_bundle
    from quickthorn.replay import replay

    table = pyarrow.parquet.read_table(path)
    fraud = table.schema.get_field_index("fraud")
    table = table.set_column(fraud, "fraud", table["fraud"].cast("bool"))
    features = handbook_features()
    compile_bundle(features=features, output=path.parent / "handbook.qt", cache=path.parent / "cache")

    def run() -> Columns:
        engine = qt.Engine.load(path.parent / "handbook.qt", allow_unsigned=True)
        replayed = replay(engine, table)
        return {name: replayed[name].to_numpy() for name in features.names}

    return run, metadata.version("quickthorn")


def by_pandas(path: Path) -> tuple[Callable[[], Columns], str]:
    """Grouped rolling windows, one group of windows after the other."""
    import pandas as pd

    given = pd.read_parquet(path)

    def run() -> Columns:
        out = {"weekend": given["ts"].dt.day_of_week.ge(5), "night": given["ts"].dt.hour.le(6)}
        # Windows come group by group and bear times, which rows of different groups share: only their order tells
        # which row each is of.
        rows = {by: given[by].argsort(kind="stable") for by in ("customer_id", "terminal_id")}

        def rolled(by: str, column: str, days: int, what: str) -> Any:
            windows = given[[by, "ts", column]].groupby(by).rolling(f"{days}D", on="ts")[column]
            return pd.Series(getattr(windows, what)().to_numpy(), index=rows[by]).sort_index()

        for days in DAYS:
            out[f"count_{days}"] = rolled("customer_id", "amount", days, "count")
            out[f"mean_{days}"] = rolled("customer_id", "amount", days, "mean")
        late = {what: rolled("terminal_id", "fraud", DELAY_DAYS, what) for what in ("count", "sum")}
        for days in DAYS:
            counted = rolled("terminal_id", "fraud", DELAY_DAYS + days, "count") - late["count"]
            frauds = rolled("terminal_id", "fraud", DELAY_DAYS + days, "sum") - late["sum"]
            out[f"terminal_count_{days}"] = counted
            out[f"risk_{days}"] = (frauds / counted).fillna(0)
        return {name: series.to_numpy(dtype=np.float64) for name, series in out.items()}

    return run, pd.__version__


def by_polars(path: Path) -> tuple[Callable[[], Columns], str]:
    """``rolling_*_by`` over each key, all features in one query."""
    import polars as pl

    given = pl.read_parquet(path).with_columns(one=pl.lit(1.0), fraud=pl.col("fraud").cast(pl.Float64))

    def rolled(by: str, column: str, days: int, what: str) -> Any:
        windows = getattr(pl.col(column), f"rolling_{what}_by")("ts", f"{days}d", closed="right")
        return windows.over(by)

    def run() -> Columns:
        wanted = {"weekend": pl.col("ts").dt.weekday() >= 6, "night": pl.col("ts").dt.hour() <= 6}
        for days in DAYS:
            wanted[f"count_{days}"] = rolled("customer_id", "one", days, "sum")
            wanted[f"mean_{days}"] = rolled("customer_id", "amount", days, "mean")
            delayed = DELAY_DAYS + days
            counted = rolled("terminal_id", "one", delayed, "sum") - rolled("terminal_id", "one", DELAY_DAYS, "sum")
            frauds = rolled("terminal_id", "fraud", delayed, "sum") - rolled("terminal_id", "fraud", DELAY_DAYS, "sum")
            wanted[f"terminal_count_{days}"] = counted
            wanted[f"risk_{days}"] = (frauds / counted).fill_nan(0.0)
        answer = given.lazy().select(**wanted).collect()
        return {name: answer[name].cast(pl.Float64).to_numpy() for name in answer.columns}

    return run, pl.__version__


def by_duckdb(path: Path) -> tuple[Callable[[], Columns], str]:
    """Range windows over microseconds, in one query."""
    import duckdb

    connection = duckdb.connect(config={"threads": 1})
    connection.execute(
        "CREATE TABLE given AS SELECT row_number() OVER () AS place, epoch_us(ts) AS at_us, * FROM read_parquet(?)",
        [str(path)],
    )
    wanted = ["(at_us // 86400000000 + 3) % 7 >= 5 AS weekend", "at_us // 3600000000 % 24 <= 6 AS night"]
    windows = []
    for days in DAYS:
        # Both ends of a range are in it, and the beginning of a window is not.
        own, since = f"own_{days}", days * DAY_US - 1
        windows.append(
            f"{own} AS (PARTITION BY customer_id ORDER BY at_us RANGE BETWEEN {since} PRECEDING AND CURRENT ROW)"
        )
        late, until = f"late_{days}", DELAY_DAYS * DAY_US
        windows.append(
            f"{late} AS (PARTITION BY terminal_id ORDER BY at_us "
            f"RANGE BETWEEN {until + since} PRECEDING AND {until} PRECEDING)"
        )
        wanted += [f"count(*) OVER {own} AS count_{days}", f"avg(amount) OVER {own} AS mean_{days}"]
        wanted += [f"count(*) OVER {late} AS terminal_count_{days}"]
        wanted += [f"coalesce(avg(fraud) OVER {late}, 0) AS risk_{days}"]
    query = f"SELECT place, {', '.join(wanted)} FROM given WINDOW {', '.join(windows)} ORDER BY place"

    def run() -> Columns:
        answer = connection.execute(query).fetchnumpy()
        return {name: np.asarray(column, dtype=np.float64) for name, column in answer.items() if name != "place"}

    return run, duckdb.__version__


EVALUATORS = {"Quickthorn": by_quickthorn, "pandas": by_pandas, "polars": by_polars, "DuckDB": by_duckdb}


def tied(path: Path) -> npt.NDArray[np.bool_]:
    """bool (rows,): whether a later row has the same customer and time.

    Windows by value, as those of polars and DuckDB, see such a row too early; by arrival it comes later.
    """
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(path, columns=["ts", "customer_id"])
    at, customer = table["ts"].cast("int64").to_numpy(), table["customer_id"].to_numpy()
    order = np.lexsort((np.arange(len(at)), at, customer))
    same = (np.diff(at[order]) == 0) & (np.diff(customer[order]) == 0)
    found = np.zeros(len(at), dtype=bool)
    found[order[:-1][same]] = True
    return found


def main(arguments: list[str] | None = None) -> None:
    """Time three runs of one evaluator; the first ones pay for memory that the system has not given out before."""
    name, path, answer = arguments or sys.argv[1:]
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    os.environ["POLARS_MAX_THREADS"] = "1"  # before polars is imported
    run, version = EVALUATORS[name](Path(path))
    seconds, columns = [], {}
    for _ in range(3):
        begun = time.process_time()
        columns = run()
        seconds.append(time.process_time() - begun)
    np.savez(answer, _seconds=np.array(seconds), _version=np.array(version), **columns)


if __name__ == "__main__":
    main()
