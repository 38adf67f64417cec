"""Degraded mode: gates are opened in order of priority and age while the planner is down.

Only as many gates are opened as slots are free, so that no bound pod waits on its node, and none of
a task that no device can run. kube-scheduler places the pods without predictions. The mode ends
when the planner renews its lease; its reservations are computed from the pods that exist.
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
from acesniper.operator.cache import ObjectCache
from acesniper.operator.metrics import OperatorMetrics
from acesniper.operator.queue_order import feasible_tasks
from acesniper.runtime.client import Cluster
from acesniper.runtime.leader_election import ObservedLease

log = logging.getLogger(__name__)

CHECK_INTERVAL_S = 2.0


@dataclass(slots=True)
class DegradedMode:
    """Watches the planner's lease; the planner is down after `patience_s` without a renewal."""

    cluster: Cluster
    store: ObjectCache
    metrics: OperatorMetrics
    namespace: str
    lease: str
    patience_s: float
    clock: Callable[[], float]
    active: bool = False
    _observed: ObservedLease = field(init=False)

    def __post_init__(self) -> None:
        self._observed = ObservedLease(self.clock)

    async def run(self) -> None:
        """Check periodically, forever."""
        while True:
            try:
                await self.check()
            except AcesniperError as error:
                # Without the API server no gate could be opened anyway.
                log.info("the planner's lease cannot be read: %s", error)
            await asyncio.sleep(CHECK_INTERVAL_S)

    async def check(self) -> None:
        """Check the planner's lease; open gates if the planner is down."""
        lease = await self.cluster.get(LEASES, self.lease, self.namespace)
        active = self._observed.unchanged_s(lease) > self.patience_s
        if active is not self.active:
            down = "is down: tasks start in order of priority and age"
            log.warning("the planner %s", down if active else "is up again")
        self.active = active
        self.metrics.planner_down.set(active)
        if active:
            for pod in self._next_pods():
                await self._open_gate(pod)

    def _next_pods(self) -> Iterator[PodView]:
        """The gated pods that fit into the free slots, in order of priority and age."""
        pods = [view for pods in self.store.pods.values() for view, _ in pods.values()]
        # Labels prove nothing: a pod counts if it is on a node, or if the operator made it.
        live = [pod for pod in pods if not pod.finished and (pod.node or self._is_of_task(pod))]
        taken = sum(pod.slots for pod in live if not pod.gated)
        free = self._slots() - taken
        for pod in sorted(self._feasible(filter(_may_be_opened, live)), key=self._order):
            if (free := free - pod.slots) < 0:
                return
            yield pod

    def _is_of_task(self, pod: PodView) -> bool:
        task = self.store.tasks.get(namespaced_key(pod.namespace, str(pod.task)))
        return task is not None and task.status.pod_uid == pod.uid

    def _feasible(self, pods: Iterable[PodView]) -> Iterator[PodView]:
        """The pods whose task some device can run; others would hold a slot forever."""
        by_task = {namespaced_key(pod.namespace, str(pod.task)): pod for pod in pods}
        resources = [self.store.tasks[key] for key in by_task if key in self.store.tasks]
        tasks = [
            convert.to_task(resource, resource.status.model_profile or "") for resource in resources
        ]
        feasible = feasible_tasks(tasks, self.store)
        return (pod for key, pod in by_task.items() if key in feasible)

    def _slots(self) -> int:
        allocatable = (
            node.get("status", {}).get("allocatable") for node in self.store.nodes.values()
        )
        return sum(parse_count((resources or {}).get(SLOT_RESOURCE)) for resources in allocatable)

    def _order(self, pod: PodView) -> tuple[int, str, str]:
        task = self.store.tasks.get(namespaced_key(pod.namespace, str(pod.task)))
        created = str(task.metadata["creationTimestamp"]) if task else ""
        return -pod.priority, created, pod.key

    async def _open_gate(self, pod: PodView) -> None:
        patch = {
            "metadata": {"resourceVersion": pod.resource_version},
            "spec": {"schedulingGates": [{"name": gate} for gate in pod.other_gates]},
        }
        try:
            opened = await self.cluster.patch(PODS, pod.name, pod.namespace, patch)
        except AcesniperError as error:
            log.info("gate of %s not opened: %s", pod.key, error)
            return
        self.store.upsert_pod(opened)
        self.metrics.degraded_admissions.inc()


def _may_be_opened(pod: PodView) -> bool:
    return pod.gated and not pod.deleting and pod.refused is None
