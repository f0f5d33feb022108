"""The calibration stage: from a forest's margin to a score."""
