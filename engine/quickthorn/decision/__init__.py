"""The last stage: from a score to what is done with the event."""

from quickthorn.decision.outcome import OUTCOMES, Outcome
from quickthorn.decision.policy import Policy

__all__ = ["OUTCOMES", "Outcome", "Policy"]
