"""What the operator does while no planner is there: open gates, first come, first served.

Only as many as slots are free, so that nothing is bound that must wait on a node, and none that no
device can run. kube-scheduler places them by its other plugins. The planner's return ends it: its
ledger counts what it finds.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from acesniper.api import convert
from acesniper.api.names import LEASES, PODS, SLOT_RESOURCE
from acesniper.api.objects import PodView, namespaced_key
from acesniper.api.units import parse_count
from acesniper.domain.errors import AcesniperError
from acesniper.operator.admission_window import feasible_tasks
from acesniper.operator.cache import ObjectCache
from acesniper.operator.metrics import OperatorMetrics
from acesniper.runtime.client import Cluster
from acesniper.runtime.leader_election import ObservedLease

log = logging.getLogger(__name__)

LOOK_S = 2.0


@dataclass(slots=True)
class DegradedMode:
    """Watches the planner's lease; `patience_s` is how long it may stay unchanged."""

    cluster: Cluster
    store: ObjectCache
    metrics: OperatorMetrics
    namespace: str
    lease: str
    patience_s: float
    clock: Callable[[], float]
    away: bool = False
    _staleness: ObservedLease = field(init=False)

    def __post_init__(self) -> None:
        self._staleness = ObservedLease(self.clock)

    async def run(self) -> None:
        """Look for ever."""
        while True:
            try:
                await self.look()
            except AcesniperError as error:
                # Without the API server nobody can open a gate anyway.
                log.info("the planner's lease cannot be read: %s", error)
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """See whether the planner is there; stand in for it if not."""
        found = await self.cluster.get(LEASES, self.lease, self.namespace)
        away = self._staleness.unchanged_s(found) > self.patience_s
        if away is not self.away:
            told = "is away: tasks start first come, first served" if away else "is back"
            log.warning("the planner %s", told)
        self.away = away
        self.metrics.planner_away.set(away)
        if away:
            for pod in self._next():
                await self._open(pod)

    def _next(self) -> Iterator[PodView]:
        """The gated pods whose turn it is."""
        pods = [view for each in self.store.pods.values() for view, _ in each.values()]
        live = [each for each in pods if not each.finished]
        taken = sum(each.slots for each in live if not each.gated)
        free = self._slots() - taken
        for pod in sorted(self._suited(filter(_may_go, live)), key=self._turn):
            if (free := free - pod.slots) < 0:
                return
            yield pod

    def _suited(self, pods: Iterable[PodView]) -> Iterator[PodView]:
        """Those whose task suits a device; others would hold a slot and wait for ever."""
        by_task = {namespaced_key(pod.namespace, str(pod.task)): pod for pod in pods}
        known = [self.store.tasks[key] for key in by_task if key in self.store.tasks]
        tasks = [convert.to_task(each, each.status.model_profile or "") for each in known]
        able = feasible_tasks(tasks, self.store)
        return (pod for key, pod in by_task.items() if key in able)

    def _slots(self) -> int:
        offered = (node.get("status", {}).get("allocatable") for node in self.store.nodes.values())
        return sum(parse_count((each or {}).get(SLOT_RESOURCE)) for each in offered)

    def _turn(self, pod: PodView) -> tuple[int, str, str]:
        task = self.store.tasks.get(namespaced_key(pod.namespace, str(pod.task)))
        created = str(task.metadata["creationTimestamp"]) if task else ""
        return -pod.priority, created, pod.key

    async def _open(self, pod: PodView) -> None:
        patch = {
            "metadata": {"resourceVersion": pod.resource_version},
            "spec": {"schedulingGates": [{"name": each} for each in pod.other_gates]},
        }
        try:
            opened = await self.cluster.patch(PODS, pod.name, pod.namespace, patch)
        except AcesniperError as error:
            log.info("gate of %s not opened: %s", pod.key, error)
            return
        self.store.take_pod(opened)
        self.metrics.opened_without_plan.inc()


def _may_go(pod: PodView) -> bool:
    return pod.gated and not pod.deleting and pod.refused is None
