"""Fair order of models between namespaces, in virtual time."""

import asyncio
from contextlib import suppress

import pytest

from acesniper.operator.fairness import FairSlot, NamespaceTurns
from acesniper.operator.workqueue import WorkQueue
from virtual_time import in_virtual_time, now_s

Key = str
"""`NAMESPACE/SERVER/NUMBER`"""


def place(key: Key) -> tuple[str, str]:
    namespace, server, _ = key.split("/")
    return namespace, server


class Workers:
    """Workers for which each key takes some seconds; remembers when each started."""

    def __init__(self, workers: int, seconds: float) -> None:
        self.started: dict[Key, float] = {}
        self.seconds = seconds
        self.queue = WorkQueue(self.work, ready=NamespaceTurns(place, workers))
        self.running = asyncio.create_task(self.queue.run(workers))

    async def work(self, key: Key) -> float | None:
        self.started[key] = now_s()
        await asyncio.sleep(self.seconds)
        return None

    async def stop(self) -> None:
        self.running.cancel()
        with suppress(asyncio.CancelledError):
            await self.running


@in_virtual_time
async def test_a_slow_server_holds_up_its_namespaces_models_there_only() -> None:
    workers = Workers(8, seconds=120.0)
    for number in range(48):
        workers.queue.add(f"greedy/slow/{number}")
    workers.queue.add("greedy/fast/0")
    await asyncio.sleep(1.0)
    workers.queue.add("honest/fast/0")
    await asyncio.sleep(1.0)
    await workers.stop()

    assert set(workers.started) == {"greedy/slow/0", "greedy/fast/0", "honest/fast/0"}
    assert workers.started["honest/fast/0"] - workers.started["greedy/slow/0"] == 1.0


@in_virtual_time
@pytest.mark.parametrize("greedy", [1, 10, 50])
async def test_a_namespace_starts_while_others_fill_what_they_may(greedy: int) -> None:
    workers = Workers(64, seconds=120.0)
    for namespace in range(greedy):
        for number in range(40):
            workers.queue.add(f"greedy{namespace}/server{number}/{number}")
    await asyncio.sleep(1.0)
    workers.queue.add("honest/server/0")
    await asyncio.sleep(0.1)
    in_progress = len(workers.started)
    await workers.stop()

    assert "honest/server/0" in workers.started
    assert in_progress == 1 + greedy * (2 if greedy < 16 else 1)


@in_virtual_time
async def test_with_fewer_workers_than_namespaces_a_new_one_is_next() -> None:
    workers = Workers(2, seconds=10.0)
    for namespace in range(20):
        for number in range(5):
            workers.queue.add(f"n{namespace}/s/{number}")
    await asyncio.sleep(15.0)
    served = list(workers.started)
    await workers.stop()

    assert {key.split("/")[0] for key in served} == {"n0", "n1", "n2", "n3"}


async def test_a_cancelled_worker_leaves_its_key_to_others() -> None:
    queue = NamespaceTurns(place, 2)
    first = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.put_nowait("a/s/0")
    first.cancel()
    with suppress(asyncio.CancelledError):
        await first
    queue.put_nowait("a/s/1")

    assert await queue.get() == "a/s/1"


@in_virtual_time
async def test_the_slot_goes_to_the_namespace_that_used_it_least() -> None:
    slot, order = FairSlot(now_s), list[str]()

    async def use(namespace: str, seconds: float) -> None:
        async with slot.held(namespace):
            order.append(namespace)
            await asyncio.sleep(seconds)

    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(use("greedy", 30.0))
        await asyncio.sleep(1.0)
        group.create_task(use("honest", 1.0))
        group.create_task(use("honest", 1.0))

    assert order == ["greedy", "honest", "honest", "greedy", "greedy"]


@in_virtual_time
async def test_use_of_the_slot_is_forgotten() -> None:
    slot = FairSlot(now_s)
    async with slot.held("a"):
        await asyncio.sleep(64.0)

    await asyncio.sleep(600.0)

    assert slot.used_s("a") == pytest.approx(32.0)


@in_virtual_time
async def test_a_waiter_that_is_cancelled_passes_the_slot_on() -> None:
    slot = FairSlot(now_s)

    async def use() -> None:
        async with slot.held("a"):
            await asyncio.sleep(1.0)

    tasks = [asyncio.create_task(use()) for _ in range(3)]
    await asyncio.sleep(0.5)
    tasks[1].cancel()
    await asyncio.sleep(2.0)

    assert tasks[2].done()
