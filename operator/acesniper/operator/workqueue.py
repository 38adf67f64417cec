"""A queue of things to reconcile: each at most once at a time, failures later and later.

The same promises as client-go's workqueue: a key added while it is being worked on is worked on
once more afterwards, and a key that is waiting is not queued twice.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from acesniper.domain.backoff import Backoff
from acesniper.domain.errors import AcesniperError, Throttled

log = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)

RETRY = Backoff(first_s=0.2, max_s=60.0)


class WorkQueue(Generic[K]):
    """Keys to reconcile, and the workers that do it."""

    def __init__(
        self,
        handle: Callable[[K], Awaitable[float | None]],
        on_failure: Callable[[K], None] = lambda _: None,
    ) -> None:
        """`handle` reconciles a key; it may return seconds after which to look again.

        `on_failure` is told of every key that could not be reconciled and will be tried again.
        """
        self._handle = handle
        self._ready: asyncio.Queue[K] = asyncio.Queue()
        self._waiting: set[K] = set()
        self._working: set[K] = set()
        self._again: set[K] = set()
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._failures: dict[K, int] = {}
        self._on_failure = on_failure

    def __len__(self) -> int:
        return len(self._waiting) + len(self._working)

    def add(self, key: K) -> None:
        """Reconcile `key` as soon as a worker is free."""
        if key in self._working:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._ready.put_nowait(key)

    def add_after(self, key: K, delay_s: float) -> None:
        """Reconcile `key` in `delay_s` seconds; an earlier appointment stands."""
        loop = asyncio.get_running_loop()
        due = loop.time() + delay_s
        if (timer := self._timers.get(key)) is not None:
            if timer.when() <= due and not timer.cancelled():
                return
            timer.cancel()
        self._timers[key] = loop.call_at(due, self._due, key)

    def _due(self, key: K) -> None:
        self._timers.pop(key, None)
        self.add(key)

    async def run(self, workers: int) -> None:
        """Work for ever with `workers` keys at a time."""
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
                if key in self._again:
                    self._again.discard(key)
                    self.add(key)

    def _failed(self, key: K) -> float:
        """Count a failure; returns the seconds to wait."""
        self._on_failure(key)
        count = self._failures[key] = self._failures.get(key, 0) + 1
        return RETRY.delay_s(count)

    async def _attempt(self, key: K) -> None:
        try:
            again_s = await self._handle(key)
        except AcesniperError as error:
            again_s = self._failed(key)
            if isinstance(error, Throttled):
                again_s = max(again_s, error.retry_after_s)
            log.warning("%s: %s; trying again in %.1f s", key, error, again_s)
        except Exception:
            # The outermost loop: our mistake with one object must not stop all the others.
            again_s = self._failed(key)
            log.exception("%s: trying again in %.1f s", key, again_s)
        else:
            self._failures.pop(key, None)
        if again_s is not None:
            self.add_after(key, again_s)
