"""From declarations and a trained model to a bundle: lower, emit, link, prove, write."""

from quickthorn.compiling.build import BundleSummary, compile_bundle

__all__ = ["BundleSummary", "compile_bundle"]
