"""Whether any device can take a task at all: where none can, waiting alone does not help."""

from collections.abc import Iterator

from acesniper.api import convert
from acesniper.api.v1alpha1 import ModelProfile
from acesniper.domain.completion import Verdict
from acesniper.domain.device import DeviceId
from acesniper.operator.sight import Sight
from acesniper.policies.feasibility import judge

TOLD = 3
"""Devices whose reasons are told."""


def nowhere(sight: Sight, name: str, profile: ModelProfile) -> str | None:
    """Why no device can take the task of a model called `name`; None while there is hope."""
    reasons = []
    for device, verdict in _verdicts(sight, name, profile):
        if verdict.feasible or not verdict.lasting:
            return None
        reasons.append(f"{device}: {verdict.reason}")
    if not reasons:
        return None
    others = f"; and {len(reasons) - TOLD} more" if len(reasons) > TOLD else ""
    return f"no device can take it: {'; '.join(reasons[:TOLD])}{others}"


def _verdicts(sight: Sight, name: str, profile: ModelProfile) -> Iterator[tuple[str, Verdict]]:
    """What is to be said of each device whose node is there; none where nodes are not known."""
    features = convert.model_features(profile)
    memory_bytes = features.peak_memory_bytes if features else 0
    task = convert.task(sight.task, name, memory_bytes)
    for each in sight.devices.values():
        node = (sight.nodes or {}).get(each.spec.node)
        if node is not None:
            device = convert.device(each, schedulable=True)
            labels = node.get("metadata", {}).get("labels") or {}
            yield device.id, judge(task, device, {DeviceId(device.id): labels})
