"""Invariants that hold after a fault, once no task runs: nothing lost, duplicated or leaked."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from acesniper.api.names import DEVICE_PROFILES, NODES, PODS
from acesniper.api.objects import DecisionKey
from acesniper.extender.cache.cluster import ClusterCache
from acesniper.extender.latency_table import LatencyTable
from acesniper.extender.watch_events import WatchEvents
from acesniper.predictor.factory import default_predictor
from acesniper.runtime.client import Cluster
from acesniper.runtime.skipped import UPSERT
from acesniper.testbed.emulator import Run


@dataclass(frozen=True, slots=True)
class Audit:
    """Violations, one line each; truthy if there are any.

    `lost`: tasks that did not succeed. `duplicated`: more runs than attempts, or runs that share a
    device. `leaked`: pods without a task or that never finished, finalizers, and reservations of
    the planner for which there is no pod.
    """

    lost: Sequence[str]
    duplicated: Sequence[str]
    leaked: Sequence[str]

    def __bool__(self) -> bool:
        """Whether there are violations."""
        return bool(self.lost or self.duplicated or self.leaked)


def audit(
    expected: Iterable[str],
    tasks: Sequence[Mapping[str, Any]],
    pods: Sequence[Mapping[str, Any]],
    runs: Sequence[Run],
    backlogs: Mapping[str, float],
) -> Audit:
    """Audit a namespace to which the tasks `expected` were applied, once nothing runs in it."""
    by_name = {task["metadata"]["name"]: task for task in tasks}
    return Audit(
        lost=[*_lost(expected, by_name)],
        duplicated=[*_repeated(by_name, runs), *_overlaps(runs)],
        leaked=[*_leaked(by_name, pods), *_reserved(backlogs)],
    )


def _lost(expected: Iterable[str], tasks: Mapping[str, Mapping[str, Any]]) -> Iterable[str]:
    for name in expected:
        status = tasks[name].get("status", {}) if name in tasks else {"phase": "missing"}
        if status.get("phase") != "Succeeded":
            yield f"task {name}: {status.get('phase')}: {status.get('message')}"


def _repeated(tasks: Mapping[str, Mapping[str, Any]], runs: Sequence[Run]) -> Iterable[str]:
    for name, number in Counter(run.task for run in runs).items():
        attempts = tasks[name]["status"].get("attempts", 0) + 1 if name in tasks else 0
        if number > attempts:
            yield f"task {name}: {number} runs in {attempts} attempts"


def _overlaps(runs: Sequence[Run]) -> Iterable[str]:
    by_node: dict[str, list[Run]] = {}
    for run in sorted(runs, key=lambda run: run.started_s or 0.0):
        if run.started_s is not None:
            by_node.setdefault(run.node, []).append(run)
    for runs_of_node in by_node.values():
        for first, second in pairwise(runs_of_node):
            if first.finished_s is not None and first.finished_s > (second.started_s or 0.0):
                yield f"pods {first.pod} and {second.pod} ran at the same time on {first.node}"


def _leaked(
    tasks: Mapping[str, Mapping[str, Any]], pods: Sequence[Mapping[str, Any]]
) -> Iterable[str]:
    uids = {task["metadata"]["uid"] for task in tasks.values()}
    for pod in pods:
        metadata, phase = pod["metadata"], pod.get("status", {}).get("phase")
        if not any(owner["uid"] in uids for owner in metadata.get("ownerReferences") or ()):
            yield f"pod {metadata['name']}: no task owns it"
        if phase not in ("Succeeded", "Failed"):
            yield f"pod {metadata['name']}: still {phase}"
    for manifest in (*tasks.values(), *pods):
        if finalizers := manifest["metadata"].get("finalizers"):
            yield f"{manifest['metadata']['name']}: finalizers {', '.join(finalizers)}"


def _reserved(backlogs: Mapping[str, float]) -> Iterable[str]:
    for device, seconds in backlogs.items():
        if seconds > 0:
            yield f"device {device}: {seconds:.1f} s reserved for no pod"


def rebuilt_backlogs(kubeconfig: Path, key: Path) -> Mapping[str, float]:
    """Backlog by device, in seconds, of a ledger built from one list of the API server's objects.

    To compare with the ledger of a running extender.
    """
    return asyncio.run(_rebuild(kubeconfig, DecisionKey.of_file(key)))


async def _rebuild(kubeconfig: Path, key: DecisionKey) -> Mapping[str, float]:
    cache = ClusterCache(LatencyTable(default_predictor()), time.time, key=key)
    events = WatchEvents(cache)
    handlers = (
        (NODES, events.node),
        (DEVICE_PROFILES, events.device_profile),
        (PODS, events.pod),
    )
    async with Cluster.connect(kubeconfig) as cluster:
        for kind, handle in handlers:
            for manifest in (await cluster.list(kind))[0]:
                handle(UPSERT, manifest)
    now_s = time.time()
    return {device.id: cache.ledger.backlog_s(device.id, now_s) for device in cache.devices}
