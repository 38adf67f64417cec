"""The running plan: for each device what runs there, and what the plan gives it next."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapreplace
from typing import Any

from acesniper.api.pod import PodView
from acesniper.domain.backlog import Promise
from acesniper.domain.device import DeviceId
from acesniper.policies.plan import Plan

Json = dict[str, Any]
MOST_BARS = 40
"""Tasks of a device that are told one by one; what comes later is told as a number."""


@dataclass(frozen=True, slots=True)
class PlanSight:
    """A plan, when it was made, and what runs; seconds since the epoch."""

    now_s: float
    plan: Plan
    made_s: float
    running: Sequence[tuple[Promise, PodView | None]]
    slots: Mapping[DeviceId, int]

    def page(self, offset: int, limit: int, search: str = "") -> Json:
        """The devices with work, the one that is free last first."""
        bars = self._bars()
        devices = sorted(
            (each for each in bars if search.lower() in each.lower()),
            key=lambda each: (-max(bar["end"] for bar in bars[each]), each),
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
                    "bars": bars[each][:MOST_BARS],
                    "more": max(len(bars[each]) - MOST_BARS, 0),
                    "free": max(bar["end"] for bar in bars[each]),
                }
                for each in devices[offset : offset + limit]
            ],
        }

    def _bars(self) -> dict[str, list[Json]]:
        found: dict[str, list[Json]] = {}
        for device, bar in (*self._of_running(), *self._of_planned()):
            found.setdefault(device, []).append(bar)
        return found

    def _of_running(self) -> Iterable[tuple[str, Json]]:
        for promise, pod in self.running:
            left_s = promise.remaining_s(self.now_s)
            begun_s = self.now_s if promise.started_s is None else promise.started_s
            late = begun_s + promise.expected_s < self.now_s
            name = "" if pod is None else f"{pod.namespace}/{pod.task}" if pod.task else pod.key
            yield (
                promise.device,
                _bar("running", name, pod.model if pod else None, begun_s, self.now_s + left_s)
                | {"late": late},
            )

    def _of_planned(self) -> Iterable[tuple[str, Json]]:
        free_s = self._free_s()
        running = {f"{pod.namespace}/{pod.task}" for _, pod in self.running if pod is not None}
        for each in self.plan.planned:
            if each.task.key in running:
                continue  # admitted since the plan was made
            lanes = free_s.setdefault(each.device.id, [0.0] * each.device.slots)
            start_s = max(self.made_s + each.start_s, lanes[0])
            heapreplace(lanes, start_s + each.busy_s)
            model = each.task.model.partition("/")[2]
            yield (
                each.device.id,
                _bar("planned", each.task.key, model, start_s, start_s + each.busy_s),
            )

    def _free_s(self) -> dict[str, list[float]]:
        """When each slot of the busy devices is free: the plan may be a second old."""
        found: dict[str, list[float]] = {}
        for promise, _ in self.running:
            lanes = found.setdefault(promise.device, [0.0] * self.slots.get(promise.device, 1))
            for _ in range(promise.slots):
                heapreplace(lanes, max(lanes[0], self.now_s) + promise.remaining_s(self.now_s))
        return found


def _bar(kind: str, task: str, model: str | None, start_s: float, end_s: float) -> Json:
    """Times are seconds since the epoch."""
    return {
        "kind": kind,
        "task": task,
        "model": model,
        "start": round(start_s, 1),
        "end": round(end_s, 1),
    }
