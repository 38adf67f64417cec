import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from itertools import pairwise

import pytest

from acesniper.api.names import NODES
from acesniper.api.objects import Json
from acesniper.domain.errors import Forbidden, InvalidInput, Unavailable
from acesniper.runtime.watch import BATCH_SIZE, Reflector
from builders import make_node
from fake_cluster import Call, FakeCluster
from virtual_time import in_virtual_time, now_s

Heard = list[tuple[str, str]]


@asynccontextmanager
async def following(
    cluster: FakeCluster, apply: Callable[[str, Json], None] | None = None
) -> AsyncIterator[tuple[Heard, Reflector]]:
    heard: Heard = []

    def note(change: str, obj: Json) -> None:
        heard.append((change, obj["metadata"]["name"]))
        if apply is not None:
            apply(change, obj)

    reflector = Reflector(cluster, NODES, note)
    running = asyncio.create_task(reflector.run())
    try:
        yield heard, reflector
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def quiet() -> None:
    """Until all that can happen now has happened."""
    await asyncio.sleep(0.001)


def count(cluster: FakeCluster, verb: str) -> int:
    return sum(call.verb == verb for call in cluster.calls)


@in_virtual_time
async def test_what_exists_is_told_first_and_then_every_change() -> None:
    cluster = FakeCluster()
    cluster.put(NODES, make_node("a"))

    async with following(cluster) as (heard, reflector):
        await reflector.synced.wait()
        cluster.put(NODES, make_node("b"))
        cluster.change(NODES, "a", None, {"spec": {"unschedulable": True}})
        cluster.remove(NODES, "b")
        await quiet()

    assert heard == [("UPSERT", "a"), ("UPSERT", "b"), ("UPSERT", "a"), ("DELETE", "b")]


@in_virtual_time
async def test_a_watch_that_ends_goes_on_where_it_was() -> None:
    cluster = FakeCluster()
    cluster.put(NODES, make_node("a"))

    async with following(cluster) as (heard, reflector):
        await reflector.synced.wait()
        await quiet()
        cluster.break_watches()
        cluster.put(NODES, make_node("b"))
        await quiet()

    assert heard == [("UPSERT", "a"), ("UPSERT", "b")]
    assert count(cluster, "list") == 1


@in_virtual_time
async def test_what_was_deleted_in_a_gap_is_reported() -> None:
    cluster = FakeCluster()
    cluster.put(NODES, make_node("a"))
    cluster.put(NODES, make_node("b"))

    async with following(cluster) as (heard, reflector):
        await reflector.synced.wait()
        await quiet()
        cluster.remove(NODES, "a")
        cluster.compact()
        cluster.break_watches()
        await quiet()

    assert heard[:2] == [("UPSERT", "a"), ("UPSERT", "b")]
    assert heard[2:] == [("DELETE", "a"), ("UPSERT", "b")]
    assert count(cluster, "list") == 2


@in_virtual_time
async def test_an_object_that_was_replaced_in_a_gap_goes_before_it_comes() -> None:
    cluster = FakeCluster()
    cluster.put(NODES, make_node("a"))

    async with following(cluster) as (heard, reflector):
        await reflector.synced.wait()
        await quiet()
        cluster.remove(NODES, "a")
        replaced = make_node("a")
        replaced["metadata"]["uid"] = "another"
        cluster.put(NODES, replaced)
        cluster.compact()
        cluster.break_watches()
        await quiet()

    assert heard == [("UPSERT", "a"), ("DELETE", "a"), ("UPSERT", "a")]


@pytest.mark.parametrize("error", [Unavailable("away"), Forbidden("no right")], ids=repr)
@in_virtual_time
async def test_a_failure_is_tried_again_later_and_later(error: Exception) -> None:
    cluster = FakeCluster()
    tried_s: list[float] = []

    def fail(call: Call) -> None:
        tried_s.append(now_s())
        if len(tried_s) < 8:
            raise error

    cluster.before = fail
    async with following(cluster) as (_, reflector):
        await reflector.synced.wait()

    pauses = [later - earlier for earlier, later in pairwise(tried_s)]
    assert pauses[:7] == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0])


@in_virtual_time
async def test_a_success_makes_the_next_failure_a_first_one() -> None:
    cluster = FakeCluster()
    failing = [True, True, True, False, False, True, False]
    tried_s: list[float] = []

    def fail(call: Call) -> None:
        tried_s.append(now_s())
        if failing and failing.pop(0):
            raise Unavailable("away")

    cluster.before = fail
    async with following(cluster) as (_, reflector):
        await reflector.synced.wait()
        cluster.put(NODES, make_node("a"))
        await quiet()
        before_s = now_s()
        cluster.break_watches()
        await asyncio.sleep(1.0)

    assert tried_s[-1] - before_s == pytest.approx(0.2)


@in_virtual_time
async def test_a_version_that_the_server_does_not_take_leads_to_a_new_list() -> None:
    """After a restore from a backup, the version we know may lie in the server's future."""
    cluster = FakeCluster()

    def refuse(call: Call) -> None:
        if call.verb == "watch" and count(cluster, "list") < 2:
            raise Unavailable("Too large resource version")

    cluster.before = refuse
    async with following(cluster) as (heard, reflector):
        await reflector.synced.wait()
        cluster.put(NODES, make_node("a"))
        await asyncio.sleep(10)

    assert heard == [("UPSERT", "a")]


@in_virtual_time
async def test_an_object_that_cannot_be_read_stops_nothing() -> None:
    cluster = FakeCluster()
    cluster.put(NODES, make_node("bad"))

    def apply(change: str, obj: Json) -> None:
        if obj["metadata"]["name"] == "bad":
            raise InvalidInput("bad cannot be read")

    async with following(cluster, apply) as (heard, reflector):
        await reflector.synced.wait()
        cluster.put(NODES, make_node("good"))
        await quiet()

    assert heard == [("UPSERT", "bad"), ("UPSERT", "good")]


@in_virtual_time
async def test_an_object_that_nobody_thought_of_stops_nothing_and_is_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cluster = FakeCluster()
    cluster.put(NODES, make_node("bad"))

    def apply(change: str, obj: Json) -> None:
        if obj["metadata"]["name"] == "bad":
            raise ZeroDivisionError

    async with following(cluster, apply) as (heard, reflector):
        await reflector.synced.wait()
        cluster.put(NODES, make_node("good"))
        await quiet()

    assert heard == [("UPSERT", "bad"), ("UPSERT", "good")]
    assert "nodes bad: ignored" in caplog.text


@in_virtual_time
async def test_nothing_is_known_before_the_first_list() -> None:
    cluster = FakeCluster()

    async with following(cluster) as (_, reflector):
        before = reflector.synced.is_set()
        await reflector.synced.wait()

    assert before is False


@in_virtual_time
async def test_others_get_their_turn_while_a_long_list_is_applied() -> None:
    cluster = FakeCluster()
    for number in range(10 * BATCH_SIZE):
        cluster.put(NODES, make_node(f"n{number:04}"))
    seen: list[int] = []

    async with following(cluster) as (heard, reflector):
        while not reflector.synced.is_set():
            seen.append(len(heard))
            await asyncio.sleep(0)

    steps = [later - sooner for sooner, later in pairwise(seen)]
    assert max(steps) <= BATCH_SIZE
    assert len(heard) == 10 * BATCH_SIZE
