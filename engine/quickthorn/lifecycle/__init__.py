"""What happens to a bundle from its making to its end: measured, compared, promoted, taken back."""

from quickthorn.event.sample_events import sample_events
from quickthorn.lifecycle.comparison import Comparison, ScoreShift, compare, population_stability
from quickthorn.lifecycle.event_files import read_event_table, read_events
from quickthorn.lifecycle.gates import GateResult, Gates, judge
from quickthorn.lifecycle.golden_events import GoldenEvent, golden_events
from quickthorn.lifecycle.importance import Importances, draw_importances, importances
from quickthorn.lifecycle.inspection import Signature, describe, signatures_of
from quickthorn.lifecycle.latency import (
    SWEEP_BYTES,
    Budget,
    Latency,
    Percentiles,
    deciding,
    measure_latency,
    percentile_table,
    timed,
)
from quickthorn.lifecycle.ledger import PROMOTER, Ledger, Recorded
from quickthorn.lifecycle.project_file import PROJECT_FILE, CompileSettings
from quickthorn.lifecycle.promotion import Promotion, fetch, promote, roll_back
from quickthorn.lifecycle.reason_stability import ReasonStability, reason_stability
from quickthorn.lifecycle.store import Store

__all__ = [
    "PROJECT_FILE",
    "PROMOTER",
    "SWEEP_BYTES",
    "Budget",
    "Comparison",
    "CompileSettings",
    "GateResult",
    "Gates",
    "GoldenEvent",
    "Importances",
    "Latency",
    "Ledger",
    "Percentiles",
    "Promotion",
    "ReasonStability",
    "Recorded",
    "ScoreShift",
    "Signature",
    "Store",
    "compare",
    "deciding",
    "describe",
    "draw_importances",
    "fetch",
    "golden_events",
    "importances",
    "judge",
    "measure_latency",
    "percentile_table",
    "population_stability",
    "promote",
    "read_event_table",
    "read_events",
    "reason_stability",
    "roll_back",
    "sample_events",
    "signatures_of",
    "timed",
]
