"""How far running tasks are: asked of their pods every few seconds, written into their status.

The pod needs no right for it. Writes are bounded twice: one a task and round, and so many a second
over all; with many tasks a round just takes longer. A pod that cannot be reached (a NetworkPolicy,
a node behind another network) is asked more and more rarely, and nothing else depends on it.
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

ASKED_AT_ONCE = 32
WRITES_PER_S = 20.0
PATIENCE_S = 2.0
MOST_BYTES = 1000
RAREST_S = 120.0

Ask = Callable[[str], Awaitable[RunnerProgress | None]]
"""What a URL says, None where it says nothing."""


async def ask_pod(url: str) -> RunnerProgress | None:
    """Ask one pod; it may be anybody's, so little is read."""
    limits = aiohttp.ClientTimeout(total=PATIENCE_S)
    try:
        async with (
            # Packed, a few bytes could be megabytes.
            aiohttp.ClientSession(timeout=limits, auto_decompress=False) as session,
            session.get(url, allow_redirects=False) as answer,
        ):
            return parse_progress(await answer.content.read(MOST_BYTES))
    except (aiohttp.ClientError, TimeoutError, OSError):
        return None


@dataclass(slots=True)
class ProgressFollower:
    """One round over all running pods at a time."""

    cluster: Cluster
    store: ObjectCache
    clock: Callable[[], float]
    interval_s: float
    may_act: Callable[[], bool] = lambda: True
    ask: Ask = ask_pod
    _pauses: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Of pods by UID: when to ask next, and the pause before that."""

    async def run(self) -> None:
        """Follow for ever."""
        while True:
            await asyncio.sleep(self.interval_s)
            if self.may_act():
                await self.round()

    async def round(self) -> None:
        """Ask each running pod whose turn it is, and write what is new."""
        due = list(self._due())
        alive = {pod.uid for _, pod, _ in self._running()}
        self._pauses = {uid: each for uid, each in self._pauses.items() if uid in alive}
        turns = asyncio.Semaphore(ASKED_AT_ONCE)

        async def ask(url: str) -> RunnerProgress | None:
            async with turns:
                return await self.ask(url)

        answers = await asyncio.gather(*(ask(url) for _, _, url in due))
        for (key, pod, _), found in zip(due, answers, strict=True):
            self._pause(pod, answered=found is not None)
            if found is not None and await self._write(key, pod, found):
                await asyncio.sleep(1.0 / WRITES_PER_S)

    def _due(self) -> Iterator[tuple[str, PodView, str]]:
        now_s = self.clock()
        for key, pod, url in self._running():
            if pod.uid not in self._pauses:
                # Most tasks are done before they are asked for the first time.
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
            self.interval_s if answered else Backoff(self.interval_s, RAREST_S).next_s(before_s)
        )
        self._pauses[pod.uid] = self.clock() + pause_s, pause_s

    async def _write(self, key: str, pod: PodView, found: RunnerProgress) -> bool:
        """Write it down if it is news of the attempt that the status is about."""
        task = self.store.tasks.get(key)
        if task is None or task.status.phase is not Phase.RUNNING:
            return False
        if task.status.pod_uid != pod.uid or not _news(task, found):
            return False
        progress = task_progress(found.done, found.total, found.run_s, self.clock())
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
            # The task has moved on, or the API server is busy: the next round knows more.
            log.debug("progress of %s: %s", key, error)
            return True
        self.store.expect_event("InferenceTask", task.metadata, written["metadata"])
        self.store.upsert_task(written)
        return True


def _news(task: InferenceTask, found: RunnerProgress) -> bool:
    known = task.status.progress
    return found.done > 0 and (known is None or known.done != found.done)


def _url(pod: Mapping[str, Any]) -> str | None:
    """Where a pod says how far it is; None if it does not."""
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
