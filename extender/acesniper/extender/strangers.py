"""Tells of pods that were placed without a prediction, as events, off the request path."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from acesniper.api.names import MODEL_LABEL
from acesniper.extender.protocol import Pod
from acesniper.runtime.events import EventRecorder, Notice

MAX_QUEUED_EVENTS = 1000
"""Notices that may wait to be posted; beyond that the metric alone tells."""


@dataclass(slots=True)
class NoPredictionEvents:
    """Pods whose model nobody knows."""

    events: EventRecorder
    clock: Callable[[], float]
    _queue: "asyncio.Queue[Pod]" = field(default_factory=lambda: asyncio.Queue(MAX_QUEUED_EVENTS))

    def note(self, pod: Pod) -> None:
        """Take note, without waiting."""
        if not self._queue.full():
            self._queue.put_nowait(pod)

    async def run(self) -> None:
        """Post events for ever."""
        while True:
            pod = await self._queue.get()
            model = (pod.metadata.labels or {}).get(MODEL_LABEL)
            text = (
                f"there is no profiled ModelProfile {model!r}; placed as the stock scheduler would"
            )
            notice = Notice("NoPrediction", text, warning=True)
            metadata = {
                "name": pod.metadata.name,
                "namespace": pod.metadata.namespace,
                "uid": pod.metadata.uid,
            }
            await self.events.tell("Pod", metadata, notice, self.clock())
