"""Tasks come when their time has come: straight to the API server, one request each."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from acesniper.api.names import INFERENCE_TASKS, PODS
from acesniper.domain.task import Task
from acesniper.runtime.client import Cluster
from acesniper.testbed.benchmark.contenders import SOURCE, Names, Side
from acesniper.testbed.demo.workload import DemoTask, stock_pod

LEAD_S = 1.0
"""From now to the arrival at 0 s."""


@dataclass(slots=True)
class Arrivals:
    """When each task was sent, in seconds since the epoch, and how long each request took."""

    sent_s: dict[str, float] = field(default_factory=dict)
    request_s: list[float] = field(default_factory=list)


def feed(
    kubeconfig: Path, side: Side, tasks: Sequence[Task], names: Names, scale: float
) -> Arrivals:
    """Create all tasks of a side at their times; returns when the last was created."""
    return asyncio.run(_feed(kubeconfig, side, tasks, names, scale))


def task_object_name(task: Task) -> str:
    """A task's name in the cluster; names sort as the tasks came."""
    return "task-" + task.key.rpartition("/")[2]


async def _feed(
    kubeconfig: Path, side: Side, tasks: Sequence[Task], names: Names, scale: float
) -> Arrivals:
    fed = Arrivals()
    async with Cluster.connect(kubeconfig) as cluster, asyncio.TaskGroup() as group:
        start_s = time.time() + LEAD_S
        for task in tasks:
            # Not a way to wait for something: arrivals are part of the workload.
            await asyncio.sleep(max(0.0, start_s + scale * task.created_s - time.time()))
            named = DemoTask(task_object_name(task), names.models[task.model], task.inferences)
            group.create_task(_send(cluster, side, named, fed))
    return fed


async def _send(cluster: Cluster, side: Side, task: DemoTask, fed: Arrivals) -> None:
    kind = INFERENCE_TASKS if side.ours else PODS
    manifest = task.manifest(side.namespace) if side.ours else stock_pod(task, SOURCE)
    manifest["metadata"]["namespace"] = side.namespace
    before_s = fed.sent_s[task.name] = time.time()
    await cluster.create(kind, manifest, side.namespace)
    fed.request_s.append(time.time() - before_s)
