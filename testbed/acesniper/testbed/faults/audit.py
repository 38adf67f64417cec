"""What must hold after any fault, once all is quiet: nothing lost, doubled or left behind."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from acesniper.api.names import DEVICE_PROFILES, NODES, PODS
from acesniper.extender.cache.cluster import ClusterCache
from acesniper.extender.latency_table import LatencyTable
from acesniper.extender.watch_events import WatchEvents
from acesniper.predictor.default import default_predictor
from acesniper.runtime.client import Cluster
from acesniper.runtime.watch import UPSERT
from acesniper.testbed.emulator import Run


@dataclass(frozen=True, slots=True)
class Audit:
    """What was found wrong, one line each. All empty: all is well.

    `lost`: tasks that have not ended well. `doubled`: runs beyond one per attempt, and runs that
    shared a device. `leaked`: pods without a task or after its end, finalizers, promises of the
    ledger to nobody.
    """

    lost: Sequence[str]
    doubled: Sequence[str]
    leaked: Sequence[str]

    def __bool__(self) -> bool:
        """Whether anything is wrong."""
        return bool(self.lost or self.doubled or self.leaked)


def audit(
    wanted: Iterable[str],
    tasks: Sequence[Mapping[str, Any]],
    pods: Sequence[Mapping[str, Any]],
    runs: Sequence[Run],
    backlogs: Mapping[str, float],
) -> Audit:
    """Audit a namespace in which tasks `wanted` were applied, and a ledger when nothing runs."""
    found = {each["metadata"]["name"]: each for each in tasks}
    return Audit(
        lost=[*_lost(wanted, found)],
        doubled=[*_doubled(found, runs), *_overlaps(runs)],
        leaked=[*_leaked(found, pods), *_promised(backlogs)],
    )


def _lost(wanted: Iterable[str], found: Mapping[str, Mapping[str, Any]]) -> Iterable[str]:
    for name in wanted:
        status = found[name].get("status", {}) if name in found else {"phase": "missing"}
        if status.get("phase") != "Succeeded":
            yield f"task {name}: {status.get('phase')}: {status.get('message')}"


def _doubled(found: Mapping[str, Mapping[str, Any]], runs: Sequence[Run]) -> Iterable[str]:
    for name, number in Counter(run.task for run in runs).items():
        attempts = found[name]["status"].get("attempts", 0) + 1 if name in found else 0
        if number > attempts:
            yield f"task {name}: {number} runs in {attempts} attempts"


def _overlaps(runs: Sequence[Run]) -> Iterable[str]:
    by_node: dict[str, list[Run]] = {}
    for run in sorted(runs, key=lambda run: run.started_s or 0.0):
        by_node.setdefault(run.node, []).append(run)
    for here in by_node.values():
        for first, second in pairwise(each for each in here if each.started_s is not None):
            if first.finished_s is not None and first.finished_s > (second.started_s or 0.0):
                yield f"pods {first.pod} and {second.pod} ran at once on {first.node}"


def _leaked(
    found: Mapping[str, Mapping[str, Any]], pods: Sequence[Mapping[str, Any]]
) -> Iterable[str]:
    uids = {each["metadata"]["uid"] for each in found.values()}
    for pod in pods:
        metadata, phase = pod["metadata"], pod.get("status", {}).get("phase")
        if not any(owner["uid"] in uids for owner in metadata.get("ownerReferences") or ()):
            yield f"pod {metadata['name']}: nobody's"
        if phase not in ("Succeeded", "Failed"):
            yield f"pod {metadata['name']}: still {phase}"
    for each in (*found.values(), *pods):
        if finalizers := each["metadata"].get("finalizers"):
            yield f"{each['metadata']['name']}: finalizers {', '.join(finalizers)}"


def _promised(backlogs: Mapping[str, float]) -> Iterable[str]:
    for device, seconds in backlogs.items():
        if seconds > 0:
            yield f"device {device}: {seconds:.1f} s promised to nobody"


def rebuilt_backlogs(kubeconfig: Path) -> Mapping[str, float]:
    """Backlog by device, in seconds, of a ledger that has seen nothing but one list."""
    return asyncio.run(_rebuild(kubeconfig))


async def _rebuild(kubeconfig: Path) -> Mapping[str, float]:
    fleet = ClusterCache(LatencyTable(default_predictor()), time.time)
    takers = (
        (NODES, WatchEvents(fleet).node),
        (DEVICE_PROFILES, WatchEvents(fleet).device_profile),
        (PODS, WatchEvents(fleet).pod),
    )
    async with Cluster.connect(kubeconfig) as cluster:
        for kind, take in takers:
            for each in (await cluster.list(kind))[0]:
                take(UPSERT, each)
    now_s = time.time()
    return {device.id: fleet.ledger.backlog_s(device.id, now_s) for device in fleet.devices}
