"""Leader election: at most one candidate leads at any time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from acesniper.api.names import LEASES, SLOW_REQUESTS_ANNOTATION, Kind
from acesniper.api.objects import Json
from acesniper.domain.errors import Unavailable
from acesniper.runtime.client import PatchType
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


class SlowCluster(FakeCluster):
    """A cluster that answers each request after `delay_s`."""

    delay_s = 2.0

    async def get(self, kind: Kind, name: str, namespace: str | None = None) -> Json | None:
        await asyncio.sleep(self.delay_s)
        return await super().get(kind, name, namespace)

    async def patch(
        self,
        kind: Kind,
        name: str,
        namespace: str | None,
        patch: object,
        subresource: str = "",
        patch_type: PatchType = "merge",
    ) -> Json:
        await asyncio.sleep(self.delay_s)
        return await super().patch(kind, name, namespace, patch, subresource, patch_type)


def slow_candidate(cluster: FakeCluster, identity: str) -> LeaderElection:
    return LeaderElection(cluster, "ours", "lease", identity, 8.0, now_s, now_s)


async def leadership(*candidates: LeaderElection, seconds: int) -> list[int]:
    """Number of candidates that lead, ten times a second."""
    counts = []
    for _ in range(10 * seconds):
        counts.append(sum(candidate.held() for candidate in candidates))
        await asyncio.sleep(0.1)
    return counts


@pytest.mark.parametrize("delay_s", [1.5, 2.0, 3.0, 5.0, 7.0])
@in_virtual_time
async def test_a_lease_is_held_without_interruption_while_requests_are_slow(
    delay_s: float,
) -> None:
    cluster = SlowCluster()
    cluster.delay_s = delay_s
    first, second = slow_candidate(cluster, "first"), slow_candidate(cluster, "second")

    async with running(first):
        await asyncio.sleep(200.0)
        async with running(second):
            counts = await leadership(first, second, seconds=300)

    assert set(counts) == {1}
    lease = cluster.one(LEASES, "lease", "ours")
    assert lease["spec"]["leaseDurationSeconds"] == pytest.approx(8 * delay_s, abs=1)
    assert lease["metadata"]["annotations"][SLOW_REQUESTS_ANNOTATION] == f"{delay_s:.1f}"


@in_virtual_time
async def test_a_lease_is_short_again_after_requests_are_fast_and_never_has_two_holders() -> None:
    cluster = SlowCluster()
    first, second = slow_candidate(cluster, "first"), slow_candidate(cluster, "second")

    async with running(first, second):
        counts = await leadership(first, second, seconds=100)
        cluster.delay_s = 0.01
        counts += await leadership(first, second, seconds=100)
        cluster.delay_s = 20.0
        counts += await leadership(first, second, seconds=200)
        cluster.delay_s = 0.01
        counts += await leadership(first, second, seconds=200)
        leading = [candidate for candidate in (first, second) if candidate.held()]

    assert max(counts) == 1
    assert len(leading) == 1
    lease = cluster.one(LEASES, "lease", "ours")
    assert lease["spec"]["leaseDurationSeconds"] == 8
    assert SLOW_REQUESTS_ANNOTATION not in lease["metadata"].get("annotations", {})
