"""Polls the progress of running pods and writes it into the status of their tasks.

Pods need no permissions for this. Writes are limited to one per task and round and to a rate over
all tasks, so that a round takes longer with many tasks. A pod that cannot be reached (by a
NetworkPolicy or another network) is polled with back-off; nothing else depends on its answer.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from acesniper.api.messages import RunnerProgress, parse_progress
from acesniper.api.names import INFERENCE_TASKS, PROGRESS_PORT
from acesniper.api.objects import PodView
from acesniper.api.v1alpha1 import InferenceTask, Phase
from acesniper.domain.backoff import Backoff
from acesniper.domain.errors import AcesniperError
from acesniper.operator.cache import ObjectCache
from acesniper.operator.task.termination import task_progress
from acesniper.runtime.client import Cluster

log = logging.getLogger(__name__)

MAX_CONCURRENT_REQUESTS = 32
WRITES_PER_S = 20.0
TIMEOUT_S = 2.0
MAX_BYTES = 1000
MAX_PAUSE_S = 120.0

Ask = Callable[[str], Awaitable[RunnerProgress | None]]
"""Requests the progress from a URL; None without a valid answer."""


async def ask_pod(url: str) -> RunnerProgress | None:
    """Request the progress from one pod; it is not trusted, so little is read."""
    limits = aiohttp.ClientTimeout(total=TIMEOUT_S)
    try:
        async with (
            # A compressed answer of few bytes could expand to megabytes.
            aiohttp.ClientSession(timeout=limits, auto_decompress=False) as session,
            session.get(url, allow_redirects=False) as answer,
        ):
            return parse_progress(await answer.content.read(MAX_BYTES))
    except (aiohttp.ClientError, TimeoutError, OSError):
        return None


@dataclass(slots=True)
class ProgressFollower:
    """Polls all running pods, one round at a time."""

    cluster: Cluster
    store: ObjectCache
    clock: Callable[[], float]
    interval_s: float
    may_act: Callable[[], bool] = lambda: True
    ask: Ask = ask_pod
    _pauses: dict[str, tuple[float, float]] = field(default_factory=dict)
    """By UID of a pod: when it is polled next, and the pause before that."""

    async def run(self) -> None:
        """Poll until cancelled."""
        while True:
            await asyncio.sleep(self.interval_s)
            if self.may_act():
                await self.round()

    async def round(self) -> None:
        """Poll each running pod that is due, and write what changed."""
        due = list(self._due())
        alive = {pod.uid for _, pod, _ in self._running()}
        self._pauses = {uid: pause for uid, pause in self._pauses.items() if uid in alive}
        slots = asyncio.Semaphore(MAX_CONCURRENT_REQUESTS)

        async def ask(url: str) -> RunnerProgress | None:
            async with slots:
                return await self.ask(url)

        answers = await asyncio.gather(*(ask(url) for _, _, url in due))
        for (key, pod, _), progress in zip(due, answers, strict=True):
            self._pause(pod, answered=progress is not None)
            if progress is not None and await self._write(key, pod, progress):
                await asyncio.sleep(1.0 / WRITES_PER_S)

    def _due(self) -> Iterator[tuple[str, PodView, str]]:
        now_s = self.clock()
        for key, pod, url in self._running():
            if pod.uid not in self._pauses:
                # Most tasks finish before they are polled for the first time.
                self._pauses[pod.uid] = now_s + self.interval_s, self.interval_s
            elif self._pauses[pod.uid][0] <= now_s:
                yield key, pod, url

    def _running(self) -> Iterator[tuple[str, PodView, str]]:
        for key, pods in list(self.store.pods.items()):
            for pod, manifest in list(pods.values()):
                url = _url(manifest) if pod.phase == "Running" and not pod.deleting else None
                if url is not None:
                    yield key, pod, url

    def _pause(self, pod: PodView, *, answered: bool) -> None:
        _, before_s = self._pauses.get(pod.uid, (0.0, self.interval_s))
        pause_s = (
            self.interval_s if answered else Backoff(self.interval_s, MAX_PAUSE_S).next_s(before_s)
        )
        self._pauses[pod.uid] = self.clock() + pause_s, pause_s

    async def _write(self, key: str, pod: PodView, reported: RunnerProgress) -> bool:
        """Write progress that changed, if the status is about this attempt; False if not."""
        task = self.store.tasks.get(key)
        if task is None or task.status.phase is not Phase.RUNNING:
            return False
        if task.status.pod_uid != pod.uid or not _changed(task, reported):
            return False
        progress = task_progress(reported.done, reported.total, reported.run_s, self.clock())
        patch = {
            "metadata": {"resourceVersion": task.metadata["resourceVersion"]},
            "status": {"progress": progress.model_dump(by_alias=True)},
        }
        name, namespace = task.metadata["name"], task.metadata["namespace"]
        try:
            written = await self.cluster.patch(
                INFERENCE_TASKS, name, namespace, patch, subresource="status"
            )
        except AcesniperError as error:
            # The task changed meanwhile, or the API server is overloaded: the next round retries.
            log.debug("progress of %s: %s", key, error)
            return True
        self.store.expect_event("InferenceTask", task.metadata, written["metadata"])
        self.store.upsert_task(written)
        return True


def _changed(task: InferenceTask, reported: RunnerProgress) -> bool:
    current = task.status.progress
    return reported.done > 0 and (current is None or current.done != reported.done)


def _url(pod: Mapping[str, Any]) -> str | None:
    """The URL of a pod's progress; None if it has no such port or no address yet."""
    address = pod.get("status", {}).get("podIP")
    ports = [
        port.get("containerPort")
        for container in pod["spec"].get("containers") or ()
        for port in container.get("ports") or ()
        if port.get("name") == PROGRESS_PORT
    ]
    if not address or not ports:
        return None
    host = f"[{address}]" if ":" in address else address
    return f"http://{host}:{ports[0]}/"
