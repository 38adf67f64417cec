"""Hollow kubelets: one process that reports for many fake nodes, much faster than KWOK.

A bound pod is Running immediately, and Succeeded, with a runner's report, after the latency of its
model on that node: two requests per pod, the minimum that a kubelet sends.
"""

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from acesniper.api.names import LEASES, MODEL_LABEL, PODS, TASK_LABEL
from acesniper.api.objects import Json
from acesniper.api.units import rfc3339
from acesniper.domain.errors import AcesniperError
from acesniper.runtime.client import Cluster
from acesniper.runtime.skipped import DELETE
from acesniper.runtime.watch import Reflector
from acesniper.testbed.emulator import Latencies, inferences_of
from acesniper.testbed.kwok import make_node

LEASE_S = 20.0
"""Interval of each node's heartbeat; a node is NotReady after about 50 s without."""
CONCURRENT_HEARTBEATS = 10
"""On a busy machine, a response can take a second."""


def ready_node(name: str) -> Json:
    """The manifest of a node that is created Ready."""
    node = make_node(name, pods=250, cpu="64", memory="256Gi")
    del node["metadata"]["annotations"]
    now = rfc3339(time.time())
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "played"}
    node["status"]["conditions"] = [{**ready, "lastHeartbeatTime": now, "lastTransitionTime": now}]
    return node


@dataclass(slots=True)
class HollowKubelets:
    """Kubelets of `nodes`; `latencies` are the true seconds of one inference by (node, model).

    `bound_s` and `finished_s` are the times at which each task's pod was first seen bound, and at
    which it ended (seconds since the epoch), by task name.
    """

    cluster: Cluster
    nodes: Sequence[str]
    latencies: Latencies
    bound_s: dict[str, float] = field(default_factory=dict)
    finished_s: dict[str, float] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set)

    async def run(self, ready: asyncio.Event) -> None:
        """Run until cancelled; `ready` is set once pods are watched."""
        async with asyncio.TaskGroup() as group:

            def take(change: str, pod: Json) -> None:
                uid = pod["metadata"]["uid"]
                if change != DELETE and pod["spec"].get("nodeName") and uid not in self._seen:
                    self._seen.add(uid)
                    self.bound_s.setdefault(_task(pod), time.time())
                    group.create_task(self._live(pod))

            reflector = Reflector(self.cluster, PODS, take, labels=TASK_LABEL)
            group.create_task(reflector.run())
            await asyncio.gather(*map(self._beat, self.nodes))
            for number in range(CONCURRENT_HEARTBEATS):
                group.create_task(self._beat_all(self.nodes[number::CONCURRENT_HEARTBEATS]))
            await reflector.synced.wait()
            ready.set()

    async def _live(self, pod: Json) -> None:
        """Report a pod from its binding to its end; ignore it if it was deleted."""
        started_s = time.time()
        latency_s = self.latencies[pod["spec"]["nodeName"], pod["metadata"]["labels"][MODEL_LABEL]]
        count = inferences_of(pod)
        try:
            await self._report(pod, _running(pod, started_s))
            # Not a wait for a condition: this is the emulated run.
            await asyncio.sleep(max(0.0, started_s + count * latency_s - time.time()))
            await self._report(pod, _succeeded(pod, started_s, latency_s, count))
        except AcesniperError:
            return
        self.finished_s[_task(pod)] = time.time()

    async def _report(self, pod: Json, status: Mapping[str, Any]) -> None:
        metadata = pod["metadata"]
        await self.cluster.patch(
            PODS, metadata["name"], metadata["namespace"], {"status": status}, "status"
        )

    async def _beat_all(self, nodes: Sequence[str]) -> None:
        """Renew the leases of some nodes, one after the other, until cancelled."""
        while True:
            for node in nodes:
                await self._beat(node)
                await asyncio.sleep(LEASE_S / len(nodes))

    async def _beat(self, node: str) -> None:
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": node, "namespace": "kube-node-lease"},
            "spec": {"holderIdentity": node, "renewTime": now, "leaseDurationSeconds": 40},
        }
        await self.cluster.patch(LEASES, node, "kube-node-lease", lease, patch_type="apply")


def _task(pod: Mapping[str, Any]) -> str:
    return str(pod["metadata"]["labels"][TASK_LABEL])


def _running(pod: Mapping[str, Any], started_s: float) -> Json:
    started = rfc3339(started_s)
    container = _container(pod) | {"ready": True, "state": {"running": {"startedAt": started}}}
    return {"phase": "Running", "startTime": started, "containerStatuses": [container]}


def _succeeded(pod: Mapping[str, Any], started_s: float, latency_s: float, count: int) -> Json:
    report = {
        "version": 1,
        "model": pod["metadata"]["labels"][MODEL_LABEL],
        "inferences": count,
        "latency_median_s": latency_s,
        "latency_p90_s": latency_s,
        "fetch_s": 0.0,
        "load_s": 0.0,
        "total_s": count * latency_s,
    }
    ended = {
        "exitCode": 0,
        "reason": "Completed",
        "startedAt": rfc3339(started_s),
        "finishedAt": rfc3339(time.time()),
        "message": json.dumps(report),
    }
    container = _container(pod) | {"ready": False, "state": {"terminated": ended}}
    return {"phase": "Succeeded", "containerStatuses": [container]}


def _container(pod: Mapping[str, Any]) -> Json:
    first = pod["spec"]["containers"][0]
    return {"name": first["name"], "image": first["image"], "imageID": "", "restartCount": 0}
