"""Two operators on one API server: one leads, the other is a standby."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from prometheus_client import CollectorRegistry

from acesniper.api.names import INFERENCE_TASKS, LEASES, MODEL_PROFILES, NODES, PODS
from acesniper.domain.errors import NotLeading, Unavailable
from acesniper.operator.__main__ import build_controller, predictor_of
from acesniper.operator.metrics import OperatorMetrics
from acesniper.predictor.features import FEATURES_VERSION
from acesniper.runtime.client import WriteGuard
from acesniper.runtime.leader_election import LeaderElection
from acesniper.runtime.settings import OperatorSettings
from acesniper.runtime.skipped import UPSERT
from acesniper.runtime.watch import Reflector
from builders import make_itask, make_model_profile, make_node
from fake_cluster import FakeCluster
from virtual_time import in_virtual_time, now_s

LEASE_S = 8.0


@dataclass
class Replica:
    """An operator whose connection to the API server can be cut."""

    name: str
    cluster: FakeCluster
    writes: list[tuple[float, str]]
    cut: bool = False
    jobs: list[asyncio.Task[None]] = field(default_factory=list)

    def start(self) -> None:
        link = self.cluster.guarded(ReplicaLink(self))
        lease_link = self.cluster.guarded(ReplicaLink(self, records=False))
        self.leadership = LeaderElection(
            lease_link, "acesniper-system", "lease", self.name, LEASE_S, now_s, now_s
        )
        settings = OperatorSettings()
        controller = build_controller(
            settings,
            link,
            OperatorMetrics.on(CollectorRegistry()),
            predictor_of(settings),
            self.leadership.held,
        )
        self.leadership.on_change = controller.resync
        follow = (
            (NODES, controller.node_change),
            (PODS, controller.pod_change),
            (MODEL_PROFILES, lambda kind, obj: controller.model_event(kind != UPSERT, obj)),
            (INFERENCE_TASKS, lambda kind, obj: controller.task_event(kind != UPSERT, obj)),
        )
        reflectors = [Reflector(self.cluster, kind, take) for kind, take in follow]
        work = [reflector.run() for reflector in reflectors]
        work += [controller.run(4, model_workers=2), self.leadership.run()]
        self.jobs = [asyncio.create_task(coroutine) for coroutine in work]

    async def kill(self) -> None:
        """Stop it without releasing the lease."""
        self.cut = True
        for job in self.jobs:
            job.cancel()
            with suppress(asyncio.CancelledError, Unavailable):
                await job


@dataclass(frozen=True, slots=True)
class ReplicaLink:
    """A request guard: rejects all requests while the replica is cut off. Records its writes."""

    replica: Replica
    records: bool = True

    def __call__(self, verb: str, target: str) -> None:
        if self.replica.cut and verb not in ("list", "watch"):
            raise Unavailable("cut")
        if self.records and verb in ("create", "patch", "delete"):
            self.replica.writes.append((now_s(), self.replica.name))


@asynccontextmanager
async def two_operators() -> AsyncIterator[tuple[Replica, Replica]]:
    cluster, writes = FakeCluster(), list[tuple[float, str]]()
    cluster.put(NODES, make_node("n"))
    cluster.put(MODEL_PROFILES, make_model_profile(version=FEATURES_VERSION))
    first, second = (Replica(name, cluster, writes) for name in ("first", "second"))
    first.start()
    await asyncio.sleep(1.0)  # virtual
    second.start()
    try:
        yield first, second
    finally:
        await first.kill()
        await second.kill()


async def work(cluster: FakeCluster, stem: str, tasks: int, every_s: float) -> None:
    for number in range(tasks):
        cluster.put(INFERENCE_TASKS, make_itask(f"{stem}-{number}"))
        await asyncio.sleep(every_s)  # virtual


def turns(writes: list[tuple[float, str]]) -> list[str]:
    """The replicas that wrote, in order."""
    names = [name for _, name in writes]
    return names[:1] + [name for before, name in pairwise(names) if name != before]


@in_virtual_time
async def test_a_standby_writes_nothing() -> None:
    async with two_operators() as (first, second):
        await work(first.cluster, "t", 50, 1.0)

        assert turns(first.writes) == ["first"]
        assert not second.leadership.held()
        assert len(first.cluster.created(PODS)) == 50


@pytest.mark.parametrize("how", ["killed", "cut off"])
@in_virtual_time
async def test_a_standby_takes_over_where_the_leader_stopped(how: str) -> None:
    async with two_operators() as (first, second):
        await work(first.cluster, "before", 10, 0.5)
        lost_s = now_s()
        if how == "killed":
            await first.kill()
        first.cut = True
        await work(first.cluster, "after", 40, 0.5)

        taken_s = next(at_s for at_s, name in first.writes if name == "second")
        assert turns(first.writes) == ["first", "second"]
        assert taken_s - lost_s <= 1.5 * LEASE_S + 0.5
        assert not first.leadership.held()
        assert second.leadership.held()
        assert len(first.cluster.created(PODS)) == 50


@in_virtual_time
async def test_a_replica_that_was_partitioned_does_not_act_when_it_returns() -> None:
    async with two_operators() as (first, second):
        first.cut = True
        await asyncio.sleep(2 * LEASE_S)  # virtual
        first.cut = False
        await work(first.cluster, "t", 20, 0.5)

        assert turns(first.writes) == ["second"]
        assert second.leadership.held()


@in_virtual_time
async def test_a_decision_is_not_written_after_the_lease_was_lost() -> None:
    """A long reconciliation may outlast the lease: each write checks it."""
    cluster = FakeCluster()
    leads = True
    guarded = cluster.guarded(WriteGuard(lambda: leads))
    await guarded.create(LEASES, {"metadata": {"name": "a"}}, "ns")

    leads = False

    for write in (
        guarded.create(LEASES, {"metadata": {"name": "b"}}, "ns"),
        guarded.patch(LEASES, "a", "ns", {}),
        guarded.delete(LEASES, "a", "ns"),
    ):
        with pytest.raises(NotLeading, match="another replica holds the lease"):
            await write
    assert await guarded.get(LEASES, "a", "ns") is not None
    assert [lease["metadata"]["name"] for lease in cluster.all(LEASES)] == ["a"]
