"""What happens to a bundle from its making to its end: measured, compared, promoted, taken back."""

from quickthorn.lifecycle.latency import Budget, Latency, Percentiles, measure_latency
from quickthorn.lifecycle.sample_events import sample_events

__all__ = ["Budget", "Latency", "Percentiles", "measure_latency", "sample_events"]
