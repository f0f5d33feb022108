"""The engine in a decision service: loads a bundle, decides events."""

from quickthorn.serving.batch import Batch
from quickthorn.serving.engine import Engine

__all__ = ["Batch", "Engine"]
