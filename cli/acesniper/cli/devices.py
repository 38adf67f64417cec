"""The devices of a cluster as `acesniper top` shows them, worked out from what the API server has.

How long a device is busy is read from the decisions on its pods: what was expected when they were
placed. What the planner only plans is not on any device yet; `acesniper plan` shows that.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import exp, log
from statistics import fmean, median

from acesniper.api.conditions import condition_is_true
from acesniper.api.decision import Decision
from acesniper.api.objects import NodeView, PodView, namespaced_key
from acesniper.api.reasons import ConditionType
from acesniper.api.units import epoch_s
from acesniper.api.v1alpha1 import DeviceProfile

TROUBLES = (ConditionType.STALE, ConditionType.NOISY, ConditionType.DRIFTING)
"""Conditions of a DeviceProfile that should not hold."""


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """A device. Times in seconds; `speed` is over the fleet's median, None before it is known."""

    name: str
    node: str
    provider: str
    slots: int
    speed: float | None
    running: tuple[str, ...]
    busy_s: float
    health: tuple[str, ...]
    profile_age_s: float | None
    text: str
    suite: str
    calibration: str


def rows(
    profiles: Sequence[DeviceProfile],
    nodes: Mapping[str, NodeView],
    pods: Iterable[PodView],
    now_s: float,
) -> list[DeviceRow]:
    """All devices, the fastest first and those without a measurement last."""
    by_device: dict[str, list[PodView]] = {}
    for pod in pods:
        if pod.node and pod.device and not pod.finished:
            by_device.setdefault(pod.device, []).append(pod)
    speed = speeds(profiles)
    made = [
        _row(each, nodes.get(each.spec.node), by_device.get(_name(each), []), speed, now_s)
        for each in profiles
    ]
    return sorted(made, key=lambda each: (-(each.speed or 0.0), each.name))


def speeds(profiles: Sequence[DeviceProfile]) -> dict[str, float]:
    """How much faster than the fleet's median each measured device is, over all its readings."""
    taken: dict[str, list[float]] = {}
    for profile in profiles:
        for probe, reading in profile.status.readings.items():
            taken.setdefault(probe, []).append(reading.seconds)
    usual = {probe: median(seconds) for probe, seconds in taken.items()}
    return {
        _name(each): exp(
            fmean(log(usual[probe] / got.seconds) for probe, got in each.status.readings.items())
        )
        for each in profiles
        if each.status.readings
    }


def health(profile: DeviceProfile, node: NodeView | None) -> tuple[str, ...]:
    """What is the matter with a device, in single words; nothing if all is well."""
    found = []
    if node is None:
        found.append("NoNode")
    elif not node.schedulable:
        found.append("NodeNotReady")
    if not profile.status.readings:
        found.append("NotMeasured")
    return (
        *found,
        *(each for each in TROUBLES if condition_is_true(profile.status.conditions, each)),
    )


def busy_s(pod: PodView, now_s: float) -> float:
    """Seconds until a pod should be finished, by the decision that it carries."""
    decision = Decision.read(pod.decision)
    if decision is None:
        return 0.0
    return max(decision.decided_at + decision.candidates[0].finish_seconds - now_s, 0.0)


def _row(
    profile: DeviceProfile,
    node: NodeView | None,
    pods: Sequence[PodView],
    speed: Mapping[str, float],
    now_s: float,
) -> DeviceRow:
    status, name = profile.status, _name(profile)
    return DeviceRow(
        name=name,
        node=profile.spec.node,
        provider=profile.spec.provider,
        slots=profile.spec.slots,
        speed=speed.get(name),
        running=tuple(namespaced_key(each.namespace, each.task or each.name) for each in pods),
        busy_s=max((busy_s(each, now_s) for each in pods), default=0.0),
        health=health(profile, node),
        profile_age_s=max(now_s - epoch_s(status.measured_at), 0.0) if status.measured_at else None,
        text=status.text or "",
        suite=" ".join(filter(None, (status.suite, status.suite_version))),
        calibration=status.calibration or "",
    )


def _name(profile: DeviceProfile) -> str:
    return str(profile.metadata["name"])
