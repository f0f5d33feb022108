"""The bundle file: one archive that holds everything that decides, with every byte accounted for."""

from quickthorn.bundle.archive import (
    MAGIC,
    Bundle,
    ForestFile,
    pack_bundle,
    pack_forest,
    read_bundle,
    read_forest,
    write_bundle,
    write_forest,
    write_signatures,
)
from quickthorn.bundle.envelope import Envelope
from quickthorn.bundle.event_records import ComponentSummary, GroupSummary, SchemaField, SignalSummary, TableSummary
from quickthorn.bundle.forest_manifest import ForestManifest
from quickthorn.bundle.manifest import (
    ABI_VERSION,
    FORMAT_VERSION,
    CalibrationSummary,
    CheckpointSummary,
    ForestSummary,
    GoldenShapes,
    Manifest,
    Member,
    ReferenceSummary,
    ToolVersions,
)

__all__ = [
    "ABI_VERSION",
    "FORMAT_VERSION",
    "MAGIC",
    "Bundle",
    "CalibrationSummary",
    "CheckpointSummary",
    "ComponentSummary",
    "Envelope",
    "ForestFile",
    "ForestManifest",
    "ForestSummary",
    "GoldenShapes",
    "GroupSummary",
    "Manifest",
    "Member",
    "ReferenceSummary",
    "SchemaField",
    "SignalSummary",
    "TableSummary",
    "ToolVersions",
    "pack_bundle",
    "pack_forest",
    "read_bundle",
    "read_forest",
    "write_bundle",
    "write_forest",
    "write_signatures",
]
