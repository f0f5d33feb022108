"""The compiled module, or an error that says how to get it."""

from __future__ import annotations

from quickthorn.errors import NativeModuleError

try:
    import quickthorn._native as _native
except ImportError as error:
    raise NativeModuleError(
        f"quickthorn._native: expected the compiled module, found none that loads ({error}); "
        "build it with: pip install . (or, for working on quickthorn itself, pip install -e '.[dev]')"
    ) from error

__all__ = ["_native"]
