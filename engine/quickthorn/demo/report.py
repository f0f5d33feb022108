"""The demo's results as a table on the terminal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from quickthorn.demo.results import DemoResults
from quickthorn.extras import require

if TYPE_CHECKING:
    from rich.table import Table


def results_table(results: DemoResults) -> Table:
    """The figures people ask for first: quality, decisions, latency, size."""
    rich_table = require("rich.table", "demo", "the demo's table of results")
    live = results.live
    table: Table = rich_table.Table(
        title=f"{live.payments:,} payments decided live, {live.frauds:,} of them frauds", title_justify="left"
    )
    table.add_column("measure")
    table.add_column("value", justify="right")
    table.add_column("detail")

    table.add_row("average precision", _figure(live.average_precision), "of the ranking by margin")
    rate = f"{live.alert_rate:.0%}"
    table.add_row(f"recall at {rate} alert rate", _figure(live.recall), f"the {rate} highest margins alerted")
    for name, found in live.scenarios.items():
        table.add_row(f"  {name.replace('_', ' ')}", _figure(found.recall), f"of {found.frauds:,} frauds")
    table.add_section()
    thresholds = live.thresholds
    scores = {
        "approve": f"below {thresholds.review:.3f}",
        "review": f"from {thresholds.review:.3f}",
        "decline": f"from {thresholds.decline:.3f}",
    }
    for name, counted in live.outcomes.items():
        share = counted.payments / live.payments
        table.add_row(name, f"{counted.payments:,} ({share:.2%})", f"score {scores[name]}, frauds: {counted.frauds:,}")
    table.add_row("frauds expected", f"{live.expected_frauds:,.1f}", f"by all scores; found: {live.frauds:,}")
    for code, decisions in live.first_reasons.items():
        table.add_row(f"  {code}", f"{decisions:,}", "times the first reason")
    table.add_section()
    latency = live.latency_us
    table.add_row("decide p50", f"{latency.p50:.1f} µs", "dict in, windows updated")
    table.add_row("decide p99", f"{latency.p99:.1f} µs", "")
    table.add_row("decide p99.9", f"{latency.p99_9:.1f} µs", f"longest {latency.longest:,.0f} µs")
    table.add_section()
    table.add_row("bundle size", f"{results.bundle_bytes / 1024:,.0f} KiB", "one file")
    table.add_row("largest score difference", f"{results.largest_score_difference:.1e}", "served against trained")
    return table


def _figure(value: float) -> str:
    return "none" if math.isnan(value) else f"{value:.3f}"
