"""Replays the same tasks once for every contender, on one control plane."""

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
"""Delay until the arrival time 0 s."""


@dataclass(slots=True)
class Arrivals:
    """When each task was created (seconds since the epoch), and how long the request took."""

    sent_s: dict[str, float] = field(default_factory=dict)
    request_s: list[float] = field(default_factory=list)


def feed(
    kubeconfig: Path, contender: Contender, tasks: Sequence[Task], names: ObjectNames, scale: float
) -> Arrivals:
    """Create all tasks of a contender at their arrival times; returns after the last one."""
    return asyncio.run(_feed(kubeconfig, contender, tasks, names, scale))


def task_object_name(task: Task) -> str:
    """A task's object name; names sort in order of arrival."""
    return "task-" + task.key.rpartition("/")[2]


async def _feed(
    kubeconfig: Path, contender: Contender, tasks: Sequence[Task], names: ObjectNames, scale: float
) -> Arrivals:
    fed = Arrivals()
    async with KubernetesCluster.connect(kubeconfig) as cluster, asyncio.TaskGroup() as group:
        start_s = time.time() + LEAD_S
        for task in tasks:
            # Not a wait for a condition: arrival times are part of the workload.
            await asyncio.sleep(max(0.0, start_s + scale * task.created_s - time.time()))
            named = DemoTask(task_object_name(task), names.models[task.model], task.inferences)
            group.create_task(_send(cluster, contender, named, fed))
    return fed


async def _send(
    cluster: KubernetesCluster, contender: Contender, task: DemoTask, fed: Arrivals
) -> None:
    kind = INFERENCE_TASKS if contender.ours else PODS
    manifest = task.manifest(contender.namespace) if contender.ours else stock_pod(task, SOURCE)
    manifest["metadata"]["namespace"] = contender.namespace
    before_s = fed.sent_s[task.name] = time.time()
    await cluster.create(kind, manifest, contender.namespace)
    fed.request_s.append(time.time() - before_s)


ProgressCallback = Callable[[Contender, int, int], None]
"""Called with a contender, the number of its finished tasks, and the number of all its tasks."""


@dataclass(frozen=True, slots=True, eq=False)
class Experiment:
    """Cluster, tasks and predictions; `scale` is the real seconds per simulated second."""

    cluster: SimulatedCluster
    tasks: Sequence[Task]
    believed: Mapping[ModelKey, PredictionRow]
    scale: float = 1.0
    environment: Mapping[str, str] = field(default_factory=dict)
    """Further environment variables of our components."""


@dataclass(frozen=True, slots=True)
class ContenderResult:
    """Results of a contender in simulated seconds; `request_s` and `lag_s` in real seconds.

    Per task: `request_s` is the duration of its creation, `lag_s` how much longer than its emulated
    latency its pod ran, `admitting_s` the time from the admitting plan to its start.
    """

    finished: list[CompletedTask]
    request_s: list[float]
    lag_s: list[float]
    admitting_s: list[float]


def run_benchmark(
    experiment: Experiment,
    progress: ProgressCallback,
    timeout_s: float,
    chosen: Sequence[Contender] = CONTENDERS,
) -> dict[Contender, ContenderResult]:
    """Run all tasks for every contender, one contender after the other.

    Raises:
        TestbedError: a component did not start, or tasks did not finish before the timeout.
    """
    names = ObjectNames.of(experiment.cluster)
    with ControlPlane() as plane, _running(plane, experiment, names):
        table = contenders.latencies(names, experiment.cluster, experiment.scale)
        done = workload.FinishTracker()
        with Emulator(plane.kubeconfig("admin"), table, done.note) as emulator:
            results = {}
            for contender in chosen:
                fed = _fed(plane, experiment, names, contender, done, progress, timeout_s)
                results[contender] = _played(
                    experiment, names, fed, workload.runs_of(emulator, contender.namespace)
                )
            return results


@contextmanager
def _running(
    plane: ControlPlane, experiment: Experiment, names: ObjectNames
) -> Iterator[Deployment]:
    """Run Ace-Sniper on ready nodes, with models that have a status.

    All objects are created before the operator starts: it would try to fetch the models.
    """
    with tempfile.TemporaryDirectory() as folder:
        predictions = Path(folder) / "predictions.csv"
        contenders.write_predictions(
            predictions, names, experiment.believed, experiment.cluster, experiment.scale
        )
        file = {"ACESNIPER_PREDICTIONS": str(predictions)}
        system = Deployment(plane, {**experiment.environment, **file})
        start_kwok(plane)
        system.install()
        _register(plane, experiment.cluster, names)
        system.start_parts()
        plane.kubectl(
            "wait",
            "--for=jsonpath={.status.allocatable.acesniper\\.io/slot}=1",
            "--timeout=120s",
            "node",
            "--all",
            timeout_s=150,
        )
        yield system


def _register(plane: ControlPlane, cluster: SimulatedCluster, names: ObjectNames) -> None:
    profiles = contenders.device_profiles(names, cluster)
    for contender in CONTENDERS:
        plane.kubectl("create", "namespace", contender.namespace)
        if contender.ours:
            profiles += contenders.model_profiles(names, contender)
    for items, flags in (
        (contenders.nodes(names), ()),
        (profiles, ()),
        (profiles, ("--subresource=status",)),
    ):
        listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
        plane.kubectl("apply", "--server-side", *flags, "-f", "-", stdin=listed, timeout_s=300)
    for contender in CONTENDERS:
        ready = plane.api_answers(
            f"/api/v1/namespaces/{contender.namespace}/serviceaccounts/default"
        )
        plane.children["kube-controller-manager"].wait_until(ready)


def _fed(
    plane: ControlPlane,
    experiment: Experiment,
    names: ObjectNames,
    contender: Contender,
    done: workload.FinishTracker,
    progress: ProgressCallback,
    timeout_s: float,
) -> Arrivals:
    """Create a contender's tasks, and wait until all have finished."""
    with ThreadPoolExecutor(1) as pool:
        config = plane.kubeconfig("admin")
        feeding = pool.submit(feed, config, contender, experiment.tasks, names, experiment.scale)

        def watch(finished: int, total: int) -> None:
            if feeding.done():
                feeding.result()  # re-raises an error: no further task would finish
            progress(contender, finished, total)

        done.wait(contender.namespace, len(experiment.tasks), timeout_s, watch)
        return feeding.result()


def _played(
    experiment: Experiment, names: ObjectNames, fed: Arrivals, runs: Sequence[Run]
) -> ContenderResult:
    tasks = {task_object_name(task): task for task in experiment.tasks}
    place = {node: number for number, node in enumerate(names.nodes)}
    first_s, scale = min(fed.sent_s.values()), experiment.scale
    played = ContenderResult([], fed.request_s, [], [])
    for run in runs:
        if run.started_s is None or run.finished_s is None:
            raise ValueError(f"pod {run.pod} finished without the times that KWOK writes")
        task = replace(tasks[run.task], created_s=(fed.sent_s[run.task] - first_s) / scale)
        started_s, finished_s = (
            (instant_s - first_s) / scale for instant_s in (run.started_s, run.finished_s)
        )
        played.finished.append(CompletedTask(task, place[run.node], started_s, finished_s))
        column = experiment.cluster.models.index(task.model)
        true_s = task.inferences * float(experiment.cluster.latency_s[place[run.node], column])
        played.lag_s.append(run.finished_s - run.started_s - scale * true_s)
        if run.decided_s is not None:
            played.admitting_s.append(run.started_s - run.decided_s)
    return played
