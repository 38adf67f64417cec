"""A work queue of keys to reconcile, with retries and back-off.

It has the guarantees of client-go's workqueue: a key is processed by one worker at a time, a key
added while it is processed is processed again afterwards, and a queued key is not queued twice.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, Protocol, TypeVar

from acesniper.domain.backoff import Backoff
from acesniper.domain.errors import AcesniperError, Throttled

log = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)

RETRY = Backoff(first_s=0.2, max_s=60.0)


class ReadyKeys(Protocol[K]):
    """Keys that wait for a worker, in the order in which they are worked on."""

    def put_nowait(self, key: K) -> None:
        """Add a key that is not in the queue."""

    async def get(self) -> K:
        """Remove and return the next key, after waiting for one."""
        ...

    def done(self, key: K) -> None:
        """The worker has finished with a key."""


class _FirstInFirstOut(asyncio.Queue[K]):
    def done(self, key: K) -> None:
        """Keep no account of keys in progress."""


class WorkQueue(Generic[K]):
    """Keys to reconcile and the workers that process them."""

    def __init__(
        self,
        handle: Callable[[K], Awaitable[float | None]],
        on_failure: Callable[[K], None] = lambda _: None,
        ready: ReadyKeys[K] | None = None,
    ) -> None:
        """Create a queue.

        Args:
            handle: reconciles a key; may return the seconds until it is requeued.
            on_failure: called for each key whose reconciliation failed, before the retry.
            ready: the order of keys; by default first come, first served.
        """
        self._handle = handle
        self._ready: ReadyKeys[K] = ready or _FirstInFirstOut()
        self._waiting: set[K] = set()
        self._working: set[K] = set()
        self._added_meanwhile: set[K] = set()
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._failures: dict[K, int] = {}
        self._on_failure = on_failure

    def __len__(self) -> int:
        return len(self._waiting) + len(self._working)

    def add(self, key: K) -> None:
        """Reconcile `key` as soon as a worker is free."""
        if key in self._working:
            self._added_meanwhile.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._ready.put_nowait(key)

    def add_after(self, key: K, delay_s: float) -> None:
        """Reconcile `key` in `delay_s` seconds, or earlier if that was scheduled already."""
        loop = asyncio.get_running_loop()
        due = loop.time() + delay_s
        if (timer := self._timers.get(key)) is not None:
            if timer.when() <= due and not timer.cancelled():
                return
            timer.cancel()
        self._timers[key] = loop.call_at(due, self._timer_expired, key)

    def _timer_expired(self, key: K) -> None:
        self._timers.pop(key, None)
        self.add(key)

    async def run(self, workers: int) -> None:
        """Process keys with this number of workers until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            key = await self._ready.get()
            self._waiting.discard(key)
            self._working.add(key)
            try:
                await self._attempt(key)
            finally:
                self._working.discard(key)
                self._ready.done(key)
                if key in self._added_meanwhile:
                    self._added_meanwhile.discard(key)
                    self.add(key)

    def _failed(self, key: K) -> float:
        """Count a failure; returns the back-off in seconds."""
        self._on_failure(key)
        count = self._failures[key] = self._failures.get(key, 0) + 1
        return RETRY.delay_s(count)

    async def _attempt(self, key: K) -> None:
        try:
            requeue_after_s = await self._handle(key)
        except AcesniperError as error:
            requeue_after_s = self._failed(key)
            if isinstance(error, Throttled):
                requeue_after_s = max(requeue_after_s, error.retry_after_s)
            log.warning("%s: %s; retrying in %.1f s", key, error, requeue_after_s)
        except Exception:
            # The outermost loop: a bug with one object must not stop the others.
            requeue_after_s = self._failed(key)
            log.exception("%s: retrying in %.1f s", key, requeue_after_s)
        else:
            self._failures.pop(key, None)
        if requeue_after_s is not None:
            self.add_after(key, requeue_after_s)
