"""From declarations and a trained model to a bundle or a forest file: lower, emit, link, prove, write."""

from quickthorn.compiling.build import BundleSummary, compile_bundle
from quickthorn.compiling.forest import compile_forest

__all__ = ["BundleSummary", "compile_bundle", "compile_forest"]
