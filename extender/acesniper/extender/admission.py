"""What the planner tells the API server: let a pod go, refuse it, or take it back."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from acesniper.api.decision import Decision
from acesniper.api.names import DECISION_ANNOTATION, DEVICE_ANNOTATION, PODS, REFUSED_ANNOTATION
from acesniper.api.objects import PodView
from acesniper.domain.device import Device
from acesniper.domain.errors import AcesniperError
from acesniper.extender.cache.cluster import ClusterCache
from acesniper.extender.cache.decisions import DecisionCache
from acesniper.extender.metrics import ExtenderMetrics
from acesniper.runtime.client import Cluster

log = logging.getLogger(__name__)

MAX_CONCURRENT_REQUESTS = 32


@dataclass(slots=True)
class Admission:
    """Each call is one request; what fails is undone in the ledger, and the next plan goes on."""

    fleet: ClusterCache
    cluster: Cluster
    book: DecisionCache
    metrics: ExtenderMetrics
    _lanes: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(MAX_CONCURRENT_REQUESTS)
    )
    _refusing: set[str] = field(default_factory=set)

    async def admit(self, pod: PodView, device: Device, decision: Decision) -> None:
        """Open the gate of a pod whose slot is reserved."""
        self.book.write(pod.uid, decision)
        annotations = {
            DEVICE_ANNOTATION: device.id,
            DECISION_ANNOTATION: decision.model_dump_json(by_alias=True, exclude={"answered"}),
        }
        told = {"task": decision.task, "pod": pod.uid}
        try:
            async with self._lanes:
                await self.cluster.patch(
                    PODS, pod.name, pod.namespace, admission_patch(pod, device, annotations)
                )
        except AcesniperError as error:
            if not await self._was_admitted(pod):
                # The pod changed or is gone: the reservation falls, the next plan decides anew.
                self.fleet.withdraw(pod)
                self._count("failed", "API server")
                log.warning("not admitted: %s", error, extra=told)
                return
        self._count("planned")
        log.info("admitted: %s", decision.sentence(), extra=told)

    async def _was_admitted(self, pod: PodView) -> bool:
        """Whether a request that failed did its work all the same, as far as anyone can tell.

        While nobody can, the slot stays reserved: the reservation expires by itself.
        """
        try:
            found = await self.cluster.get(PODS, pod.name, pod.namespace)
        except AcesniperError:
            return True
        if found is None:
            return False
        now = PodView.of(found)
        return now.uid == pod.uid and not now.gated

    async def refuse(self, pod: PodView, reason: str) -> None:
        """Tell the operator, by an annotation, that a task's deadline is out of reach."""
        if pod.uid in self._refusing:
            return
        self._refusing.add(pod.uid)
        patch = {"metadata": {"annotations": {REFUSED_ANNOTATION: reason}}}
        try:
            await self.cluster.patch(PODS, pod.name, pod.namespace, patch)
        except AcesniperError as error:
            log.warning("not refused: %s", error, extra={"pod": pod.key})
            return
        finally:
            self._refusing.discard(pod.uid)
        self._count("refused", "deadline")

    async def withdraw(self, pod: PodView) -> None:
        """Delete a pod that was admitted and not bound in time, unless it was just now."""
        self._count("expired", "not bound in time")
        log.warning("admitted but not bound in time; withdrawn", extra={"pod": pod.key})
        try:
            await self.cluster.delete(
                PODS, pod.name, pod.namespace, uid=pod.uid, version=pod.resource_version
            )
        except AcesniperError as error:
            log.warning("not withdrawn: %s", error, extra={"pod": pod.key})
            self.fleet.renew(pod)

    def _count(self, outcome: str, reason: str = "") -> None:
        self.metrics.decisions.labels("admit", outcome, reason).inc()


def admission_patch(pod: PodView, device: Device, annotations: Mapping[str, str]) -> dict[str, Any]:
    """A merge patch for a gated pod: gate gone, affinity narrowed, reasons written.

    The node's name is ANDed into every term of the pod's own required affinity, which is all the
    API server allows for a gated pod, and not at all later; the resource version makes a pod that
    changed meanwhile a conflict.
    """
    affinity = dict(pod.affinity)
    node_affinity = dict(affinity.get("nodeAffinity") or {})
    required = node_affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    here = {"key": "metadata.name", "operator": "In", "values": [device.node]}
    terms = [
        {**term, "matchFields": [*term.get("matchFields", ()), here]}
        for term in required.get("nodeSelectorTerms") or [{}]
    ]
    node_affinity["requiredDuringSchedulingIgnoredDuringExecution"] = {"nodeSelectorTerms": terms}
    return {
        "metadata": {"resourceVersion": pod.resource_version, "annotations": dict(annotations)},
        "spec": {
            "schedulingGates": [{"name": name} for name in pod.other_gates],
            "affinity": {**affinity, "nodeAffinity": node_affinity},
        },
    }
