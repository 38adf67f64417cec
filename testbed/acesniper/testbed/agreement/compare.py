"""Creates generated pairs on a control plane, and compares kube-scheduler's answers with ours."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from acesniper.api.names import NODES, PODS, STORAGE_CLASSES, VOLUME_CLAIMS, Kind
from acesniper.api.objects import Json, object_key
from acesniper.api.pod_rules import node_rules, pod_requests, pod_rules
from acesniper.api.volume_rules import VOLUME_KINDS, VolumeIndex
from acesniper.domain.errors import Conflict
from acesniper.domain.prediction import Feasibility
from acesniper.policies.feasibility import node_verdict
from acesniper.runtime.client import Cluster
from acesniper.testbed.agreement.pairs import (
    OVERHEAD_CLASS,
    UNBOUND_CLASSES,
    Pair,
    storage_class_manifest,
)
from acesniper.testbed.control_plane import ControlPlane
from acesniper.testbed.errors import NotReady

RUNTIME_CLASSES = Kind("/apis/node.k8s.io/v1", "runtimeclasses", namespaced=False)
SELECTED_NODE = "volume.kubernetes.io/selected-node"
CONCURRENT = 16
POLL_S = 0.5
PATIENCE_S = 240.0


@dataclass(frozen=True, slots=True)
class Comparison:
    """What kube-scheduler did with a pair, with its message, and what is computed here."""

    pair: Pair
    bound: bool
    message: str
    verdict: Feasibility

    @property
    def agrees(self) -> bool:
        """Whether both say the same."""
        return self.bound == self.verdict.feasible


def compare(plane: ControlPlane, namespace: str, pairs: Sequence[Pair]) -> list[Comparison]:
    """Create the pairs, wait for the scheduler's answers, and compare them; then delete all.

    Raises:
        NotReady: some pods have no answer after `PATIENCE_S`.
    """

    async def run() -> list[Comparison]:
        async with Cluster.connect(plane.kubeconfig()) as cluster:
            comparing = _Comparing(cluster, namespace, pairs)
            try:
                return await comparing.run()
            finally:
                await comparing.clean_up()

    return asyncio.run(run())


@dataclass(frozen=True, slots=True)
class _Comparing:
    cluster: Cluster
    namespace: str
    pairs: Sequence[Pair]

    async def run(self) -> list[Comparison]:
        await self._create_classes()
        await self._create((NODES, pair.node) for pair in self.pairs)
        await self._create(entry for pair in self.pairs for entry in pair.objects)
        await self._create((PODS, pair.other) for pair in self.pairs if pair.other)
        await self._until(self._settled)
        pods = await self._listed(PODS)
        before = self._verdicts(await self._nodes(), pods, await self._volumes())
        await self._create((PODS, pair.pod) for pair in self.pairs)
        await self._until(self._answered)
        pods, claims = await self._listed(PODS), await self._listed(VOLUME_CLAIMS)
        return [
            Comparison(pair, *_answer(pods, claims, pair), before[pair.number])
            for pair in self.pairs
        ]

    async def clean_up(self) -> None:
        """Delete the pods, volumes and nodes of this run."""
        for pair in self.pairs:
            names = [(PODS, pair.pod), (PODS, pair.other), *pair.objects, (NODES, pair.node)]
            for kind, manifest in names:
                if manifest is not None:
                    metadata = manifest["metadata"]
                    await self.cluster.delete(
                        kind, metadata["name"], metadata.get("namespace"), grace_s=0
                    )

    def _verdicts(
        self, nodes: Mapping[str, Json], pods: Mapping[str, Json], volumes: VolumeIndex
    ) -> dict[int, Feasibility]:
        verdicts = {}
        for pair in self.pairs:
            name = pair.pod["metadata"]["name"]
            other = pods.get(f"{self.namespace}/{name}-other")
            requested = pod_requests(other["spec"], other.get("status")) if other else {}
            spec = _defaulted(pair.pod["spec"])
            rules = pod_rules(self.namespace, name, spec)
            verdicts[pair.number] = node_verdict(rules, node_rules(nodes[name]), volumes, requested)
        return verdicts

    async def _create_classes(self) -> None:
        topology, immediate = UNBOUND_CLASSES["topology"], UNBOUND_CLASSES["immediate"]
        overhead = {"podFixed": {"cpu": "250m", "memory": "128Mi"}}
        classes: list[tuple[Kind, Json]] = [
            *(
                (
                    STORAGE_CLASSES,
                    storage_class_manifest(f"{topology}-{zone}", provisioner="none", zone=zone),
                )
                for zone in "ab"
            ),
            (
                STORAGE_CLASSES,
                storage_class_manifest(immediate, provisioner="none", mode="Immediate"),
            ),
            (
                RUNTIME_CLASSES,
                {
                    "apiVersion": "node.k8s.io/v1",
                    "kind": "RuntimeClass",
                    "metadata": {"name": OVERHEAD_CLASS},
                    "handler": "runc",
                    "overhead": overhead,
                },
            ),
        ]
        for kind, manifest in classes:
            with suppress(Conflict):
                await self.cluster.create(kind, manifest)

    async def _create(self, objects: Iterable[tuple[Kind, Json]]) -> None:
        limit = asyncio.Semaphore(CONCURRENT)

        async def create(kind: Kind, manifest: Json) -> None:
            async with limit:
                await self.cluster.create(kind, manifest, manifest["metadata"].get("namespace"))

        async with asyncio.TaskGroup() as group:
            for kind, manifest in objects:
                group.create_task(create(kind, manifest))

    async def _until(self, reached: Callable[[], Awaitable[list[str]]]) -> None:
        loop = asyncio.get_running_loop()
        end_s = loop.time() + PATIENCE_S
        while missing := await reached():
            if loop.time() > end_s:
                raise NotReady(f"not settled in time: {', '.join(missing[:10])}")
            await asyncio.sleep(POLL_S)

    async def _settled(self) -> list[str]:
        """Nodes that are not Ready, and claims that are not bound to the volume they name."""
        nodes, claims = await self._nodes(), await self._listed(VOLUME_CLAIMS)
        waiting = [
            name
            for pair in self.pairs
            if not _is_usable(nodes.get(name := pair.node["metadata"]["name"]))
        ]
        waiting += [
            key
            for key, claim in claims.items()
            if claim["spec"].get("volumeName") and claim["status"].get("phase") != "Bound"
        ]
        volumes, _ = await self.cluster.list(VOLUME_KINDS[1])
        return waiting + [
            volume["metadata"]["name"]
            for volume in volumes
            if volume["status"].get("phase") not in ("Available", "Bound")
        ]

    async def _answered(self) -> list[str]:
        """Pods about which kube-scheduler has not decided."""
        pods, claims = await self._listed(PODS), await self._listed(VOLUME_CLAIMS)
        return [
            pair.pod["metadata"]["name"]
            for pair in self.pairs
            if not any(_answer(pods, claims, pair))
        ]

    async def _nodes(self) -> dict[str, Json]:
        nodes, _ = await self.cluster.list(NODES)
        return {node["metadata"]["name"]: node for node in nodes}

    async def _listed(self, kind: Kind) -> dict[str, Json]:
        objects, _ = await self.cluster.list(kind, self.namespace)
        return {object_key(obj): obj for obj in objects}

    async def _volumes(self) -> VolumeIndex:
        index = VolumeIndex()
        for kind in VOLUME_KINDS:
            for obj in (await self.cluster.list(kind))[0]:
                index.apply(kind, obj, deleted=False)
        return index


def _answer(pods: Mapping[str, Json], claims: Mapping[str, Json], pair: Pair) -> tuple[bool, str]:
    """Whether a pod was given its node, and the scheduler's message if not; "" before it."""
    key = object_key(pair.pod)
    pod = pods.get(key)
    if pod is None:
        return True, "bound and evicted since"
    if pod["spec"].get("nodeName"):
        return True, ""
    annotations = claims.get(key, {}).get("metadata", {}).get("annotations") or {}
    if SELECTED_NODE in annotations:
        return True, ""  # bound once a provisioner, which the testbed lacks, has made the volume
    for condition in pod.get("status", {}).get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return False, str(condition.get("message") or condition.get("reason"))
    return False, ""


def _is_usable(node: Json | None) -> bool:
    """Whether a node is Ready and has lost the taint of a new one."""
    if node is None:
        return False
    conditions = {item["type"]: item["status"] for item in node["status"].get("conditions") or ()}
    taints = [taint["key"] for taint in node["spec"].get("taints") or ()]
    return conditions.get("Ready") == "True" and "node.kubernetes.io/not-ready" not in taints


def _defaulted(spec: Json) -> Json:
    """A spec with the overhead that admission in the API server adds."""
    if spec.get("runtimeClassName") != OVERHEAD_CLASS:
        return spec
    return {**spec, "overhead": {"cpu": "250m", "memory": "128Mi"}}
