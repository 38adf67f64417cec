"""Admission of gated pods: the requests by which the planner's decisions reach the API server."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from acesniper.api.decision import Decision
from acesniper.api.names import PODS, REFUSED_ANNOTATION
from acesniper.api.objects import PodView
from acesniper.domain.device import Device
from acesniper.domain.errors import AcesniperError
from acesniper.extender.cache.cluster import ClusterCache
from acesniper.extender.cache.decisions import DecisionCache
from acesniper.extender.metrics import ExtenderMetrics
from acesniper.runtime.client import Cluster

log = logging.getLogger(__name__)

MAX_CONCURRENT_REQUESTS = 32


@dataclass(slots=True, kw_only=True)
class Admission:
    """Admits, refuses and withdraws pods, with one request each.

    A request that fails is undone in the ledger, and the next plan decides again.
    """

    cache: ClusterCache
    cluster: Cluster
    decisions: DecisionCache
    metrics: ExtenderMetrics
    _concurrent: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(MAX_CONCURRENT_REQUESTS)
    )
    _refusing: set[str] = field(default_factory=set)

    async def admit(self, pod: PodView, device: Device, decision: Decision) -> bool:
        """Open the gate of a pod whose slot is reserved; return whether it may be open now."""
        self.decisions.put(pod.uid, decision)
        text = decision.model_dump_json(by_alias=True, exclude={"answered"})
        annotations = self.cache.key.annotations(pod.uid, device.id, text)
        fields = {"task": decision.task, "pod": pod.uid}
        try:
            async with self._concurrent:
                await self.cluster.patch(
                    PODS, pod.name, pod.namespace, admission_patch(pod, device, annotations)
                )
        except AcesniperError as error:
            if not await self._may_be_admitted(pod):
                self.cache.cancel_reservation(pod)
                self._count("failed", "API server")
                log.warning("pod not admitted: %s", error, extra=fields)
                return False
        self._count("planned")
        log.info("pod admitted: %s", decision.sentence(), extra=fields)
        return True

    async def refuse(self, pod: PodView, reason: str) -> None:
        """Annotate a pod whose deadline cannot be met; the operator then ends its task."""
        if pod.uid in self._refusing:
            return
        self._refusing.add(pod.uid)
        patch = {"metadata": {"annotations": {REFUSED_ANNOTATION: reason}}}
        try:
            await self.cluster.patch(PODS, pod.name, pod.namespace, patch)
        except AcesniperError as error:
            log.warning("pod not annotated as refused: %s", error, extra={"pod": pod.key})
            return
        finally:
            self._refusing.discard(pod.uid)
        self._count("refused", "deadline")

    async def withdraw(self, pod: PodView) -> None:
        """Delete a pod that was admitted and not bound in time, unless it has changed since."""
        self._count("expired", "not bound in time")
        log.warning("pod withdrawn: not bound in time after its admission", extra={"pod": pod.key})
        try:
            await self.cluster.delete(
                PODS, pod.name, pod.namespace, uid=pod.uid, version=pod.resource_version
            )
        except AcesniperError as error:
            log.warning("pod not withdrawn: %s", error, extra={"pod": pod.key})
            self.cache.renew_reservation(pod)

    async def _may_be_admitted(self, pod: PodView) -> bool:
        """Whether a request that failed may have taken effect.

        While that is unknown the slot stays reserved, until the reservation expires.
        """
        try:
            manifest = await self.cluster.get(PODS, pod.name, pod.namespace)
        except AcesniperError:
            return True
        if manifest is None:
            return False
        current = PodView.of(manifest)
        return current.uid == pod.uid and not current.gated

    def _count(self, outcome: str, reason: str = "") -> None:
        self.metrics.decisions.labels("admit", outcome, reason).inc()


def admission_patch(pod: PodView, device: Device, annotations: Mapping[str, str]) -> dict[str, Any]:
    """Return the merge patch that admits a gated pod to the node of a device.

    It removes the gate, narrows the node affinity and writes the annotations. The node's name is
    added to every term of the pod's required affinity; the API server allows nothing else for a
    gated pod, and nothing at all later. With the resource version, a pod that changed in the
    meantime is a conflict.
    """
    affinity = dict(pod.affinity)
    node_affinity = dict(affinity.get("nodeAffinity") or {})
    required = node_affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    on_node = {"key": "metadata.name", "operator": "In", "values": [device.node]}
    terms = [
        {**term, "matchFields": [*term.get("matchFields", ()), on_node]}
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
