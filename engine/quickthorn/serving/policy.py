"""A bundle's calibration and policy as the native engine takes them: places instead of names."""

from __future__ import annotations

from typing import Any, Final

from quickthorn.bundle import Bundle, Manifest
from quickthorn.bundle.manifest import CALIBRATION
from quickthorn.calibration.link import Link
from quickthorn.decision import STATUSES, Fallback, Policy, Reason, Thresholds

# A bundle without a policy gives scores, which all lead to the one outcome there is; nothing asks for it.
_NO_POLICY: Final = Policy(
    outcomes=("none", "scored"), thresholds=Thresholds(least={"scored": 0.0}), fallback=Fallback(invalid="none")
)


def policy_of(manifest: Manifest) -> Policy:
    """The bundle's policy, or what stands for one."""
    return manifest.policy if manifest.policy is not None else _NO_POLICY


def decision_parts(bundle: Bundle) -> dict[str, Any]:
    """What the native engine is told of how margins become scores and scores become decisions."""
    manifest = bundle.manifest
    policy, forest = policy_of(manifest), manifest.forest
    return {
        "link": forest.link.value if forest else "identity",
        "link_scale": forest.link_scale if forest else 1.0,
        "knots": bundle.members[CALIBRATION] if manifest.calibration else None,
        "scores_are_probabilities": scores_are_probabilities(manifest),
        "policy": _places(policy),
        "reasons": _reasons(manifest, policy),
        "outcomes": list(policy.outcomes),
        "rules": list(policy.rule_names),
        "features": list(manifest.features),
    }


def scores_are_probabilities(manifest: Manifest) -> bool:
    """Whether a score has a place on the aligned scale."""
    return manifest.calibration is not None or (manifest.forest is not None and manifest.forest.link is Link.SIGMOID)


def _reasons(manifest: Manifest, policy: Policy) -> dict[str, Any] | None:
    if manifest.reasons is None:
        return None
    return {
        "code_of": manifest.reasons.codes_of(manifest.features),
        "codes": [(reason.code, reason.text) for reason in manifest.reasons.reason],
        "most": manifest.reasons.most,
        "outcomes": sum(1 << policy.outcomes.index(outcome) for outcome in set(policy.explained_outcomes)),
        "type": Reason,
    }


def _places(policy: Policy) -> dict[str, Any]:
    place = policy.outcomes.index
    exploration = policy.exploration
    return {
        "outcome_count": len(policy.outcomes),
        "thresholds": _steps(policy, policy.thresholds),
        "segments": [_steps(policy, policy.thresholds_of(segment)) for segment in policy.segment],
        "rules": [place(outcome) for _, outcome in policy.rules],
        "caps": [place(cap.outcome) for cap in policy.caps],
        "fallback": [
            None if (outcome := policy.fallback_of(status)) is None else place(outcome) for status in STATUSES
        ],
        "unscored": place(policy.unscored),
        "exploration_share": exploration.share if exploration else 0.0,
        "exploration_outcome": place(exploration.outcome) if exploration else 0,
        "exploration_instead_of": sum(1 << place(outcome) for outcome in set(exploration.of)) if exploration else 0,
        "exploration_seed": exploration.seed if exploration else 0,
    }


def _steps(policy: Policy, thresholds: Thresholds) -> dict[str, Any]:
    """The severest outcome first: the first threshold that is reached decides."""
    steps = [(thresholds.least[name], place) for place, name in enumerate(policy.outcomes) if name in thresholds.least]
    return {"on": thresholds.on, "steps": steps[::-1]}
