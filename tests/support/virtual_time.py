"""An event loop with virtual time: it jumps to the next timer when all tasks wait.

Only for code without real I/O or threads. If all tasks wait and there is no timer, the loop raises
StandstillError instead of blocking.
"""

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

Events = list[tuple[selectors.SelectorKey, int]]


LONGEST_S = 24 * 3600.0
"""Timers beyond this are ignored."""


class StandstillError(Exception):
    """All tasks wait and no timer is due."""


class _Selector(selectors.DefaultSelector):
    """Advances the virtual time instead of waiting."""

    now_s = 0.0

    def select(self, timeout: float | None = None) -> Events:
        ready: Events = super().select(0)
        if not ready:
            if timeout is None or self.now_s + timeout > LONGEST_S:
                raise StandstillError
            self.now_s += timeout
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock starts at 0 and jumps from timer to timer."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now_s


def in_virtual_time(test: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Decorator: run an async test on a new loop in virtual time."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            return runner.run(test(*args, **kwargs))

    return run


def now_s() -> float:
    """The current virtual time."""
    return asyncio.get_running_loop().time()


class Clock:
    """A clock set by the test."""

    def __init__(self, now_s: float = 0.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s
