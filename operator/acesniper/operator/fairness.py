"""Fair use of the operator's model workers by namespaces.

`NamespaceTurns` decides which model is worked on next: the namespace with the fewest models in
progress precedes, one slow server occupies one worker of a namespace, and a namespace may use
several workers only while many are free. `FairSlot` is held by one at a time, such as the reader of
graphs: the namespace that has used it least in the last minutes is next. So a namespace with few
models waits for what is in progress, and not for what others have queued.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

MAX_PER_GROUP = 2
HALF_LIFE_S = 600.0
"""Time after which use counts half."""


@dataclass(slots=True)
class _Group(Generic[K]):
    """Queued keys of one namespace by lane, the lane that was served last at the end."""

    lanes: dict[str, deque[K]] = field(default_factory=dict)
    busy: set[str] = field(default_factory=set)

    def free_lane(self) -> str | None:
        return next((lane for lane in self.lanes if lane not in self.busy), None)


class NamespaceTurns(Generic[K]):
    """Keys that wait for a worker, by group (namespace) and lane (server) of each."""

    def __init__(
        self,
        place: Callable[[K], tuple[str, str]],
        workers: int,
        max_per_group: int = MAX_PER_GROUP,
    ) -> None:
        """Create a queue.

        Args:
            place: group and lane of a key. One key of a lane is in progress at a time.
            workers: number of workers that call `get`.
            max_per_group: keys of a group in progress, while more than half of the workers are
                free; one otherwise.
        """
        self._place = place
        self._workers = workers
        self._max_per_group = max_per_group
        self._groups: dict[str, _Group[K]] = {}
        self._in_progress: dict[K, tuple[str, str]] = {}
        self._waiting: deque[asyncio.Future[K]] = deque()

    def put_nowait(self, key: K) -> None:
        """Queue a key; it must not be queued already."""
        group, lane = self._place(key)
        self._groups.setdefault(group, _Group()).lanes.setdefault(lane, deque()).append(key)
        self._hand_out()

    async def get(self) -> K:
        """The next key; the worker has to call `done` with it."""
        future: asyncio.Future[K] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._hand_out()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self.done(future.result())
            raise

    def done(self, key: K) -> None:
        """Free the key's lane; keys that `get` did not return are ignored."""
        if (place := self._in_progress.pop(key, None)) is None:
            return
        group, lane = place
        self._groups[group].busy.discard(lane)
        self._drop_if_empty(group)
        self._hand_out()

    def _hand_out(self) -> None:
        while self._waiting:
            if self._waiting[0].done():  # cancelled
                self._waiting.popleft()
            elif (key := self._take()) is not None:
                self._waiting.popleft().set_result(key)
            else:
                return

    def _take(self) -> K | None:
        """The key to work on next, which is then in progress."""
        are_many_free = 2 * len(self._in_progress) < self._workers
        most = self._max_per_group if are_many_free else 1
        best: tuple[int, str, str] | None = None
        for name, group in self._groups.items():
            used = len(group.busy)
            if used < most and (best is None or used < best[0]):
                lane = group.free_lane()
                best = best if lane is None else (used, name, lane)
        if best is None:
            return None
        _, name, lane = best
        # To the end of both orders.
        group = self._groups.pop(name)
        self._groups[name] = group
        keys = group.lanes.pop(lane)
        key = keys.popleft()
        if keys:
            group.lanes[lane] = keys
        group.busy.add(lane)
        self._in_progress[key] = name, lane
        return key

    def _drop_if_empty(self, name: str) -> None:
        group = self._groups[name]
        if not group.lanes and not group.busy:
            del self._groups[name]


class FairSlot:
    """A slot for one holder; of the groups that wait, the one with the least recent use is next."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Measure use with `clock`, in seconds."""
        self._clock = clock
        self._used: dict[str, tuple[float, float]] = {}  # seconds, and when they were counted
        self._waiting: dict[asyncio.Future[None], str] = {}
        self._is_held = False

    @asynccontextmanager
    async def held(self, group: str) -> AsyncIterator[None]:
        """Hold the slot on behalf of a group, after waiting for it."""
        if self._is_held:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting[future] = group
            try:
                await future
            except asyncio.CancelledError:
                if self._waiting.pop(future, None) is None:
                    self._pass_on()
                raise
        self._is_held = True
        started_s = self._clock()
        try:
            yield
        finally:
            now_s = self._clock()
            self._used[group] = self.used_s(group) + now_s - started_s, now_s
            self._pass_on()

    def used_s(self, group: str) -> float:
        """Seconds that a group used the slot, of which older ones count less."""
        seconds, counted_s = self._used.get(group, (0.0, 0.0))
        return seconds * math.exp2((counted_s - self._clock()) / HALF_LIFE_S)

    def _pass_on(self) -> None:
        self._used = {group: use for group, use in self._used.items() if self.used_s(group) > 0.01}
        self._is_held = bool(self._waiting)
        if self._waiting:
            # The first of equals is the one that waits longest.
            future = min(self._waiting, key=lambda waiting: self.used_s(self._waiting[waiting]))
            del self._waiting[future]
            future.set_result(None)
