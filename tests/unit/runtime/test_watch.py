import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from itertools import pairwise

import pytest

from acesniper.api.names import NODES
from acesniper.api.objects import Json
from acesniper.api.untrusted_json import UNREADABLE
from acesniper.domain.errors import Forbidden, InvalidInput, Unavailable
from acesniper.runtime.watch import BATCH_SIZE, STALLED_AFTER_S, Reflector, WatchLiveness
from builders import make_node
from fake_cluster import Call, FakeCluster
from virtual_time import Clock, in_virtual_time, now_s

Changes = list[tuple[str, str]]


@asynccontextmanager
async def reflecting(
    cluster: FakeCluster, apply: Callable[[str, Json], None] | None = None
) -> AsyncIterator[tuple[Changes, Reflector]]:
    changes: Changes = []

    def record(change: str, obj: Json) -> None:
        changes.append((change, obj["metadata"]["name"]))
        if apply is not None:
            apply(change, obj)

    reflector = Reflector(cluster, NODES, record)
    running = asyncio.create_task(reflector.run())
    try:
        yield changes, reflector
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def settle() -> None:
    """Wait until every pending event is processed."""
    await asyncio.sleep(0.001)


def count(cluster: FakeCluster, verb: str) -> int:
    return sum(call.verb == verb for call in cluster.calls)


@in_virtual_time
async def test_a_reflector_reports_existing_objects_and_then_every_change() -> None:
    cluster = FakeCluster()
    cluster.put(NODES, make_node("a"))

    async with reflecting(cluster) as (changes, reflector):
        await reflector.synced.wait()
        cluster.put(NODES, make_node("b"))
        cluster.change(NODES, "a", None, {"spec": {"unschedulable": True}})
        cluster.remove(NODES, "b")
        await settle()

    assert changes == [("UPSERT", "a"), ("UPSERT", "b"), ("UPSERT", "a"), ("DELETE", "b")]


@in_virtual_time
async def test_a_closed_watch_resumes_at_the_last_resource_version() -> None:
    cluster = FakeCluster()
    cluster.put(NODES, make_node("a"))

    async with reflecting(cluster) as (changes, reflector):
        await reflector.synced.wait()
        await settle()
        cluster.break_watches()
        cluster.put(NODES, make_node("b"))
        await settle()

    assert changes == [("UPSERT", "a"), ("UPSERT", "b")]
    assert count(cluster, "list") == 1


@in_virtual_time
async def test_an_object_deleted_during_a_gap_is_reported() -> None:
    cluster = FakeCluster()
    cluster.put(NODES, make_node("a"))
    cluster.put(NODES, make_node("b"))

    async with reflecting(cluster) as (changes, reflector):
        await reflector.synced.wait()
        await settle()
        cluster.remove(NODES, "a")
        cluster.compact()
        cluster.break_watches()
        await settle()

    assert changes[:2] == [("UPSERT", "a"), ("UPSERT", "b")]
    assert changes[2:] == [("DELETE", "a"), ("UPSERT", "b")]
    assert count(cluster, "list") == 2


@in_virtual_time
async def test_an_object_replaced_during_a_gap_is_deleted_and_then_upserted() -> None:
    cluster = FakeCluster()
    cluster.put(NODES, make_node("a"))

    async with reflecting(cluster) as (changes, reflector):
        await reflector.synced.wait()
        await settle()
        cluster.remove(NODES, "a")
        replaced = make_node("a")
        replaced["metadata"]["uid"] = "another"
        cluster.put(NODES, replaced)
        cluster.compact()
        cluster.break_watches()
        await settle()

    assert changes == [("UPSERT", "a"), ("DELETE", "a"), ("UPSERT", "a")]


@pytest.mark.parametrize("error", [Unavailable("down"), Forbidden("forbidden")], ids=repr)
@in_virtual_time
async def test_failures_are_retried_with_exponential_backoff(error: Exception) -> None:
    cluster = FakeCluster()
    attempts_s: list[float] = []

    def fail(call: Call) -> None:
        attempts_s.append(now_s())
        if len(attempts_s) < 8:
            raise error

    cluster.before = fail
    async with reflecting(cluster) as (_, reflector):
        await reflector.synced.wait()

    pauses = [later - earlier for earlier, later in pairwise(attempts_s)]
    assert pauses[:7] == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0])


@in_virtual_time
async def test_a_success_resets_the_backoff() -> None:
    cluster = FakeCluster()
    failures = [True, True, True, False, False, True, False]
    attempts_s: list[float] = []

    def fail(call: Call) -> None:
        attempts_s.append(now_s())
        if failures and failures.pop(0):
            raise Unavailable("down")

    cluster.before = fail
    async with reflecting(cluster) as (_, reflector):
        await reflector.synced.wait()
        cluster.put(NODES, make_node("a"))
        await settle()
        before_s = now_s()
        cluster.break_watches()
        await asyncio.sleep(1.0)

    assert attempts_s[-1] - before_s == pytest.approx(0.2)


@in_virtual_time
async def test_a_rejected_resource_version_leads_to_a_new_list() -> None:
    """After a restore from a backup, our resource version may be newer than the server's."""
    cluster = FakeCluster()

    def reject(call: Call) -> None:
        if call.verb == "watch" and count(cluster, "list") < 2:
            raise Unavailable("Too large resource version")

    cluster.before = reject
    async with reflecting(cluster) as (changes, reflector):
        await reflector.synced.wait()
        cluster.put(NODES, make_node("a"))
        await asyncio.sleep(10)

    assert changes == [("UPSERT", "a")]


@in_virtual_time
async def test_an_invalid_object_does_not_stop_the_reflector() -> None:
    cluster = FakeCluster()
    cluster.put(NODES, make_node("bad"))

    def apply(change: str, obj: Json) -> None:
        if obj["metadata"]["name"] == "bad":
            raise InvalidInput("bad cannot be read")

    async with reflecting(cluster, apply) as (changes, reflector):
        await reflector.synced.wait()
        cluster.put(NODES, make_node("good"))
        await settle()

    assert changes == [("UPSERT", "bad"), ("DELETE", "bad"), ("UPSERT", "good")]
    assert reflector.skipped.count("nodes") == 1


@in_virtual_time
async def test_an_object_that_can_be_used_again_or_is_gone_is_no_longer_skipped() -> None:
    cluster = FakeCluster()
    for name in ("corrected", "deleted", "missed"):
        cluster.put(NODES, make_node(name) | {UNREADABLE: "spec: too deep"})
    counts = []

    async with reflecting(cluster) as (changes, reflector):
        await reflector.synced.wait()
        counts.append(reflector.skipped.count("nodes"))
        cluster.change(NODES, "corrected", None, {UNREADABLE: None})
        cluster.remove(NODES, "deleted")
        await settle()
        counts.append(reflector.skipped.count("nodes"))
        cluster.remove(NODES, "missed")
        cluster.compact()
        cluster.break_watches()
        await settle()

    assert counts == [3, 1]
    assert reflector.skipped.count("nodes") == 0
    assert changes[-3:] == [("DELETE", "deleted"), ("DELETE", "missed"), ("UPSERT", "corrected")]


@in_virtual_time
async def test_an_unexpected_error_is_logged_and_does_not_stop_the_reflector(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cluster = FakeCluster()
    cluster.put(NODES, make_node("bad"))

    def apply(change: str, obj: Json) -> None:
        if obj["metadata"]["name"] == "bad":
            raise ZeroDivisionError

    async with reflecting(cluster, apply) as (changes, reflector):
        await reflector.synced.wait()
        cluster.put(NODES, make_node("good"))
        await settle()

    assert changes == [("UPSERT", "bad"), ("UPSERT", "good")]
    assert "nodes bad: ignored" in caplog.text


@in_virtual_time
async def test_a_reflector_is_not_synced_before_the_first_list() -> None:
    cluster = FakeCluster()

    async with reflecting(cluster) as (_, reflector):
        before = reflector.synced.is_set()
        await reflector.synced.wait()

    assert before is False


@in_virtual_time
async def test_a_long_list_is_applied_in_batches_without_blocking_the_loop() -> None:
    cluster = FakeCluster()
    for number in range(10 * BATCH_SIZE):
        cluster.put(NODES, make_node(f"n{number:04}"))
    applied: list[int] = []

    async with reflecting(cluster) as (changes, reflector):
        while not reflector.synced.is_set():
            applied.append(len(changes))
            await asyncio.sleep(0)

    steps = [later - sooner for sooner, later in pairwise(applied)]
    assert max(steps) <= BATCH_SIZE
    assert len(changes) == 10 * BATCH_SIZE


def test_a_quiet_cluster_is_not_stalled() -> None:
    clock = Clock()
    liveness = WatchLiveness(clock)

    liveness.received("Pod")
    clock.now_s += 10 * STALLED_AFTER_S

    assert liveness.stalled() == []


def test_a_watch_is_stalled_if_an_expected_event_does_not_arrive() -> None:
    clock = Clock()
    liveness = WatchLiveness(clock)

    liveness.expect("Pod")
    clock.now_s += STALLED_AFTER_S
    in_time = liveness.stalled()
    clock.now_s += 1.0

    assert in_time == []
    assert liveness.stalled() == ["Pod"]


def test_the_first_of_several_writes_starts_the_timeout() -> None:
    clock = Clock()
    liveness = WatchLiveness(clock)

    liveness.expect("Pod")
    clock.now_s += STALLED_AFTER_S
    liveness.expect("Pod")
    clock.now_s += 1.0

    assert liveness.stalled() == ["Pod"]


def test_any_event_of_the_kind_resets_the_timeout_and_others_do_not() -> None:
    clock = Clock()
    liveness = WatchLiveness(clock)

    liveness.expect("Pod")
    liveness.expect("Node")
    clock.now_s += STALLED_AFTER_S + 1.0
    liveness.received("Pod")

    assert liveness.stalled() == ["Node"]
