"""The trial: one control plane, the same tasks once for every side."""

import asyncio
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from acesniper.api.names import INFERENCE_TASKS, PODS
from acesniper.domain.task import ModelKey, Task
from acesniper.policies.estimates import PredictionRow
from acesniper.runtime.client import Cluster as KubernetesCluster
from acesniper.simulator.cluster import SimulatedCluster
from acesniper.simulator.statistics import CompletedTask
from acesniper.testbed.benchmark import contenders
from acesniper.testbed.benchmark.contenders import CONTENDERS, SOURCE, Contender, ObjectNames
from acesniper.testbed.control_plane import ControlPlane
from acesniper.testbed.demo import workload
from acesniper.testbed.demo.workload import DemoTask, stock_pod
from acesniper.testbed.deployment import Deployment
from acesniper.testbed.emulator import Emulator, Run
from acesniper.testbed.kwok import start_kwok

LEAD_S = 1.0
"""From now to the arrival at 0 s."""


@dataclass(slots=True)
class Arrivals:
    """When each task was sent, in seconds since the epoch, and how long each request took."""

    sent_s: dict[str, float] = field(default_factory=dict)
    request_s: list[float] = field(default_factory=list)


def feed(
    kubeconfig: Path, side: Contender, tasks: Sequence[Task], names: ObjectNames, scale: float
) -> Arrivals:
    """Create all tasks of a side at their times; returns when the last was created."""
    return asyncio.run(_feed(kubeconfig, side, tasks, names, scale))


def task_object_name(task: Task) -> str:
    """A task's name in the cluster; names sort as the tasks came."""
    return "task-" + task.key.rpartition("/")[2]


async def _feed(
    kubeconfig: Path, side: Contender, tasks: Sequence[Task], names: ObjectNames, scale: float
) -> Arrivals:
    fed = Arrivals()
    async with KubernetesCluster.connect(kubeconfig) as cluster, asyncio.TaskGroup() as group:
        start_s = time.time() + LEAD_S
        for task in tasks:
            # Not a way to wait for something: arrivals are part of the workload.
            await asyncio.sleep(max(0.0, start_s + scale * task.created_s - time.time()))
            named = DemoTask(task_object_name(task), names.models[task.model], task.inferences)
            group.create_task(_send(cluster, side, named, fed))
    return fed


async def _send(cluster: KubernetesCluster, side: Contender, task: DemoTask, fed: Arrivals) -> None:
    kind = INFERENCE_TASKS if side.ours else PODS
    manifest = task.manifest(side.namespace) if side.ours else stock_pod(task, SOURCE)
    manifest["metadata"]["namespace"] = side.namespace
    before_s = fed.sent_s[task.name] = time.time()
    await cluster.create(kind, manifest, side.namespace)
    fed.request_s.append(time.time() - before_s)


ProgressCallback = Callable[[Contender, int, int], None]
"""Called with a side, how many of its tasks have finished, and of how many."""


@dataclass(frozen=True, slots=True, eq=False)
class Experiment:
    """The cluster, its tasks, their predictions, and the real seconds per simulated second."""

    cluster: SimulatedCluster
    tasks: Sequence[Task]
    believed: Mapping[ModelKey, PredictionRow]
    scale: float = 1.0
    environment: Mapping[str, str] = field(default_factory=dict)
    """Further settings of our parts."""


@dataclass(frozen=True, slots=True)
class ContenderResult:
    """What a side did, in the table's seconds; `request_s` and `lag_s` in real ones.

    One for each task: `request_s` is what creating it took, `lag_s` by how much longer than its
    emulated latency its pod was running, `admitting_s` from the plan that admitted it to its start.
    """

    finished: list[CompletedTask]
    request_s: list[float]
    lag_s: list[float]
    admitting_s: list[float]


def run_benchmark(
    setting: Experiment,
    progress: ProgressCallback,
    timeout_s: float,
    sides: Sequence[Contender] = CONTENDERS,
) -> dict[Contender, ContenderResult]:
    """Run all tasks for every side, one side after the other.

    Raises:
        TestbedError: a part did not start, or tasks did not finish in time.
    """
    names = ObjectNames.of(setting.cluster)
    with ControlPlane() as plane, _running(plane, setting, names):
        table = contenders.latencies(names, setting.cluster, setting.scale)
        done = workload.FinishTracker()
        with Emulator(plane.kubeconfig("admin"), table, done.note) as emulator:
            found = {}
            for side in sides:
                fed = _fed(plane, setting, names, side, done, progress, timeout_s)
                found[side] = _played(
                    setting, names, fed, workload.runs_of(emulator, side.namespace)
                )
            return found


@contextmanager
def _running(plane: ControlPlane, setting: Experiment, names: ObjectNames) -> Iterator[Deployment]:
    """Ace-Sniper on nodes that are ready, with models that count as read.

    Everything is registered before the operator starts: it would try to fetch the models.
    """
    with tempfile.TemporaryDirectory() as folder:
        predictions = Path(folder) / "predictions.csv"
        contenders.write_predictions(
            predictions, names, setting.believed, setting.cluster, setting.scale
        )
        file = {"ACESNIPER_PREDICTIONS": str(predictions)}
        system = Deployment(plane, {**setting.environment, **file})
        start_kwok(plane)
        system.install()
        _register(plane, setting.cluster, names)
        system.start_parts()
        plane.kubectl(
            *("wait", "--for=jsonpath={.status.allocatable.acesniper\\.io/slot}=1"),
            *("--timeout=120s", "node", "--all"),
            timeout_s=150,
        )
        yield system


def _register(plane: ControlPlane, cluster: SimulatedCluster, names: ObjectNames) -> None:
    profiles = contenders.device_profiles(names, cluster)
    for side in CONTENDERS:
        plane.kubectl("create", "namespace", side.namespace)
        if side.ours:
            profiles += contenders.model_profiles(names, side)
    for items, flags in (
        (contenders.nodes(names), ()),
        (profiles, ()),
        (profiles, ("--subresource=status",)),
    ):
        listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
        plane.kubectl("apply", "--server-side", *flags, "-f", "-", stdin=listed, timeout_s=300)
    for side in CONTENDERS:
        ready = plane.api_answers(f"/api/v1/namespaces/{side.namespace}/serviceaccounts/default")
        plane.children["kube-controller-manager"].wait_until(ready)


def _fed(
    plane: ControlPlane,
    setting: Experiment,
    names: ObjectNames,
    side: Contender,
    done: workload.FinishTracker,
    progress: ProgressCallback,
    timeout_s: float,
) -> Arrivals:
    """Send a side's tasks, and wait until all have finished."""
    with ThreadPoolExecutor(1) as pool:
        config = plane.kubeconfig("admin")
        feeding = pool.submit(feed, config, side, setting.tasks, names, setting.scale)

        def watch(finished: int, total: int) -> None:
            if feeding.done():
                feeding.result()  # raises what went wrong: nothing more would ever finish
            progress(side, finished, total)

        done.wait(side.namespace, len(setting.tasks), timeout_s, watch)
        return feeding.result()


def _played(
    setting: Experiment, names: ObjectNames, fed: Arrivals, found: Sequence[Run]
) -> ContenderResult:
    tasks = {task_object_name(task): task for task in setting.tasks}
    place = {node: number for number, node in enumerate(names.nodes)}
    first_s, scale = min(fed.sent_s.values()), setting.scale
    played = ContenderResult([], fed.request_s, [], [])
    for run in found:
        if run.started_s is None or run.finished_s is None:
            raise ValueError(f"pod {run.pod} finished without the times that KWOK writes")
        task = replace(tasks[run.task], created_s=(fed.sent_s[run.task] - first_s) / scale)
        started_s, finished_s = (
            (instant_s - first_s) / scale for instant_s in (run.started_s, run.finished_s)
        )
        played.finished.append(CompletedTask(task, place[run.node], started_s, finished_s))
        column = setting.cluster.models.index(task.model)
        true_s = task.inferences * float(setting.cluster.latency_s[place[run.node], column])
        played.lag_s.append(run.finished_s - run.started_s - scale * true_s)
        if run.decided_s is not None:
            played.admitting_s.append(run.started_s - run.decided_s)
    return played
