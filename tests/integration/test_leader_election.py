"""One planner at a time, and none that believes it acts alone while another does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from acesniper.api.names import LEASES
from acesniper.domain.errors import Unavailable
from acesniper.runtime.leader_election import LeaderElection, ObservedLease, micro_time
from fake_cluster import Call, FakeCluster
from virtual_time import Clock, in_virtual_time, now_s

DURATION_S = 15.0


def candidate(cluster: FakeCluster, identity: str) -> LeaderElection:
    return LeaderElection(cluster, "ours", "lease", identity, DURATION_S, now_s, now_s)


@asynccontextmanager
async def running(*candidates: LeaderElection) -> AsyncIterator[None]:
    jobs = [asyncio.create_task(candidate.run()) for candidate in candidates]
    try:
        yield
    finally:
        for job in jobs:
            job.cancel()
            with suppress(asyncio.CancelledError):
                await job


@in_virtual_time
async def test_the_first_holds_it_for_as_long_as_it_lives() -> None:
    cluster = FakeCluster()
    first, second = candidate(cluster, "first"), candidate(cluster, "second")

    async with running(first):
        await asyncio.sleep(1.0)
        async with running(second):
            await asyncio.sleep(1000.0)
            holders = first.held(), second.held()

    assert holders == (True, False)


@in_virtual_time
async def test_who_stops_in_peace_gives_it_back_at_once() -> None:
    cluster = FakeCluster()
    first, second = candidate(cluster, "first"), candidate(cluster, "second")

    async with running(second):
        async with running(first):
            await asyncio.sleep(1.0)
        left = first.held()
        await asyncio.sleep(DURATION_S)

        assert (left, second.held()) == (False, True)


@pytest.mark.parametrize("duration_s", [1.4, 8.0, 8.5])
@in_virtual_time
async def test_a_lease_is_told_to_last_no_shorter_than_it_is_held_for(duration_s: float) -> None:
    cluster = FakeCluster()
    holder = LeaderElection(cluster, "ours", "lease", "holder", duration_s, now_s, now_s)

    async with running(holder):
        await asyncio.sleep(0.1)

        assert cluster.one(LEASES, "lease", "ours")["spec"]["leaseDurationSeconds"] >= duration_s


@in_virtual_time
async def test_the_same_pod_has_it_again_at_once_after_a_crash() -> None:
    cluster = FakeCluster()
    cluster.put(
        LEASES,
        {
            "metadata": {"name": "lease", "namespace": "ours", "uid": "u"},
            "spec": {"holderIdentity": "first", "renewTime": micro_time(0.0)},
        },
    )
    again = candidate(cluster, "first")

    async with running(again):
        await asyncio.sleep(0.1)

        assert again.held()


@in_virtual_time
async def test_whom_the_api_server_does_not_hear_stops_before_another_starts() -> None:
    cluster = FakeCluster()
    first, second = candidate(cluster, "first"), candidate(cluster, "second")
    cut_off: list[LeaderElection] = []
    both = 0

    def deaf(call: Call) -> None:
        if cut_off and asyncio.current_task() is jobs[0]:
            raise Unavailable("cut off")

    cluster.before = deaf
    jobs = [asyncio.create_task(first.run())]
    await asyncio.sleep(1.0)
    jobs.append(asyncio.create_task(second.run()))
    cut_off.append(first)
    for _ in range(400):
        both += first.held() and second.held()
        await asyncio.sleep(0.1)
    taken = second.held(), first.held()
    for job in jobs:
        job.cancel()
        with suppress(asyncio.CancelledError):
            await job

    assert both == 0
    assert taken == (True, False)


def test_stale_is_what_we_saw_unchanged_whatever_its_time_says() -> None:
    clock = Clock()
    seen = ObservedLease(clock)
    lease = {"spec": {"holderIdentity": "x", "renewTime": "1970-01-01T00:00:00.000000Z"}}

    first = seen.unchanged_s(lease)
    clock.now_s = 7.0
    later = seen.unchanged_s(lease)
    renewed = seen.unchanged_s({"spec": {**lease["spec"], "renewTime": "later"}})
    clock.now_s = 9.0

    assert (first, later, renewed) == (0.0, 7.0, 0.0)
    assert seen.unchanged_s(None) == 0.0


@pytest.mark.parametrize("seconds", [0.0, 1.5, 1e9])
def test_a_lease_wants_six_digits(seconds: float) -> None:
    assert len(micro_time(seconds)) == len("1970-01-01T00:00:00.000000Z")
