"""``quickthorn.toml``: what a repository of a model compiles, so that nobody has to type it.

[compile]
features = "fraud/features.py:features"
model = "model.ubj"
policy = "policy.toml"
output = "fraud.qt"
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import msgspec

from quickthorn.bundle.event_records import Natural, Text
from quickthorn.errors import ProjectError
from quickthorn.lifecycle.settings_file import read_settings

PROJECT_FILE: Final = "quickthorn.toml"
"""The name under which the commands look for it in the working directory."""

_PATHS: Final = ("features", "model", "policy", "calibration", "reasons", "reference", "output")


class CompileSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table [compile]; every key is optional and means what the option of `quickthorn compile` of its name means.

    ``features``  a Python file and the name of the FeatureSet in it, "fraud/features.py:features"
    ``version``   the option ``--bundle-version``
    ``target``    one CPU level, or an array of them

    Once read, paths are those of the file system: in the file they are relative to its folder.
    """

    features: Text | None = None
    model: Text | None = None
    policy: Text | None = None
    calibration: Text | None = None
    reasons: Text | None = None
    reference: Text | None = None
    output: Text | None = None
    version: Natural | None = None
    target: Text | tuple[Text, ...] | None = None
    contributions: bool | None = None

    @classmethod
    def from_toml(cls, path: str | os.PathLike[str]) -> CompileSettings:
        """Read a project file; ProjectError names what is wrong in it."""
        settings = read_settings(path, _File, "project", ProjectError).compile
        folder = Path(path).parent
        found = {name: getattr(settings, name) for name in _PATHS}
        placed = {name: str(folder / value) for name, value in found.items() if value is not None}
        return msgspec.structs.replace(settings, **placed)


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    compile: CompileSettings
