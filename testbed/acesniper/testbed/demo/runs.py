"""Runs the workload: through Ace-Sniper, and as plain pods through the stock scheduler."""

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from acesniper.api.v1alpha1 import InferenceTask, ModelSource
from acesniper.operator.task.pod import render_pod
from acesniper.testbed.control_plane import ControlPlane
from acesniper.testbed.demo.workload import DemoTask, Workload
from acesniper.testbed.emulator import Emulator, Run
from acesniper.testbed.errors import NotReady

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
            NotReady: they were not, in time.
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
        *("wait", "--for=condition=Finished", "--timeout=30s", "-n", OURS),
        *("inferencetask", "--all"),
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
