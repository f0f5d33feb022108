"""The last stage: from a score to what is done with the event."""

from quickthorn.decision.outcome import MOST_OUTCOMES, OUTCOMES, STATUSES
from quickthorn.decision.policy import Policy
from quickthorn.decision.reasons import Reason, ReasonCode, ReasonMap
from quickthorn.decision.records import (
    Cap,
    ExpectedLoss,
    Exploration,
    Fallback,
    KillSwitch,
    Rule,
    Segment,
    Thresholds,
)

__all__ = [
    "MOST_OUTCOMES",
    "OUTCOMES",
    "STATUSES",
    "Cap",
    "ExpectedLoss",
    "Exploration",
    "Fallback",
    "KillSwitch",
    "Policy",
    "Reason",
    "ReasonCode",
    "ReasonMap",
    "Rule",
    "Segment",
    "Thresholds",
]
