"""The simulated stream as one Arrow table, in the order in which the payments happened."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from quickthorn.demo.payments import CHANNELS, DAY_US, ENTRIES, Payments, distance_km, genuine_payments
from quickthorn.demo.population import (
    CATEGORIES,
    COUNTRIES,
    MEAN_PAYMENTS_PER_DAY,
    Customers,
    Ints,
    Terminals,
    draw_customers,
    draw_terminals,
)
from quickthorn.demo.scenarios import SCENARIOS, fraudulent_payments
from quickthorn.errors import SimulationError
from quickthorn.extras import require

if TYPE_CHECKING:
    import pyarrow as pa

EVENT_COLUMNS = (
    "event_id",
    "at",
    "customer",
    "terminal",
    "amount",
    "channel",
    "entry",
    "category",
    "country",
    "card_country",
    "device_new",
    "distance_km",
)
TRUTH_COLUMNS = ("fraud", "scenario", "label_available_at")

# A chargeback arrives days to weeks after the payment. Once the longest possible delay has passed without one, the
# payment is known to be genuine.
LABEL_MATURITY_DAYS = 30
SHORTEST_CHARGEBACK_DAYS = 2.0
TYPICAL_CHARGEBACK_DAYS = 9.0

LARGEST_STREAM_PAYMENTS = 50_000_000


def simulate(days: int, customers: int, terminals: int, seed: int) -> pa.Table:
    """Simulate a stream of card payments with planted fraud; the same arguments give the same bytes.

    Returns a pyarrow.Table sorted by event time and event id, with EVENT_COLUMNS (`at` timestamp[us, UTC], `amount`
    int64 cents, `device_new` bool, `distance_km` float64 and null for online merchants, the others string) and
    TRUTH_COLUMNS: `fraud` int8 0 or 1, `scenario` string (one of SCENARIOS), `label_available_at` timestamp[us, UTC],
    the moment from which a system in service can know `fraud`. Raises SimulationError for sizes that make no stream.
    """
    check_sizes(days, customers, terminals, seed)
    require("pyarrow", "demo", "simulating a payment stream")
    streams = [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(5)]
    drawn_terminals = draw_terminals(streams[0], terminals)
    drawn_customers = draw_customers(streams[1], customers, drawn_terminals)
    genuine = genuine_payments(streams[2], drawn_customers, drawn_terminals, days)
    frauds = fraudulent_payments(streams[3], drawn_customers, drawn_terminals, genuine, days)
    payments = Payments.concatenate([genuine, frauds])
    payments = payments.take(np.argsort(payments.at_us, kind="stable"))
    return _as_table(payments, drawn_customers, drawn_terminals, _label_available_at(streams[4], payments))


def write_stream(table: pa.Table, output: Path) -> None:
    """Write a stream to the Parquet file `output`; SimulationError where the file system refuses."""
    parquet = require("pyarrow.parquet", "demo", "writing a payment stream")
    # Written beside and renamed, so that a full disk leaves no half of a stream under the name asked for.
    partial = output.with_name(f"{output.name}.partial")
    try:
        parquet.write_table(table, partial, compression="zstd")
        partial.replace(output)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise SimulationError(f"output: cannot write {str(output)!r}: {error.strerror or error}") from error


def check_sizes(days: int, customers: int, terminals: int, seed: int) -> None:
    """Raise SimulationError naming the first argument no stream can be made from."""
    for name, value, least in (("days", days, 1), ("customers", customers, 1), ("terminals", terminals, 2)):
        if value < least:
            why = " (one shop and one online merchant)" if name == "terminals" else ""
            raise SimulationError(f"{name}: expected at least {least}{why}, got {value}")
    if seed < 0:
        raise SimulationError(f"seed: expected 0 or more, got {seed}")
    expected = days * customers * MEAN_PAYMENTS_PER_DAY
    if expected > LARGEST_STREAM_PAYMENTS:
        raise SimulationError(
            f"days x customers: expected a stream of at most {LARGEST_STREAM_PAYMENTS:,} payments, "
            f"got {days:,} x {customers:,}, about {expected:,.0f}"
        )


def _label_available_at(rng: np.random.Generator, payments: Payments) -> Ints:
    """When each payment's label is known, int64 microseconds UTC, shape (n,)."""
    delay_days = np.full(len(payments), float(LABEL_MATURITY_DAYS))
    fraud = payments.scenario > 0
    chargeback_days = TYPICAL_CHARGEBACK_DAYS * rng.lognormal(0.0, 0.6, int(fraud.sum()))
    delay_days[fraud] = np.clip(chargeback_days, SHORTEST_CHARGEBACK_DAYS, LABEL_MATURITY_DAYS)
    return payments.at_us + (delay_days * DAY_US).astype(np.int64)


def _as_table(payments: Payments, customers: Customers, terminals: Terminals, label_available_at: Ints) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    n = len(payments)
    utc = pa.timestamp("us", tz="UTC")

    def named(codes: Ints, names: list[str] | tuple[str, ...]) -> pa.Array:
        encoded = pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array(names, pa.string()))
        return encoded.cast(pa.string())

    def numbered(prefix: str, codes: Ints, number: int) -> pa.Array:
        # Padded to one width, so that ids sort as the numbers do.
        digits = pc.utf8_lpad(pa.array(codes).cast(pa.string()), width=max(len(str(number)), 4), padding="0")
        return pc.binary_join_element_wise(prefix, digits, "-")

    away_km = distance_km(payments, customers, terminals)
    columns = {
        "event_id": numbered("p", np.arange(n), n),
        "at": pa.array(payments.at_us, utc),
        "customer": numbered("c", payments.customer, len(customers.city)),
        "terminal": numbered("t", payments.terminal, len(terminals.city)),
        "amount": pa.array(payments.amount_minor, pa.int64()),
        "channel": named(payments.channel, CHANNELS),
        "entry": named(payments.entry, ENTRIES),
        "category": named(terminals.category[payments.terminal], CATEGORIES),
        "country": named(terminals.country[payments.terminal], COUNTRIES),
        "card_country": named(customers.country[payments.customer], COUNTRIES),
        "device_new": pa.array(payments.device_new, pa.bool_()),
        "distance_km": pa.array(np.round(away_km, 3), pa.float64(), mask=np.isnan(away_km)),
        "fraud": pa.array((payments.scenario > 0).astype(np.int8), pa.int8()),
        "scenario": named(payments.scenario, SCENARIOS),
        "label_available_at": pa.array(label_available_at, utc),
    }
    return pa.table(columns)
