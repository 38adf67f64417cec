"""The devices of a cluster, what each model takes on them, and what they are promised."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from heapq import heapreplace

from acesniper.domain.device import Device, DeviceId
from acesniper.domain.prediction import Prediction
from acesniper.domain.task import ModelKey


def slots_free_s(busy_s: Iterable[float], slots: int) -> list[float]:
    """Seconds until each slot is free, soonest first, given what each pod has left.

    More pods than slots share the slots: each slot's wait is the sum of its queue.
    """
    free_s = [0.0] * slots
    for remaining_s in busy_s:
        heapreplace(free_s, free_s[0] + remaining_s)
    return sorted(free_s)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One frozen view of the fleet at `now_s`, for one decision.

    `latency[model][device]` is the predicted latency of one inference; a missing pair is unknown.
    `busy_s[device]` holds the remaining seconds of each pod on it, shortest first.
    `labels[device]` are the labels of its node. `cold_start_s` is from binding to the first
    inference.
    """

    now_s: float
    devices: Mapping[DeviceId, Device]
    latency: Mapping[ModelKey, Mapping[DeviceId, Prediction]]
    busy_s: Mapping[DeviceId, tuple[float, ...]]
    labels: Mapping[DeviceId, Mapping[str, str]]
    cold_start_s: float = 0.0

    def slot_free_s(self, device: Device) -> list[float]:
        """For each slot of a device, the seconds until it is free, soonest first."""
        return slots_free_s(self.busy_s.get(device.id, ()), device.slots)
