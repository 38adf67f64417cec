"""View of the current plan: what runs on each device, and what is planned there next."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import heapreplace

from acesniper.api.objects import Json, PodView, namespaced_key
from acesniper.domain.device import DeviceId
from acesniper.domain.reservations import Reservation
from acesniper.policies.plan import Plan, PlannedTask

MAX_BARS = 40
"""Tasks of a device that are listed; further ones are only counted."""
Running = tuple[Reservation, PodView | None]
Span = tuple[float, float, Running | PlannedTask]
"""Start and end, in seconds since the epoch, and what occupies the device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanView:
    """A plan with what runs meanwhile; instants are in seconds since the epoch."""

    now_s: float
    plan: Plan
    planned_at_s: float
    running: Sequence[Running]
    slots: Mapping[DeviceId, int]

    def page(self, offset: int, limit: int, search: str = "") -> Json:
        """Return devices with work, those that are busy longest first."""
        spans = self._spans()
        free_s = {
            device: max(end_s for _, end_s, _ in device_spans)
            for device, device_spans in spans.items()
        }
        devices = sorted(
            (device for device in spans if search.lower() in device.lower()),
            key=lambda device: (-free_s[device], device),
        )
        return {
            "matching": len(devices),
            "planned": len(self.plan.planned),
            "unplanned": len(self.plan.unplanned),
            "running": len(self.running),
            "madeAt": round(self.planned_at_s, 2),
            "devices": [
                {
                    "device": device,
                    "bars": [self._bar(*span) for span in spans[device][:MAX_BARS]],
                    "more": max(len(spans[device]) - MAX_BARS, 0),
                    "free": round(free_s[device], 1),
                }
                for device in devices[offset : offset + limit]
            ],
        }

    def _spans(self) -> dict[DeviceId, list[Span]]:
        """By device, what runs and then what is planned. Kept cheap: there may be 10,000 tasks."""
        spans: dict[DeviceId, list[Span]] = {}
        running_tasks: set[str] = set()
        for running in self.running:
            reservation, pod = running
            start_s = self.now_s if reservation.started_s is None else reservation.started_s
            end_s = self.now_s + reservation.remaining_s(self.now_s)
            spans.setdefault(reservation.device, []).append((start_s, end_s, running))
            if pod is not None:
                running_tasks.add(namespaced_key(pod.namespace, str(pod.task)))
        lanes_s = self._lanes_free_s()
        for planned in self.plan.planned:
            if planned.task.key in running_tasks:
                continue  # admitted since the plan was made
            device = planned.device.id
            lanes = lanes_s.setdefault(device, [0.0] * planned.device.slots)
            start_s = max(self.planned_at_s + planned.start_s, lanes[0])
            heapreplace(lanes, start_s + planned.busy_s)
            spans.setdefault(device, []).append((start_s, start_s + planned.busy_s, planned))
        return spans

    def _lanes_free_s(self) -> dict[DeviceId, list[float]]:
        """When each slot of the busy devices is free now: the plan may be a second old."""
        lanes_s: dict[DeviceId, list[float]] = {}
        for reservation, _ in self.running:
            device = reservation.device
            lanes = lanes_s.setdefault(device, [0.0] * self.slots.get(device, 1))
            for _ in range(reservation.slots):
                heapreplace(lanes, max(lanes[0], self.now_s) + reservation.remaining_s(self.now_s))
        return lanes_s

    def _bar(self, start_s: float, end_s: float, content: Running | PlannedTask) -> Json:
        times = {"start": round(start_s, 1), "end": round(end_s, 1)}
        if isinstance(content, PlannedTask):
            model = content.task.model.partition("/")[2]
            return {"kind": "planned", "task": content.task.key, "model": model, **times}
        reservation, pod = content
        name = (
            "" if pod is None else namespaced_key(pod.namespace, pod.task) if pod.task else pod.key
        )
        late = start_s + reservation.expected_s < self.now_s
        model = pod.model or "" if pod else ""
        return {"kind": "running", "task": name, "model": model, "late": late, **times}
