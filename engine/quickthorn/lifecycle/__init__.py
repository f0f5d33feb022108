"""What happens to a bundle from its making to its end: measured, compared, promoted, taken back."""

from quickthorn.lifecycle.event_files import read_events
from quickthorn.lifecycle.latency import SWEEP_BYTES, Budget, Latency, Percentiles, deciding, measure_latency
from quickthorn.lifecycle.ledger import PROMOTER, Ledger, Recorded
from quickthorn.lifecycle.sample_events import sample_events
from quickthorn.lifecycle.store import Store

__all__ = [
    "PROMOTER",
    "SWEEP_BYTES",
    "Budget",
    "Latency",
    "Ledger",
    "Percentiles",
    "Recorded",
    "Store",
    "deciding",
    "measure_latency",
    "read_events",
    "sample_events",
]
