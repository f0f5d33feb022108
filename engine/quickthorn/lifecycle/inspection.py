"""What is in a bundle, as people read it; none of its code is mapped, so it may be one for another processor."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence

import msgspec

from quickthorn.bundle import Bundle, Envelope, GroupSummary, Manifest, SchemaField
from quickthorn.bundle.envelope import Statement
from quickthorn.bundle.event_records import Record
from quickthorn.decision import Policy
from quickthorn.decision.reasons import ReasonMap
from quickthorn.lifecycle.importance import Importances
from quickthorn.signing import Trust

_WIDTH = 100
_WEIGHTS_SHOWN = 20


class Signature(Record, frozen=True, kw_only=True):
    """A signature that a bundle carries.

    ``role``    what it says it was made as; None where that cannot be read
    ``name``    the trust file's name of the key, where a trust file was given and the signature counts; else None
    """

    key_id: str
    role: str | None
    name: str | None = None


def signatures_of(bundle: Bundle, trust: Trust | None = None, origin: str = "bundle") -> tuple[Signature, ...]:
    """The signatures in the file's order: what they say of themselves, and with ``trust`` which of them count.

    SigningError where the bundle is not signed as ``trust`` demands.
    """
    signers = trust.check(bundle, origin) if trust is not None else ()
    names = {(signer.key_id, signer.role): signer.name for signer in signers}
    found = []
    for envelope in bundle.envelopes:
        role = _claimed_role(envelope)
        found.append(Signature(key_id=envelope.key_id, role=role, name=names.get((envelope.key_id, role or ""))))
    return tuple(found)


def describe(bundle: Bundle, signatures: Sequence[Signature], weights: Importances | None) -> Iterator[str]:
    """The lines of a summary."""
    manifest = bundle.manifest
    yield f"bundle     {bundle.bundle_id}"
    yield f"version    {manifest.version}"
    yield f"file       {bundle.size_bytes:,} bytes, for {', '.join(manifest.targets)}"
    yield from _signature_lines(signatures)
    yield ""
    yield f"event {manifest.event}, {len(manifest.schema)} fields"
    yield from (f"  {_field_line(field)}" for field in manifest.schema)
    yield ""
    yield f"features, {len(manifest.features)}"
    yield from _wrapped(manifest.features)
    yield from kept_lines(manifest)
    if manifest.forest is not None:
        yield ""
        yield from forest_lines(manifest)
    if manifest.policy is not None:
        yield ""
        yield from _policy_lines(manifest.policy)
    if manifest.reasons is not None:
        yield ""
        yield from reason_lines(manifest.reasons)
    if weights is not None:
        yield ""
        yield f"importances, {weights.measure}"
        shown = list(weights.features.items())[:_WEIGHTS_SHOWN]
        width = max(len(name) for name, _ in shown)
        yield from (f"  {name:<{width}}  {weight:.4g}" for name, weight in shown)
        if len(weights.features) > len(shown):
            yield f"  and {len(weights.features) - len(shown)} lesser ones"
    yield ""
    yield f"members, {len(manifest.members)}"
    yield from (f"  {member.name:<32}{member.size:>14,} bytes" for member in manifest.members)
    yield ""
    yield from _tool_lines(manifest)


def _claimed_role(envelope: Envelope) -> str | None:
    try:
        statement = msgspec.json.decode(base64.b64decode(envelope.payload, validate=True), type=Statement)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, binascii.Error, ValueError):
        return None
    return statement.predicate.role


def _signature_lines(signatures: Sequence[Signature]) -> Iterator[str]:
    if not signatures:
        yield "signed     by nobody"
    for signature in signatures:
        role = f"as {signature.role}" if signature.role is not None else "in a role that cannot be read"
        by = f"{signature.name}, " if signature.name is not None else ""
        judged = "" if signature.name is not None else " (not held to a trust file)"
        yield f"signed     {role} by {by}key {signature.key_id[:16]}{judged}"


def _field_line(field: SchemaField) -> str:
    parts = [field.kind if field.required else f"{field.kind}, may be missing"]
    if field.kind == "money":
        parts.append("in minor units" if field.minor_units else f"of {field.scale} decimals")
        parts += ["may be negative"] if field.signed else []
    if field.values:
        parts.append(f"{'one of' if field.closed else 'such as'} {_some(field.values)}")
    return f"{field.name}: {', '.join(parts)}"


def kept_lines(manifest: Manifest) -> Iterator[str]:
    """What is kept of whom: the families of features, as far as a manifest knows them."""
    for group in manifest.groups:
        yield f"  by {' × '.join(group.entities)}: {_group_text(group)}"
    for component in manifest.components:
        linked = " and ".join(component.entities)
        yield f"  of what links {linked}: {_counted(component.values, 'value')}, {component.cap} entities at most"
    if manifest.looked_up:
        yield f"  of known frauds among: {', '.join(manifest.looked_up)}"
    for source in manifest.signals:
        fields = ", ".join(field.name for field in source.fields[1:-1])
        yield f"  signals of {source.name} about {source.fields[0].name}: {fields}"
    for table in manifest.tables:
        yield f"  table {table.kind} {table.name}: {_counted(table.entries, 'entry', 'entries')}"
    forgotten = f", forgotten after {_span(manifest.expire_after_us)}" if manifest.expire_after_us else ""
    yield (
        f"  kept: {manifest.row_limit:,} events of an entity at most, late by {_span(manifest.lateness_us)} at most"
        f"{forgotten}; {manifest.remembered_ids:,} event ids against retries"
    )


def _group_text(group: GroupSummary) -> str:
    parts = [_counted(group.values, "value")]
    if group.columns:
        parts.append(f"of {', '.join(group.columns)}")
    if group.horizon_us:
        parts.append(f"back to {_span(group.horizon_us)}")
    if group.labelled:
        parts.append("with labels")
    return ", ".join(parts)


def forest_lines(manifest: Manifest) -> Iterator[str]:
    """The trained model, how its margins become scores, and what it is held to; nothing where there is none."""
    forest, golden, calibration = manifest.forest, manifest.golden, manifest.calibration
    if forest is None or golden is None:
        return
    version = f" {forest.source_version}" if forest.source_version is not None else ""
    sizes = f"{forest.trees:,} trees, {forest.leaves:,} leaves"
    yield f"forest     {forest.source}{version}, {sizes}, link {forest.link.value}"
    if calibration is None:
        yield "scores     what the link makes of margins, not calibrated"
    else:
        rate = f", {calibration.sampling_rate:g} of the legitimate kept" if calibration.sampling_rate != 1.0 else ""
        yield f"scores     calibrated by {calibration.method}, {calibration.knots} knots{rate}"
    explained = f", {golden.explained_rows} of them explained" if golden.explained_rows else ", without contributions"
    yield f"golden     {golden.rows} vectors{explained}; {manifest.golden_events} events"
    if manifest.reference is not None:
        of = "events" if manifest.reference.of == "events" else "rows of features"
        yield f"reference  distributions of {manifest.reference.rows:,} {of}"


def reason_lines(reasons: ReasonMap | None) -> Iterator[str]:
    """The reason map; nothing where there is none."""
    if reasons is None:
        return
    yield f"reasons, {reasons.most} at most, compared with: {reasons.population}"
    for reason in reasons.reason:
        yield f"  {reason.code}: {reason.text} ({', '.join(reason.features)})"


def _policy_lines(policy: Policy) -> Iterator[str]:
    yield f"policy     {' < '.join(policy.outcomes)}"
    for where, thresholds in policy.all_thresholds():
        rising = (outcome for outcome in policy.outcomes if outcome in thresholds.least)
        steps = ", ".join(f"{outcome} from {thresholds.least[outcome]:g}" for outcome in rising)
        yield f"  {where} on {thresholds.on}: {steps}"
    fallbacks = {status: policy.fallback_of(status) for status in ("invalid", "late", "capped", "duplicate")}
    given = ", ".join(f"{status} {outcome}" for status, outcome in fallbacks.items() if outcome is not None)
    yield f"  fallback: {given}, without a score {policy.unscored}"
    for rule, outcome in policy.rules:
        yield f"  {outcome} where {rule.name}: {rule.when}"
    for cap in policy.caps:
        yield f"  at least {cap.outcome} where {cap.name}: {cap.of} above {cap.most:g}"
    for segment in policy.segment:
        yield f"  segment {segment.name}: {segment.when}"
    if policy.exploration is not None:
        of = ", ".join(policy.exploration.of)
        yield f"  exploration: {policy.exploration.share:.2%} of {of} become {policy.exploration.outcome}"
    if policy.kill_switch is not None:
        state = "ENGAGED" if policy.kill_switch.active else "ready"
        yield f"  kill switch: {policy.kill_switch.outcome}, {state}"


def _tool_lines(manifest: Manifest) -> Iterator[str]:
    tools = manifest.tools
    named = (("numpy", tools.numpy), ("numba", tools.numba), ("llvmlite", tools.llvmlite), ("treelite", tools.treelite))
    versions = ", ".join(f"{name} {version}" for name, version in named if version is not None)
    yield f"built by   quickthorn {manifest.quickthorn}, {versions}"
    yield f"compiler   {tools.compiler}"
    yield f"formats    manifest {manifest.format_version}, library ABI {manifest.abi_version}"


def _wrapped(names: Sequence[str]) -> Iterator[str]:
    line = ""
    for place, name in enumerate(names):
        part = name if place + 1 == len(names) else f"{name}, "
        if line and len(line) + len(part) > _WIDTH:
            yield f"  {line.rstrip()}"
            line = ""
        line += part
    yield f"  {line.rstrip()}"


def _some(values: Sequence[str], most: int = 8) -> str:
    listed = ", ".join(values[:most])
    return f"{listed} and {len(values) - most} more" if len(values) > most else listed


def _counted(count: int, one: str, many: str | None = None) -> str:
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def _span(time_us: int) -> str:
    """A span of time in the largest unit that is whole."""
    for unit, unit_us in (("d", 86_400_000_000), ("h", 3_600_000_000), ("min", 60_000_000), ("s", 1_000_000)):
        if time_us and time_us % unit_us == 0:
            return f"{time_us // unit_us:,} {unit}"
    return f"{time_us:,} µs" if time_us else "0 s"
