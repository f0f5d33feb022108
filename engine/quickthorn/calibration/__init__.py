"""The calibration stage: from a forest's margin to a probability that means what it says.

``fit`` learns from margins and labels that the model was not trained on; ``prior_correction`` knows only the share of
legitimate events that training kept; both give a ``Calibration`` for ``compile_bundle``.
"""

from quickthorn.calibration.aligned import aligned_score
from quickthorn.calibration.fitting import METHODS, fit, prior_correction
from quickthorn.calibration.knots import Calibration

__all__ = ["METHODS", "Calibration", "aligned_score", "fit", "prior_correction"]
