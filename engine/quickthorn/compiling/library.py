"""The shared library: lowered feature kernels, the emitted forest, or both, behind one entry of the C ABI."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from quickthorn.compiling.cache import Cache
from quickthorn.compiling.identity import content_identity
from quickthorn.compiling.toolchain import (
    COMPILE_FLAGS,
    CONTRIBUTION_FLAGS,
    LINK_FLAGS,
    Compiler,
    machine_of,
    target_flags,
    target_vectors,
)
from quickthorn.decision.emission import emit_conditions
from quickthorn.errors import ToolchainError
from quickthorn.forest.explanation_emission import emit_contributions
from quickthorn.forest.treelet_emission import emit_fastest
from quickthorn.native import _native

if TYPE_CHECKING:
    from quickthorn.decision.compiled import Conditions
    from quickthorn.features.lowering import ComponentLayout, GroupLayout, LoweredFeatures, SignalLayout
    from quickthorn.forest.emission import ForestSource, Vectors
    from quickthorn.forest.ensemble import Ensemble

_ENTRY = """\
#include "library_abi.h"

{conditions}
extern "C" {{
{declarations}
}}

namespace {{
{tables}
{groups}
{components}
{signals}
{forest}
{policy}
}}  // namespace

extern "C" [[gnu::visibility("default")]] const quickthorn_library quickthorn_library_entry;
const quickthorn_library quickthorn_library_entry = {{
    QUICKTHORN_ABI_VERSION, sizeof(quickthorn_library),
    {slots}u, {group_count}u, {values}u, {feature_count}u, {hashed_count}u, {component_count}u, {fraud_count}u,
    {signal_count}u,
    {hashed}, {group_table}, {component_table}, {looked_up}, {signal_table},
    {derive}, {forest_entry}, {policy_entry},
}};
"""

_FOREST = """\
const quickthorn_forest forest = {{
    {features}u, {trees}u, {outputs}u, 0u,
    quickthorn_forest_margin, quickthorn_forest_margins, quickthorn_forest_margins_f32,
    quickthorn_forest_leaves, quickthorn_forest_batch, quickthorn_forest_batch_f32,
    {contributions},
}};"""

_FOREST_DECLARATIONS = (
    "double quickthorn_forest_margin(const double*);",
    "void quickthorn_forest_margins(const double*, double*);",
    "void quickthorn_forest_margins_f32(const float*, double*);",
    "void quickthorn_forest_leaves(const double*, int32_t*);",
    "void quickthorn_forest_batch(const double*, ptrdiff_t, ptrdiff_t, uint64_t, double*);",
    "void quickthorn_forest_batch_f32(const float*, ptrdiff_t, ptrdiff_t, uint64_t, double*);",
)
_CONTRIBUTIONS = "quickthorn_forest_contributions"

_DECLARATIONS = {
    "fill": "void {symbol}(const quickthorn_slot*, const void*, void*);",
    "read": "void {symbol}(void*, void*, const void*, int64_t, int64_t, int64_t, int64_t, int64_t, "
    "const quickthorn_slot*, const void*, const quickthorn_known_frauds*, double*);",
    "absorb": "void {symbol}(void*, const void*, int64_t, int64_t);",
    "release": "void {symbol}(void*, const void*, int64_t, int64_t);",
    "fold": "void {symbol}(void*, const void*, int64_t, int64_t, int64_t);",
    "label": "void {symbol}(void*, const void*, int64_t, int64_t, int64_t);",
}


def include_directory() -> Path:
    """Where the headers lie that a bundle's library is compiled against: beside the native module."""
    directory = Path(_native.__file__).parent / "include"
    if not (directory / "library_abi.h").is_file():
        raise ToolchainError(f"headers: expected library_abi.h in {directory}, found none; install quickthorn again")
    return directory


def link_libraries(
    compilers: Mapping[str, Compiler],
    features: Mapping[str, LoweredFeatures],
    forest: Ensemble | None,
    cache: Cache,
    *,
    contributions: bool = False,
    conditions: Conditions | None = None,
) -> dict[str, bytes]:
    """The shared library for every CPU level that there is a compiler for, as ELF images; same inputs, same bytes.

    It holds ``features``, which were lowered for each of the levels' machines, a forest, or both; with
    ``contributions``, the forest's contributions too, and the ``conditions`` of a policy.
    """
    emitted: dict[Vectors, dict[str, ForestSource]] = {}
    for vectors in dict.fromkeys(map(target_vectors, compilers)):
        emitted[vectors] = {"forest": emit_fastest(forest, vectors)} if forest is not None else {}
        if forest is not None and contributions:
            emitted[vectors]["contributions"] = emit_contributions(forest, vectors)
    # What describes the features is the same for every machine; their code is not.
    layout = next(iter(features.values()), None)
    entry = entry_source(layout, forest, contributions=contributions, conditions=conditions)
    # As many at once as there are processors: each is a process of its own, and this one only waits.
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        images = pool.map(
            lambda target: _linked(
                compilers[target],
                target,
                entry,
                features.get(machine_of(target)),
                emitted[target_vectors(target)],
                cache,
            ),
            compilers,
        )
        return dict(zip(compilers, images, strict=True))


def _linked(
    compiler: Compiler,
    target: str,
    entry: str,
    features: LoweredFeatures | None,
    forest: dict[str, ForestSource],
    cache: Cache,
) -> bytes:
    identity = content_identity(
        "library",
        compiler.identity,
        (*COMPILE_FLAGS, *target_flags(target), *CONTRIBUTION_FLAGS, *LINK_FLAGS),
        _headers(),
        entry,
        features.object_bytes if features is not None else None,
        *((name, source.cpp, source.tables, source.assembly("tables.bin")) for name, source in forest.items()),
    )
    return cache.get(identity, bytes, lambda: _link_library(compiler, target, entry, features, forest))


def _headers() -> tuple[tuple[str, bytes], ...]:
    """What the sources include, by name."""
    return tuple((path.name, path.read_bytes()) for path in sorted(include_directory().glob("*.h*")))


def _link_library(
    compiler: Compiler, target: str, entry: str, features: LoweredFeatures | None, forest: dict[str, ForestSource]
) -> bytes:
    with tempfile.TemporaryDirectory(prefix="quickthorn-") as scratch:
        directory = Path(scratch)
        (directory / "entry.cpp").write_text(entry, encoding="utf-8")
        sources, objects = ["entry.cpp"], []
        if features is not None:
            (directory / "features.o").write_bytes(features.object_bytes)
            objects.append("features.o")
        for name, emitted in forest.items():
            (directory / f"{name}.cpp").write_text(emitted.cpp, encoding="utf-8")
            (directory / f"{name}.bin").write_bytes(emitted.tables)
            (directory / f"{name}.S").write_text(emitted.assembly(f"{name}.bin"), encoding="utf-8")
            sources += [f"{name}.cpp", f"{name}.S"]
        flags = [*COMPILE_FLAGS, *target_flags(target)]
        for source in sources:
            own = CONTRIBUTION_FLAGS if source == "contributions.cpp" else ()
            compiler.run([*flags, *own, "-I", str(include_directory()), "-c", source, "-o", f"{source}.o"], directory)
        objects = [*(f"{source}.o" for source in sources), *objects]
        compiler.run([*LINK_FLAGS, *objects, "-lm", "-o", "library.so"], directory)
        return (directory / "library.so").read_bytes()


def entry_source(
    features: LoweredFeatures | None,
    forest: Ensemble | None,
    *,
    contributions: bool = False,
    conditions: Conditions | None = None,
) -> str:
    """The C++ text of the library's entry: one constant structure that names everything else."""
    groups = features.groups if features is not None else ()
    declared = [
        _DECLARATIONS[role].format(symbol=symbol)
        for group in groups
        for role in _DECLARATIONS
        if (symbol := getattr(group, role)) is not None
    ]
    components = features.components if features is not None else ()
    declared += [
        f"void {component.read}(const quickthorn_member*, int64_t, int64_t, double*);" for component in components
    ]
    signals = features.signals if features is not None else ()
    declared += [f"void {signal.read}(const void*, int64_t, int64_t, double*);" for signal in signals]
    if features is not None:
        declared.append("void quickthorn_derive(const quickthorn_slot*, const double*, double*);")
    if forest is not None:
        declared += _FOREST_DECLARATIONS
        if contributions:
            declared.append(f"void {_CONTRIBUTIONS}(const double*, double*);")
    tables = [_numbers(f"entities_{index}", group.entity_slots) for index, group in enumerate(groups)]
    tables += [
        _numbers(f"windows_{index}", group.window_offsets) for index, group in enumerate(groups) if group.window_offsets
    ]
    tables += [_numbers(f"linked_{index}", component.entity_slots) for index, component in enumerate(components)]
    hashed_slots = features.hashed_slots if features is not None else ()
    if hashed_slots:
        tables.append(_numbers("hashed_slots", hashed_slots))
    fraud_slots = features.fraud_slots if features is not None else ()
    if fraud_slots:
        tables.append(_numbers("fraud_slots", fraud_slots))
    linked = ",\n".join(_component_row(index, component) for index, component in enumerate(components))
    rows = ",\n".join(_group_row(index, group) for index, group in enumerate(groups))
    return _ENTRY.format(
        declarations="\n".join(declared),
        tables="\n".join(tables),
        groups=f"const quickthorn_group groups[] = {{\n{rows}\n}};" if groups else "",
        components=f"const quickthorn_component components[] = {{\n{linked}\n}};" if components else "",
        signals=_signal_rows(signals),
        forest=_forest_structure(forest, contributions) if forest is not None else "",
        slots=features.slot_count if features is not None else 0,
        group_count=len(groups),
        component_count=len(components),
        values=features.value_count if features is not None else 0,
        feature_count=features.feature_count if features is not None else forest.feature_count if forest else 0,
        hashed_count=len(hashed_slots),
        hashed="hashed_slots" if hashed_slots else "nullptr",
        group_table="groups" if groups else "nullptr",
        fraud_count=len(fraud_slots),
        looked_up="fraud_slots" if fraud_slots else "nullptr",
        component_table="components" if components else "nullptr",
        signal_table="signals" if signals else "nullptr",
        signal_count=len(signals),
        derive="quickthorn_derive" if features is not None else "nullptr",
        forest_entry="&forest" if forest is not None else "nullptr",
        conditions=emit_conditions(conditions) if conditions is not None else "",
        policy=_policy_structure(conditions) if conditions is not None else "",
        policy_entry="&policy" if conditions is not None else "nullptr",
    )


def _policy_structure(conditions: Conditions) -> str:
    counts = (len(conditions.rules), len(conditions.caps), len(conditions.segments), int(conditions.uses_aligned_score))
    return (
        f"const quickthorn_policy policy = {{{', '.join(f'{count}u' for count in counts)}, quickthorn_policy_match}};"
    )


def _forest_structure(forest: Ensemble, contributions: bool) -> str:
    return _FOREST.format(
        features=forest.feature_count,
        trees=forest.tree_count,
        outputs=forest.output_count,
        contributions=_CONTRIBUTIONS if contributions else "nullptr",
    )


def _numbers(name: str, numbers: tuple[int, ...]) -> str:
    return f"const uint32_t {name}[] = {{{', '.join(f'{number}u' for number in numbers)}}};"


def _component_row(index: int, component: ComponentLayout) -> str:
    sizes = (len(component.entity_slots), component.cap, component.value_first, component.value_count)
    counts = ", ".join(f"{size}u" for size in sizes)
    return f"    {{linked_{index}, {counts}, {component.read}, {int(component.keeps_labels)}u, 0u}}"


def _signal_rows(signals: tuple[SignalLayout, ...]) -> str:
    if not signals:
        return ""
    rows = []
    for each in signals:
        sizes = (each.source, each.slot_count, each.entity_slot, each.value_first, each.value_count, 0)
        rows.append(f"    {{{', '.join(f'{size}u' for size in sizes)}, {each.read}}}")
    return "const quickthorn_signal signals[] = {\n" + ",\n".join(rows) + "\n};"


def _group_row(index: int, group: GroupLayout) -> str:
    sizes = (
        len(group.entity_slots),
        group.state_bytes,
        group.record_bytes,
        group.row_bytes,
        group.value_first,
        group.value_count,
    )
    windows = f"windows_{index}" if group.window_offsets else "nullptr"
    functions = (group.fill, group.read, group.absorb, group.release, group.fold or "nullptr")
    return (
        f"    {{entities_{index}, {', '.join(f'{size}u' for size in sizes)}, INT64_C({group.horizon_us}), "
        f"{', '.join(functions)}, {windows}, {len(group.window_offsets)}u, {group.label_offset}u, "
        f"{group.label or 'nullptr'}}}"
    )
