"""What all tests share: nothing is taken from a cache of compiled code that a test did not ask for."""

from __future__ import annotations

import os

os.environ["QUICKTHORN_CACHE"] = "off"
