"""Local caches of API objects, kept by list and watch, and detection of stalled watches.

The client library's informer runs one thread with blocking I/O per kind. Planner and extender run
on one event loop instead: every decision is made between two events, without locks.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from acesniper.api.names import Kind
from acesniper.api.objects import Json
from acesniper.domain.backoff import Backoff
from acesniper.domain.errors import AcesniperError, ResourceVersionExpired
from acesniper.runtime.client import Cluster
from acesniper.runtime.skipped import DELETE, UPSERT, Handler, SkippedObjects

log = logging.getLogger(__name__)

BATCH_SIZE = 50
"""Listed objects handled before other coroutines get to run."""
STALLED_AFTER_S = 300.0
"""A watch that delivers no expected event for this long is considered stalled. An idle connection
is reopened (`client.WATCH_IDLE_TIMEOUT_S`) and a server upgrade is mostly over before that."""
RETRY = Backoff(first_s=0.2, max_s=5.0)


@dataclass(slots=True)
class WatchLiveness:
    """Detects stalled watches: an event is expected, and has not arrived for `STALLED_AFTER_S`.

    A watch with bookmarks always expects an event. For one without, an event is expected after a
    write of our own that changed an object, as a quiet cluster has no events (kopf's issues 957 and
    1276). `clock` is monotonic, in seconds.
    """

    clock: Callable[[], float] = time.monotonic
    _expected_since_s: dict[str, float] = field(default_factory=dict)

    def expect(self, kind: str) -> None:
        """Expect an event of a kind from now on."""
        self._expected_since_s.setdefault(kind, self.clock())

    def received(self, kind: str, *, expect_next: bool = False) -> None:
        """An event of a kind arrived; with `expect_next`, another one is expected from now on."""
        self._expected_since_s.pop(kind, None)
        if expect_next:
            self.expect(kind)

    def stalled(self) -> list[str]:
        """Kinds whose watches are stalled."""
        now_s = self.clock()
        return [
            kind
            for kind, since_s in self._expected_since_s.items()
            if now_s - since_s > STALLED_AFTER_S
        ]


@dataclass(slots=True)
class Reflector:
    """Passes every change of one kind to a handler, forever; `synced` is set after the first list.

    Reflectors may share one `liveness`, and one `skipped`.
    """

    cluster: Cluster
    kind: Kind
    apply: Handler
    labels: str = ""
    liveness: WatchLiveness = field(default_factory=WatchLiveness)
    skipped: SkippedObjects = field(default_factory=SkippedObjects)
    synced: asyncio.Event = field(default_factory=asyncio.Event)
    last_event_s: float = 0.0
    """Monotonic time of the last event or bookmark, in seconds."""
    _known: dict[str, Json] = field(default_factory=dict)

    async def run(self) -> None:
        """List, watch, and list again when the watch cannot be resumed."""
        failures = 0
        version: str | None = None
        while True:
            try:
                if version is None:
                    version = await self._list()
                async for event in self.cluster.watch(self.kind, version, labels=self.labels):
                    self._note_event()
                    version = event.object["metadata"]["resourceVersion"]
                    self._handle_event(event.type, event.object)
                    failures = 0
            except ResourceVersionExpired:
                version = None
            except AcesniperError as error:
                failures += 1
                pause_s = RETRY.delay_s(failures)
                log.warning("%s: %s; retrying in %.1f s", self.kind.plural, error, pause_s)
                if failures > 1:
                    # The server may not know our resource version, as after a restore from backup.
                    version = None
                await asyncio.sleep(pause_s)

    async def _list(self) -> str:
        version = ""
        if self._known:
            version = await self._relist()
        else:
            async for page, page_version in self.cluster.pages(self.kind, labels=self.labels):
                await self._add(page)
                version = page_version
        self._note_event()
        self.synced.set()
        return version

    async def _relist(self) -> str:
        """Deletions are passed on first: a new object may have the name of a deleted one."""
        objects: list[Json] = []
        version = ""
        async for page, page_version in self.cluster.pages(self.kind, labels=self.labels):
            objects += page
            version = page_version
        listed = {obj["metadata"]["uid"] for obj in objects}
        for uid in self._known.keys() - listed:
            self._handle_event("DELETED", self._known[uid])
        await self._add(objects)
        return version

    async def _add(self, objects: Sequence[Json]) -> None:
        for number, obj in enumerate(objects):
            if number % BATCH_SIZE == 0:
                # Let other coroutines run: kube-scheduler waits for responses.
                await asyncio.sleep(0)
            self._handle_event("ADDED", obj)

    def _note_event(self) -> None:
        self.last_event_s = self.liveness.clock()
        self.liveness.received(self.kind.plural, expect_next=True)

    def _handle_event(self, event_type: str, obj: Json) -> None:
        if event_type == "BOOKMARK":
            return
        uid = obj["metadata"]["uid"]
        if event_type == "DELETED":
            self._known.pop(uid, None)
            self.skipped.deliver(self.kind, self.apply, DELETE, obj)
        else:
            # What a DELETE needs; whole objects would double the memory of every cache.
            metadata = obj["metadata"]
            identity = {key: metadata.get(key) for key in ("uid", "name", "namespace")}
            self._known[uid] = {"metadata": identity}
            self.skipped.deliver(self.kind, self.apply, UPSERT, obj)
