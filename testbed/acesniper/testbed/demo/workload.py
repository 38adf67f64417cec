"""The demo's workload: which tasks, in which waves."""

import json
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import Any

from acesniper.api.names import API_VERSION
from acesniper.api.v1alpha1 import InferenceTask, ModelSource
from acesniper.operator.task.pod import render_pod
from acesniper.testbed.control_plane import ControlPlane
from acesniper.testbed.demo.examples import EmulatedDevice
from acesniper.testbed.emulator import Emulator, Run
from acesniper.testbed.errors import NotReady

RUN_S = (3.0, 9.0)
"""Run time on the median device that a task's number of inferences aims at, from and to."""
LONGEST_S = 45.0
"""No task runs longer than this on any device: the stock scheduler would be waited for too long."""
LOAD = 0.7
"""Arrival rate over the fleet's capacity (sum over devices of 1 / mean run time)."""


@dataclass(frozen=True, slots=True)
class DemoTask:
    """One task: so many inferences of a model."""

    name: str
    model: str
    inferences: int

    def manifest(self, namespace: str) -> dict[str, Any]:
        """The InferenceTask to apply."""
        return {
            "apiVersion": API_VERSION,
            "kind": "InferenceTask",
            "metadata": {"name": self.name, "namespace": namespace},
            "spec": {"model": self.model, "inferences": self.inferences},
        }


@dataclass(frozen=True, slots=True)
class Workload:
    """Waves of tasks, `spacing_s` apart."""

    waves: Sequence[Sequence[DemoTask]]
    spacing_s: float

    @property
    def tasks(self) -> list[DemoTask]:
        """All tasks, in the order of their arrival."""
        return [task for wave in self.waves for task in wave]


def make_workload(devices: Sequence[EmulatedDevice], tasks: int, waves: int, seed: int) -> Workload:
    """A workload that fits the fleet: models in rotation, run times uniform in RUN_S.

    Raises:
        ValueError: a device has no latency for a model that another has.
    """
    draw = random.Random(seed)  # noqa: S311 - a workload, not a secret
    models = sorted({model for device in devices for model in device.latency_s})
    typical = {model: median(_latencies(devices, model)) for model in models}
    slowest = {model: max(_latencies(devices, model)) for model in models}
    made = []
    for number in range(tasks):
        model = models[number % len(models)]
        inferences = round(min(draw.uniform(*RUN_S) / typical[model], LONGEST_S / slowest[model]))
        made.append(DemoTask(f"{model}-{number:03d}", model, max(1, inferences)))
    draw.shuffle(made)
    size = -(-tasks // waves)
    grouped = [made[start : start + size] for start in range(0, tasks, size)]
    return Workload(grouped, size / (LOAD * capacity(devices, made)))


def capacity(devices: Sequence[EmulatedDevice], tasks: Sequence[DemoTask]) -> float:
    """Tasks per second that the fleet could finish if every task could be spread evenly."""
    return sum(
        1 / fmean(task.inferences * device.latency_s[task.model] for task in tasks)
        for device in devices
    )


def _latencies(devices: Sequence[EmulatedDevice], model: str) -> list[float]:
    missing = [device.node for device in devices if model not in device.latency_s]
    if missing:
        raise ValueError(f"model {model} was not measured on {', '.join(missing)}")
    return [device.latency_s[model] for device in devices]


def latency_table(devices: Sequence[EmulatedDevice]) -> Mapping[tuple[str, str], float]:
    """(node, model) to seconds, for the emulator."""
    return {
        (device.node, model): seconds
        for device in devices
        for model, seconds in device.latency_s.items()
    }


OURS, STOCK = "demo", "demo-stock"
"""The namespaces of the two runs."""
LONGEST_RUN_S = 240.0

Progress = Callable[[int, int], None]
"""Called with the number of finished tasks, and of all."""


@dataclass(slots=True)
class FinishTracker:
    """Waits for tasks to finish, fed by the emulator's thread."""

    _done: dict[str, set[str]] = field(default_factory=dict)
    _condition: threading.Condition = field(default_factory=threading.Condition)

    def note(self, run: Run) -> None:
        """Take note of a run's change."""
        if run.phase == "Succeeded":
            with self._condition:
                self._done.setdefault(run.namespace, set()).add(run.task)
                self._condition.notify_all()

    def wait(self, namespace: str, tasks: int, timeout_s: float, progress: Progress) -> None:
        """Return when so many tasks of a namespace are done.

        Raises:
            NotReady: they were not before the timeout.
        """
        deadline = time.monotonic() + timeout_s
        with self._condition:
            while (done := len(self._done.get(namespace, ()))) < tasks:
                progress(done, tasks)
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    raise NotReady(
                        f"{tasks - done} of {tasks} tasks of namespace {namespace} did not finish "
                        f"within {timeout_s:g} s"
                    )
                self._condition.wait(min(left_s, 0.5))
        progress(tasks, tasks)


def apply_waves(
    plane: ControlPlane, workload: Workload, manifest: Callable[[DemoTask], Mapping[str, Any]]
) -> dict[str, float]:
    """`kubectl apply` every wave when its time has come; returns when, by task (epoch seconds)."""
    applied: dict[str, float] = {}
    start = time.monotonic()
    for number, wave in enumerate(workload.waves):
        # Not a way to wait for something: arrivals are part of the workload.
        time.sleep(max(0.0, start + number * workload.spacing_s - time.monotonic()))
        listed = {"apiVersion": "v1", "kind": "List", "items": [manifest(task) for task in wave]}
        now_s = time.time()
        plane.kubectl("apply", "-f", "-", stdin=json.dumps(listed))
        applied |= dict.fromkeys((task.name for task in wave), now_s)
    return applied


def run_ours(
    plane: ControlPlane, workload: Workload, finished: FinishTracker, progress: Progress
) -> dict[str, float]:
    """Apply InferenceTasks, and wait until all have finished."""
    applied = apply_waves(plane, workload, lambda task: task.manifest(OURS))
    finished.wait(OURS, len(workload.tasks), LONGEST_RUN_S, progress)
    plane.kubectl(
        "wait",
        "--for=condition=Finished",
        "--timeout=30s",
        "-n",
        OURS,
        "inferencetask",
        "--all",
    )
    return applied


def run_stock(
    plane: ControlPlane,
    workload: Workload,
    sources: Mapping[str, ModelSource],
    finished: FinishTracker,
    progress: Progress,
) -> dict[str, float]:
    """Apply the pods that the operator would make, for the stock scheduler, and wait."""
    applied = apply_waves(plane, workload, lambda task: stock_pod(task, sources[task.model]))
    finished.wait(STOCK, len(workload.tasks), LONGEST_RUN_S, progress)
    return applied


def stock_pod(task: DemoTask, source: ModelSource) -> dict[str, Any]:
    """A task's pod without anything of ours but the slot it asks for."""
    manifest = task.manifest(STOCK)
    manifest["metadata"]["uid"] = task.name
    pod = render_pod(InferenceTask.model_validate(manifest), task.model, source, "runner")
    pod["metadata"]["name"] = task.name
    del pod["metadata"]["ownerReferences"]
    del pod["spec"]["schedulingGates"]
    del pod["spec"]["schedulerName"]
    return pod


def runs_of(emulator: Emulator, namespace: str) -> Sequence[Run]:
    """The finished runs of a namespace."""
    return [
        run
        for run in emulator.runs.values()
        if run.namespace == namespace and run.phase == "Succeeded"
    ]
