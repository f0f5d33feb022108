"""The whole product in slow, plain Python: event → features → forest → calibration → decision.

This is the executable specification. It shares no code with the native engine or with Numba: stored events are kept in
plain lists, every window is recomputed from nothing at every read, and every sum is exact until it is rounded once.
Where the native engine and this package disagree, one of the two is wrong.
"""

from quickthorn.reference import decay as decay  # each family registers its slow version
from quickthorn.reference import distinct as distinct
from quickthorn.reference import extremes as extremes
from quickthorn.reference import labels as labels
from quickthorn.reference import neighbours as neighbours
from quickthorn.reference import recency as recency
from quickthorn.reference import sequence as sequence
from quickthorn.reference import spread as spread
from quickthorn.reference import stateful as stateful
from quickthorn.reference import velocity as velocity
from quickthorn.reference.engine import ReferenceDecision, ReferenceEngine

__all__ = ["ReferenceDecision", "ReferenceEngine"]
