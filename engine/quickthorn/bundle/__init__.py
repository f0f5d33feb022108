"""The bundle file: one archive that holds everything that decides, with every byte accounted for."""

from quickthorn.bundle.archive import (
    Bundle,
    ForestFile,
    pack_forest,
    read_bundle,
    read_forest,
    write_bundle,
    write_forest,
    write_signatures,
)
from quickthorn.bundle.envelope import Envelope
from quickthorn.bundle.forest_manifest import ForestManifest
from quickthorn.bundle.manifest import (
    ABI_VERSION,
    FORMAT_VERSION,
    CalibrationSummary,
    ComponentSummary,
    ForestSummary,
    GoldenShapes,
    GroupSummary,
    Manifest,
    Member,
    SchemaField,
    SignalSummary,
    TableSummary,
    ToolVersions,
)

__all__ = [
    "ABI_VERSION",
    "FORMAT_VERSION",
    "Bundle",
    "CalibrationSummary",
    "ComponentSummary",
    "Envelope",
    "ForestFile",
    "ForestManifest",
    "ForestSummary",
    "GoldenShapes",
    "GroupSummary",
    "Manifest",
    "Member",
    "SchemaField",
    "SignalSummary",
    "TableSummary",
    "ToolVersions",
    "pack_forest",
    "read_bundle",
    "read_forest",
    "write_bundle",
    "write_forest",
    "write_signatures",
]
