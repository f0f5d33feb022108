"""One simulated stream, large enough for statistics, shared by the tests that only read it."""

from __future__ import annotations

import pytest

pa = pytest.importorskip("pyarrow")

from quickthorn.demo.stream import simulate  # noqa: E402


@pytest.fixture(scope="session")
def stream() -> pa.Table:
    """Sixty days of 1,500 customers at 300 terminals: about 170,000 payments."""
    return simulate(days=60, customers=1_500, terminals=300, seed=11)
