import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from itertools import pairwise

import pytest

from acesniper.domain.errors import Throttled, Unavailable
from acesniper.operator.workqueue import RETRY, WorkQueue
from virtual_time import in_virtual_time, now_s

Handle = Callable[[str], Awaitable[float | None]]


@asynccontextmanager
async def working(
    handle: Handle, workers: int = 2, failed_keys: list[str] | None = None
) -> AsyncIterator[WorkQueue[str]]:
    queue = WorkQueue(handle, failed_keys.append) if failed_keys is not None else WorkQueue(handle)
    running = asyncio.create_task(queue.run(workers))
    try:
        yield queue
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def quiet() -> None:
    await asyncio.sleep(0.001)


def failing(*errors: Exception) -> tuple[Handle, list[float]]:
    """A handler that raises each error once, then succeeds; it records the times of its calls."""
    left, called_s = list(errors), list[float]()

    async def handle(key: str) -> None:
        called_s.append(now_s())
        if left:
            raise left.pop(0)

    return handle, called_s


def pauses(called_s: list[float]) -> list[float]:
    return [later - earlier for earlier, later in pairwise(called_s)]


@in_virtual_time
async def test_a_queued_key_is_not_queued_twice() -> None:
    handle, called_s = failing()

    async with working(handle) as queue:
        for _ in range(5):
            queue.add("a")
        waiting = len(queue)
        await quiet()

    assert waiting == 1
    assert len(called_s) == 1


@in_virtual_time
async def test_a_key_added_while_it_is_processed_is_processed_again_afterwards() -> None:
    busy, most, done = 0, 0, 0

    async def handle(key: str) -> None:
        nonlocal busy, most, done
        busy += 1
        most = max(most, busy)
        await asyncio.sleep(1.0)
        busy -= 1
        done += 1

    async with working(handle, workers=4) as queue:
        queue.add("a")
        await asyncio.sleep(0.5)
        queue.add("a")
        queue.add("a")
        await asyncio.sleep(5.0)

    assert (most, done) == (1, 2)


@in_virtual_time
async def test_different_keys_are_processed_concurrently() -> None:
    ended_s: list[float] = []

    async def handle(key: str) -> None:
        await asyncio.sleep(1.0)
        ended_s.append(now_s())

    async with working(handle, workers=2) as queue:
        for key in "abc":
            queue.add(key)
        await asyncio.sleep(3.0)

    assert ended_s == pytest.approx([1.0, 1.0, 2.0])


@in_virtual_time
async def test_failures_are_retried_with_back_off_up_to_a_limit() -> None:
    handle, called_s = failing(*[Unavailable("away")] * 11)

    failed_keys: list[str] = []

    async with working(handle, failed_keys=failed_keys) as queue:
        queue.add("a")
        await asyncio.sleep(600.0)

    expected = [min(RETRY.first_s * 2**count, RETRY.max_s) for count in range(11)]
    assert pauses(called_s) == pytest.approx(expected)
    assert failed_keys == ["a"] * 11


@in_virtual_time
async def test_a_success_resets_the_back_off() -> None:
    handle, called_s = failing(Unavailable("away"), Unavailable("away"))
    async with working(handle) as queue:
        queue.add("a")
        await asyncio.sleep(5.0)
        successes_s = called_s[-1]
        handle_again, again_s = failing(Unavailable("away"))
        queue._handle = handle_again
        queue.add("a")
        await asyncio.sleep(5.0)

    assert successes_s == pytest.approx(RETRY.first_s * 3)
    assert pauses(again_s) == pytest.approx([RETRY.first_s])


@in_virtual_time
async def test_retry_after_of_the_server_is_respected() -> None:
    handle, called_s = failing(Throttled("slow down", 30.0))

    async with working(handle) as queue:
        queue.add("a")
        await asyncio.sleep(60.0)

    assert pauses(called_s) == pytest.approx([30.0])


@in_virtual_time
async def test_a_handler_can_requeue_its_key() -> None:
    answers = [5.0, None]
    called_s: list[float] = []

    async def handle(key: str) -> float | None:
        called_s.append(now_s())
        return answers.pop(0)

    async with working(handle) as queue:
        queue.add("a")
        await asyncio.sleep(60.0)

    assert called_s == pytest.approx([0.0, 5.0])


@in_virtual_time
async def test_the_earlier_of_two_delays_applies() -> None:
    handle, called_s = failing()

    async with working(handle) as queue:
        queue.add_after("a", 5.0)
        queue.add_after("a", 50.0)
        queue.add_after("a", 2.0)
        await asyncio.sleep(100.0)

    assert called_s == pytest.approx([2.0])


@in_virtual_time
async def test_an_unexpected_exception_for_one_key_does_not_stop_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A bug with one object must not stop the operator for all others."""
    done: list[str] = []
    failed_keys: list[str] = []

    async def handle(key: str) -> None:
        if key == "bad":
            raise TypeError("a bug")
        done.append(key)

    with caplog.at_level(logging.ERROR):
        async with working(handle, 1, failed_keys) as queue:
            queue.add("bad")
            queue.add("good")
            await asyncio.sleep(1.0)

    assert done == ["good"]
    assert set(failed_keys) == {"bad"}
    assert "a bug" in caplog.text
