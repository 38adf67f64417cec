"""The running plan: for each device what runs there, and what the plan gives it next."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import heapreplace

from acesniper.api.objects import Json, PodView, namespaced_key
from acesniper.domain.device import DeviceId
from acesniper.domain.reservations import Reservation
from acesniper.policies.plan import Plan, PlannedTask

MAX_BARS = 40
"""Tasks of a device that are told one by one; what comes later is told as a number."""
Running = tuple[Reservation, PodView | None]
Span = tuple[float, float, Running | PlannedTask]
"""Start and end, in seconds since the epoch, and what it is of."""


@dataclass(frozen=True, slots=True)
class PlanView:
    """A plan, when it was made, and what runs; seconds since the epoch."""

    now_s: float
    plan: Plan
    made_s: float
    running: Sequence[Running]
    slots: Mapping[DeviceId, int]

    def page(self, offset: int, limit: int, search: str = "") -> Json:
        """The devices with work, the one that is free last first."""
        spans = self._spans()
        free_s = {device: max(end_s for _, end_s, _ in each) for device, each in spans.items()}
        devices = sorted(
            (each for each in spans if search.lower() in each.lower()),
            key=lambda each: (-free_s[each], each),
        )
        return {
            "matching": len(devices),
            "planned": len(self.plan.planned),
            "unplanned": len(self.plan.unplanned),
            "running": len(self.running),
            "madeAt": round(self.made_s, 2),
            "devices": [
                {
                    "device": each,
                    "bars": [self._bar(*span) for span in spans[each][:MAX_BARS]],
                    "more": max(len(spans[each]) - MAX_BARS, 0),
                    "free": round(free_s[each], 1),
                }
                for each in devices[offset : offset + limit]
            ],
        }

    def _spans(self) -> dict[DeviceId, list[Span]]:
        """By device, what runs before what is planned; cheap for each of ten thousand tasks."""
        found: dict[DeviceId, list[Span]] = {}
        running: set[str] = set()
        for each in self.running:
            promise, pod = each
            begun_s = self.now_s if promise.started_s is None else promise.started_s
            end_s = self.now_s + promise.remaining_s(self.now_s)
            found.setdefault(promise.device, []).append((begun_s, end_s, each))
            if pod is not None:
                running.add(namespaced_key(pod.namespace, str(pod.task)))
        lanes_s = self._free_s()
        for planned in self.plan.planned:
            if planned.task.key in running:
                continue  # admitted since the plan was made
            device = planned.device.id
            lanes = lanes_s.setdefault(device, [0.0] * planned.device.slots)
            start_s = max(self.made_s + planned.start_s, lanes[0])
            heapreplace(lanes, start_s + planned.busy_s)
            found.setdefault(device, []).append((start_s, start_s + planned.busy_s, planned))
        return found

    def _free_s(self) -> dict[DeviceId, list[float]]:
        """When each slot of the busy devices is free: the plan may be a second old."""
        found: dict[DeviceId, list[float]] = {}
        for promise, _ in self.running:
            lanes = found.setdefault(promise.device, [0.0] * self.slots.get(promise.device, 1))
            for _ in range(promise.slots):
                heapreplace(lanes, max(lanes[0], self.now_s) + promise.remaining_s(self.now_s))
        return found

    def _bar(self, start_s: float, end_s: float, of: Running | PlannedTask) -> Json:
        times = {"start": round(start_s, 1), "end": round(end_s, 1)}
        if isinstance(of, PlannedTask):
            model = of.task.model.partition("/")[2]
            return {"kind": "planned", "task": of.task.key, "model": model, **times}
        promise, pod = of
        name = "" if pod is None else f"{pod.namespace}/{pod.task}" if pod.task else pod.key
        late = start_s + promise.expected_s < self.now_s
        model = pod.model or "" if pod else ""
        return {"kind": "running", "task": name, "model": model, "late": late, **times}
