"""A local mirror of the objects of one kind, kept by list and watch.

The official client's informer is a thread per kind with blocking I/O; planner and extender live on
one event loop, where every decision is made between two events, without locks.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from acesniper.api.names import Kind
from acesniper.api.objects import Json
from acesniper.domain.errors import AcesniperError, InvalidInput, ResourceVersionExpired
from acesniper.runtime.client import Cluster

log = logging.getLogger(__name__)

Handler = Callable[[str, Json], None]
"""Called with UPSERT or DELETE and the object, for every change. An object that it refuses with
InvalidInput is left out; the others are not disturbed. Of an object that was found missing when the
watch had lost its place, DELETE brings no more than UID, name and namespace."""
UPSERT = "UPSERT"
DELETE = "DELETE"
BATCH_SIZE = 50
"""Objects of a list that are applied in one go."""
STALLED_AFTER_S = 300.0
"""A watch that was cut silently is opened again before that (`kube.WATCH_TIMEOUT_S`), and bookmarks
come every minute. Whoever hears nothing for so long hears nothing any more."""
RETRY_S = (0.2, 5.0)
"""First and longest pause after a failure; doubled in between."""


@dataclass(slots=True)
class Reflector:
    """Follows one kind for ever; `synced` is set once the first list was applied."""

    cluster: Cluster
    kind: Kind
    apply: Handler
    labels: str = ""
    synced: asyncio.Event = field(default_factory=asyncio.Event)
    last_event_s: float = 0.0
    """Monotonic time of the last line from the server; bookmarks count."""
    _known: dict[str, Json] = field(default_factory=dict)

    def deaf(self, now_s: float) -> bool:
        """Whether the server has been silent for too long, at a monotonic time."""
        return self.synced.is_set() and now_s - self.last_event_s > STALLED_AFTER_S

    async def run(self) -> None:
        """List, watch, and list again when the watch lost its place."""
        pause_s = RETRY_S[0]
        version: str | None = None
        while True:
            try:
                if version is None:
                    version = await self._list()
                async for event in self.cluster.watch(self.kind, version, labels=self.labels):
                    self.last_event_s = time.monotonic()
                    version = event.object["metadata"]["resourceVersion"]
                    self._take(event.type, event.object)
                    pause_s = RETRY_S[0]
            except ResourceVersionExpired:
                version = None
            except AcesniperError as error:
                log.warning("%s: %s; trying again in %.1f s", self.kind.plural, error, pause_s)
                if pause_s > RETRY_S[0]:
                    # Twice in a row: it may be our version that the server cannot serve (restored
                    # from a backup, it may have never seen it).
                    version = None
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, RETRY_S[1])

    async def _list(self) -> str:
        if self._known:
            return await self._list_again()
        version = ""
        async for page, at in self.cluster.pages(self.kind, labels=self.labels):
            await self._add(page)
            version = at
        self.last_event_s = time.monotonic()
        self.synced.set()
        return version

    async def _list_again(self) -> str:
        """What is gone goes first: another object may have its name."""
        objects, version = await self.cluster.list(self.kind, labels=self.labels)
        self.last_event_s = time.monotonic()
        listed = {each["metadata"]["uid"] for each in objects}
        for uid in self._known.keys() - listed:
            self._take("DELETED", self._known[uid])
        await self._add(objects)
        return version

    async def _add(self, objects: Sequence[Json]) -> None:
        for number, each in enumerate(objects):
            if number % BATCH_SIZE == 0:
                # Others have to get their turn: kube-scheduler waits for answers.
                await asyncio.sleep(0)
            self._take("ADDED", each)

    def _take(self, event_type: str, obj: Json) -> None:
        if event_type == "BOOKMARK":
            return
        uid = obj["metadata"]["uid"]
        if event_type == "DELETED":
            self._known.pop(uid, None)
            self._tell(DELETE, obj)
        else:
            # Enough to report it gone: whole objects would double the memory of every mirror.
            metadata = obj["metadata"]
            kept = {key: metadata.get(key) for key in ("uid", "name", "namespace")}
            self._known[uid] = {"metadata": kept}
            self._tell(UPSERT, obj)

    def _tell(self, change: str, obj: Json) -> None:
        try:
            self.apply(change, obj)
        except InvalidInput as error:
            log.warning("ignored: %s", error)
        except Exception:
            # The outermost loop: an object that we did not think of must not stop all the others,
            # and a restart would find it again.
            metadata = obj["metadata"]
            told = f"{metadata.get('namespace') or ''}/{metadata.get('name')}".lstrip("/")
            log.exception("%s %s: ignored", self.kind.plural, told)
