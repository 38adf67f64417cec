"""Emulated runs on fake nodes: a pod takes the latency that was measured on the node's platform.

KWOK sets a bound pod to Running. The emulator looks up the latency of its model on the node, and
annotates the pod with the instant at which it ends and the runner's report. Only this module reads
the table of measured latencies; profiles and predictions are made without it.
"""

import argparse
import asyncio
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from acesniper.api.decision import Decision
from acesniper.api.names import DECISION_ANNOTATION, MODEL_LABEL, PODS, RUNNER_CONTAINER, TASK_LABEL
from acesniper.api.units import epoch_s
from acesniper.domain.errors import AcesniperError, NotFound
from acesniper.runtime.client import Cluster
from acesniper.runtime.skipped import DELETE
from acesniper.runtime.watch import Reflector
from acesniper.testbed.kwok import FINISH_AT, FINISHED, STARTED, finish_annotations

RETRY_S = 0.5
Latencies = Mapping[tuple[str, str], float]
"""(node, model) to the measured seconds of one inference."""


@dataclass(slots=True)
class Run:
    """One pod on a fake node. Seconds since the epoch, with fractions.

    `decided_s` is when the planner admitted it; None where something else placed it.
    """

    pod: str
    namespace: str
    uid: str
    task: str
    model: str
    node: str
    inferences: int
    started_s: float | None = None
    finished_s: float | None = None
    phase: str = "Pending"
    decided_s: float | None = None


@dataclass(slots=True)
class Emulator:
    """Annotates pods once they are bound, and records every run by pod UID.

    `on_change` is called in the emulator's thread after every change of a run; `exit_code` returns
    the exit code of a run, `report` what its container reports instead of the runner's report.
    """

    kubeconfig: Path
    latencies: Latencies
    on_change: Callable[[Run], None] = lambda _: None
    exit_code: Callable[[Run], int] = lambda _: 0
    report: Callable[[Run, dict[str, Any]], dict[str, Any]] = lambda _, report: report
    runs: dict[str, Run] = field(default_factory=dict)
    _ready: threading.Event = field(default_factory=threading.Event)
    _loop: asyncio.AbstractEventLoop | None = None
    _task: "asyncio.Task[None] | None" = None
    _thread: threading.Thread | None = None

    def __enter__(self) -> "Emulator":
        self._thread = threading.Thread(target=self._live, name="emulator", daemon=True)
        self._thread.start()
        if not self._ready.wait(30):
            raise TimeoutError("the emulator did not reach the API server within 30 s")
        return self

    def __exit__(self, *_: object) -> None:
        if self._loop is not None and self._task is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._task.cancel)
            self._thread.join(10)

    def _live(self) -> None:
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            self._task = self._loop.create_task(self._follow())
            try:
                self._loop.run_until_complete(self._task)
            except asyncio.CancelledError:
                return

    async def _follow(self) -> None:
        async with Cluster.connect(self.kubeconfig) as cluster, asyncio.TaskGroup() as group:

            def take(change: str, pod: dict[str, Any]) -> None:
                if change != DELETE and (patch := self._record(pod)) is not None:
                    group.create_task(_annotate(cluster, pod, patch))

            reflector = Reflector(cluster, PODS, take, labels=TASK_LABEL)
            following = group.create_task(reflector.run())
            await reflector.synced.wait()
            self._ready.set()
            await following

    def _record(self, pod: Mapping[str, Any]) -> dict[str, str] | None:
        """Record a pod's state; the annotations to write if it has just been bound."""
        node = pod["spec"].get("nodeName")
        if node is None:
            return None
        metadata = pod["metadata"]
        run = self.runs.get(metadata["uid"])
        fresh = run is None
        if run is None:
            run = self.runs[metadata["uid"]] = Run(
                pod=metadata["name"],
                namespace=metadata["namespace"],
                uid=metadata["uid"],
                task=metadata["labels"].get(TASK_LABEL, metadata["name"]),
                model=metadata["labels"][MODEL_LABEL],
                node=node,
                inferences=inferences_of(pod),
                decided_s=_decided_s(pod),
            )
        run.phase = pod.get("status", {}).get("phase", "Pending")
        run.started_s = _instant(pod, STARTED) or run.started_s
        run.finished_s = _instant(pod, FINISHED) or run.finished_s
        self.on_change(run)
        if not fresh or FINISH_AT in (metadata.get("annotations") or {}):
            return None
        return self._finish(run)

    def _finish(self, run: Run) -> dict[str, str] | None:
        latency_s = self.latencies.get((run.node, run.model))
        if latency_s is None:
            return None
        total_s = run.inferences * latency_s
        report = {
            "version": 1,
            "model": run.model,
            "device": run.node,
            "inferences": run.inferences,
            "latency_median_s": latency_s,
            "latency_p90_s": latency_s,
            "fetch_s": 0.0,
            "load_s": 0.0,
            "total_s": total_s,
        }
        at = datetime.fromtimestamp(time.time() + total_s, UTC)
        code = self.exit_code(run)
        message = "emulated failure" if code else json.dumps(self.report(run, report))
        return finish_annotations(at, message=message, exit_code=code)


async def _annotate(
    cluster: Cluster, pod: Mapping[str, Any], annotations: Mapping[str, str]
) -> None:
    """Annotate a pod, with retries: without annotations it would never end."""
    metadata = pod["metadata"]
    patch = {"metadata": {"annotations": dict(annotations)}}
    while True:
        try:
            await cluster.patch(PODS, metadata["name"], metadata["namespace"], patch)
            return
        except NotFound:
            return  # deleted in the meantime
        except AcesniperError:
            await asyncio.sleep(RETRY_S)  # the API server is down: some tests stop it


def _instant(pod: Mapping[str, Any], condition: str) -> float | None:
    for current in pod.get("status", {}).get("conditions") or ():
        if current["type"] == condition:
            return epoch_s(current["message"])
    return None


def _decided_s(pod: Mapping[str, Any]) -> float | None:
    annotations = pod["metadata"].get("annotations") or {}
    decision = Decision.read(annotations.get(DECISION_ANNOTATION))
    return None if decision is None else decision.decided_at


def inferences_of(pod: Mapping[str, Any]) -> int:
    """The number of inferences in a pod's arguments."""
    containers = pod["spec"]["containers"]
    runner = next((one for one in containers if one["name"] == RUNNER_CONTAINER), containers[0])
    parser = argparse.ArgumentParser()
    parser.add_argument("--inferences", type=int, default=1)
    known, _ = parser.parse_known_args(runner.get("args") or [])
    return int(known.inferences)
