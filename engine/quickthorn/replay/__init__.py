"""Point-in-time-correct training data: the serving code over past events, in their order."""

from quickthorn.replay.dataset import replay

__all__ = ["replay"]
