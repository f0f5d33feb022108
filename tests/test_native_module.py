"""Without the compiled module, the message says what to run."""

from __future__ import annotations

import subprocess
import sys

import quickthorn
from quickthorn.bundle import ABI_VERSION
from quickthorn.native import _native


def test_a_missing_native_module_says_what_to_run() -> None:
    program = "import sys; sys.modules['quickthorn._native'] = None; import quickthorn"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    last = ran.stderr.strip().splitlines()[-1]
    assert last.startswith("quickthorn.errors.NativeModuleError: quickthorn._native: expected the compiled module")
    assert "pip install ." in last


def test_package_and_module_speak_of_the_same_library_layout() -> None:
    assert _native.ABI_VERSION == ABI_VERSION


def test_every_public_name_is_there() -> None:
    assert all(hasattr(quickthorn, name) for name in quickthorn.__all__)
    assert list(quickthorn.__all__) == sorted(quickthorn.__all__, key=lambda name: (name.islower(), name))
