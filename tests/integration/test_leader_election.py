"""Leader election: at most one candidate leads at any time."""

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
async def test_the_first_candidate_leads_while_it_renews_the_lease() -> None:
    cluster = FakeCluster()
    first, second = candidate(cluster, "first"), candidate(cluster, "second")

    async with running(first):
        await asyncio.sleep(1.0)
        async with running(second):
            await asyncio.sleep(1000.0)
            holders = first.held(), second.held()

    assert holders == (True, False)


@in_virtual_time
async def test_a_graceful_stop_releases_the_lease() -> None:
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
async def test_the_written_lease_duration_is_not_shorter_than_the_real_one(
    duration_s: float,
) -> None:
    cluster = FakeCluster()
    holder = LeaderElection(cluster, "ours", "lease", "holder", duration_s, now_s, now_s)

    async with running(holder):
        await asyncio.sleep(0.1)

        assert cluster.one(LEASES, "lease", "ours")["spec"]["leaseDurationSeconds"] >= duration_s


@in_virtual_time
async def test_a_restarted_holder_leads_again_immediately() -> None:
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
async def test_a_disconnected_leader_stops_before_another_starts() -> None:
    cluster = FakeCluster()
    first, second = candidate(cluster, "first"), candidate(cluster, "second")
    disconnected: list[LeaderElection] = []
    overlaps = 0

    def cut_connection(call: Call) -> None:
        if disconnected and asyncio.current_task() is jobs[0]:
            raise Unavailable("cut off")

    cluster.before = cut_connection
    jobs = [asyncio.create_task(first.run())]
    await asyncio.sleep(1.0)
    jobs.append(asyncio.create_task(second.run()))
    disconnected.append(first)
    for _ in range(400):
        overlaps += first.held() and second.held()
        await asyncio.sleep(0.1)
    taken = second.held(), first.held()
    for job in jobs:
        job.cancel()
        with suppress(asyncio.CancelledError):
            await job

    assert overlaps == 0
    assert taken == (True, False)


def test_staleness_counts_from_our_own_observation_of_the_lease() -> None:
    clock = Clock()
    observed = ObservedLease(clock)
    lease = {"spec": {"holderIdentity": "x", "renewTime": "1970-01-01T00:00:00.000000Z"}}

    first = observed.unchanged_s(lease)
    clock.now_s = 7.0
    later = observed.unchanged_s(lease)
    renewed = observed.unchanged_s({"spec": {**lease["spec"], "renewTime": "later"}})
    clock.now_s = 9.0

    assert (first, later, renewed) == (0.0, 7.0, 0.0)
    assert observed.unchanged_s(None) == 0.0


@pytest.mark.parametrize("seconds", [0.0, 1.5, 1e9])
def test_a_lease_time_has_six_fractional_digits(seconds: float) -> None:
    assert len(micro_time(seconds)) == len("1970-01-01T00:00:00.000000Z")
