"""The bundle file: one archive that holds everything that decides, with every byte accounted for."""

from quickthorn.bundle.archive import Bundle, read_bundle, write_bundle
from quickthorn.bundle.manifest import (
    ABI_VERSION,
    FORMAT_VERSION,
    ForestSummary,
    GoldenShapes,
    GroupSummary,
    Manifest,
    Member,
    PolicySummary,
    SchemaField,
    TableSummary,
    ToolVersions,
)

__all__ = [
    "ABI_VERSION",
    "FORMAT_VERSION",
    "Bundle",
    "ForestSummary",
    "GoldenShapes",
    "GroupSummary",
    "Manifest",
    "Member",
    "PolicySummary",
    "SchemaField",
    "TableSummary",
    "ToolVersions",
    "read_bundle",
    "write_bundle",
]
