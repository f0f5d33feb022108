"""In a decision service: the engine loads a bundle and decides events; a forest scores feature vectors."""

from quickthorn.serving.batch import Batch
from quickthorn.serving.engine import Engine
from quickthorn.serving.forest import Forest

__all__ = ["Batch", "Engine", "Forest"]
