"""The pytest plugin for repositories of models: fixtures of one bundle, and its latencies in the summary.

    pytest --quickthorn-bundle fraud.qt

``quickthorn_engine``   the bundle, loaded, its golden vectors held to; one for the whole run
``quickthorn_golden_events``  the events that the bundle was proven on, with what is expected of each
``quickthorn_events``   events to decide: those of ``--quickthorn-events``, else made up from the bundle's schema
``quickthorn_budget``   the limits of ``--quickthorn-budget``; without it, none
``quickthorn_latency``  keeps the calls of a pytest-benchmark fixture under a name, for the table of percentiles

:mod:`quickthorn.latency_suite` is a suite made of these.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from quickthorn.lifecycle import Budget, GoldenEvent, Percentiles
    from quickthorn.serving import Engine

EVENTS = 20_000

_MEASURED: pytest.StashKey[dict[str, Percentiles]] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options, all of which name files."""
    group = parser.getgroup("quickthorn")
    for name, meaning in (
        ("bundle", "bundle file that the fixtures are of"),
        ("events", "events to decide, .parquet or .jsonl (default: made up)"),
        ("budget", "latency limits, such as hot.p99_us = 20"),
        ("trust", "trust file that the bundle's signatures are held to (default: not looked at)"),
    ):
        group.addoption(f"--quickthorn-{name}", metavar="FILE", type=Path, help=meaning)


def pytest_configure(config: pytest.Config) -> None:
    """An empty table."""
    config.stash[_MEASURED] = {}


@pytest.fixture(scope="session")
def quickthorn_engine(pytestconfig: pytest.Config) -> Engine:
    """The bundle at work; a bundle that does not load fails every test that asks for it, with the reason."""
    from quickthorn.errors import QuickthornError
    from quickthorn.serving import Engine

    path = pytestconfig.getoption("quickthorn_bundle")
    if path is None:
        pytest.fail("expected a bundle to test, found none: run pytest with --quickthorn-bundle FILE", pytrace=False)
    try:
        trust = pytestconfig.getoption("quickthorn_trust")
        return Engine.load(path, trust=trust, allow_unsigned=trust is None)
    except QuickthornError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="session")
def quickthorn_golden_events(pytestconfig: pytest.Config, quickthorn_engine: Engine) -> list[GoldenEvent]:
    """The bundle's golden events, in order, each with its features and the decision that is expected of it."""
    from quickthorn.bundle import read_bundle
    from quickthorn.lifecycle import golden_events

    bundle = read_bundle(pytestconfig.getoption("quickthorn_bundle"))
    if bundle.bundle_id != quickthorn_engine.bundle_id:
        pytest.fail("expected the bundle that was loaded, found another in its place", pytrace=False)
    return golden_events(bundle)


@pytest.fixture(scope="session")
def quickthorn_events(pytestconfig: pytest.Config, quickthorn_engine: Engine) -> list[Any]:
    """Events that fit the bundle's schema, in order of time."""
    from quickthorn.errors import QuickthornError
    from quickthorn.lifecycle import read_events, sample_events

    path = pytestconfig.getoption("quickthorn_events")
    if path is None:
        return list(sample_events(quickthorn_engine.manifest.schema, EVENTS))
    try:
        return read_events(path)
    except QuickthornError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="session")
def quickthorn_budget(pytestconfig: pytest.Config) -> Budget:
    """What calls may take at most; a budget file that is wrong fails every test that asks for it, with the reason."""
    from quickthorn.errors import QuickthornError
    from quickthorn.lifecycle import Budget

    path = pytestconfig.getoption("quickthorn_budget")
    try:
        return Budget.from_toml(path) if path is not None else Budget()
    except QuickthornError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture
def quickthorn_latency(pytestconfig: pytest.Config) -> Callable[[str, Any], Percentiles | None]:
    """``keep(name, benchmark)``: the percentiles of the calls that a pytest-benchmark fixture has timed, one a round.

    They also go into the benchmark's extra_info, and so into its JSON. None where benchmarks are disabled.
    """
    from quickthorn.lifecycle import Percentiles

    def keep(name: str, benchmark: Any) -> Percentiles | None:
        if benchmark.stats is None:
            return None
        found = Percentiles.of([round(seconds * 1e9) for seconds in benchmark.stats.stats.data])
        benchmark.extra_info.update(p50_us=found.p50_us, p99_us=found.p99_us, p999_us=found.p999_us)
        pytestconfig.stash[_MEASURED][name] = found
        return found

    return keep


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """The table of percentiles, where anything was measured."""
    measured = config.stash[_MEASURED]
    if not measured:
        return
    from quickthorn.lifecycle import percentile_table

    terminalreporter.section("quickthorn: microseconds of single calls")
    for line in percentile_table(measured, name_width=32):
        terminalreporter.write_line(line)
