"""The manifest of a forest file: one compiled forest that is called with feature vectors, without events or policy."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from quickthorn.bundle.event_records import Positive, Record, Text, refuse_twice
from quickthorn.bundle.manifest import (
    ABI_VERSION,
    FORMAT_VERSION,
    ForestSummary,
    GoldenShapes,
    Member,
    ToolVersions,
    check_targets,
    library_member,
)


class ForestManifest(Record, frozen=True, kw_only=True):
    """Everything a forest file says about itself. ``members`` is filled in by ``write_forest``.

    ``quickthorn``     the version of this package that built the file
    ``targets``        the CPU levels there is a library for, such as "x86-64-v3", the least demanding first
    ``objective``      what the model was trained for, as its library calls it
    ``features``       how many values a row has
    ``feature_names``  their names in order; None where the model has none
    ``outputs``        how many margins and scores a row has
    ``categories``     per feature, the categories whose codes are 0, 1, 2…, or None; None where no feature has any
    ``unknown_category``  what becomes of a category that is none of them
    """

    kind: Literal["forest"] = "forest"
    format_version: int = FORMAT_VERSION
    abi_version: int = ABI_VERSION
    quickthorn: Text
    targets: Annotated[tuple[Text, ...], Meta(min_length=1)]
    forest: ForestSummary
    objective: Text
    features: Positive
    feature_names: tuple[Text, ...] | None
    outputs: Positive
    categories: tuple[tuple[str | float, ...] | None, ...] | None
    unknown_category: Literal["missing", "refused", "unmatched"]
    golden: GoldenShapes
    tools: ToolVersions
    members: tuple[Member, ...] = ()

    def __post_init__(self) -> None:
        check_targets(self.targets)
        if self.feature_names is not None:
            refuse_twice(self.feature_names, "feature")
            if len(self.feature_names) != self.features:
                raise ValueError(f"feature_names: expected {self.features} names, found {len(self.feature_names)}")
        if self.categories is not None:
            if len(self.categories) != self.features:
                raise ValueError(f"categories: expected {self.features} entries, found {len(self.categories)}")
            for levels in filter(None, self.categories):
                if len(set(levels)) != len(levels):
                    raise ValueError("categories: expected each value of a feature once, found one twice")
        shapes = (self.features, self.forest.trees, self.outputs)
        if (self.golden.features, self.golden.trees, self.golden.outputs) != shapes:
            raise ValueError("golden: expected the features, trees and outputs of the forest, found others")

    def expected_members(self) -> dict[str, int | None]:
        """The members this manifest calls for, with their exact sizes in bytes where the manifest fixes them."""
        return {library_member(target): None for target in self.targets} | self.golden.expected_members()
