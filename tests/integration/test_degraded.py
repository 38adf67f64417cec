"""The operator while the planner is down."""

from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry

from acesniper.api.names import LEASES, PLANNER_LEASE, PODS
from acesniper.api.objects import PodView
from acesniper.operator.cache import ObjectCache
from acesniper.operator.degraded import DegradedMode
from acesniper.operator.metrics import OperatorMetrics
from builders import make_device_profile, make_gated_pod, make_itask, make_node, make_pod
from fake_cluster import FakeCluster
from virtual_time import Clock

PATIENCE_S = 30.0


@dataclass
class Setup:
    slots: int
    cluster: FakeCluster = field(default_factory=FakeCluster)
    store: ObjectCache = field(default_factory=ObjectCache)
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        node = make_node(slots=self.slots)
        self.store.upsert_node(node)
        self.store.upsert_device(make_device_profile("d1"))
        metrics = OperatorMetrics.on(CollectorRegistry())
        self.degraded = DegradedMode(
            self.cluster, self.store, metrics, "ours", PLANNER_LEASE, PATIENCE_S, self.clock
        )

    def renew(self) -> None:
        metadata = {"name": PLANNER_LEASE, "namespace": "ours", "uid": "u"}
        spec = {"holderIdentity": "x", "renewTime": str(self.clock.now_s)}
        self.cluster.put(LEASES, {"metadata": metadata, "spec": spec})

    def wait(self, name: str, created_s: int, runtime: str = "cpu", **pod: object) -> None:
        created = {"creationTimestamp": f"1970-01-01T00:00:{created_s:02}Z"}
        made = make_gated_pod(f"{name}-0", task=name, **pod)
        status = {"podUid": made["metadata"]["uid"]}
        self.store.upsert_task(make_itask(name, metadata=created, status=status, runtime=[runtime]))
        self.store.upsert_pod(self.cluster.put(PODS, made))

    def opened(self) -> set[str]:
        views = map(PodView.of, self.cluster.all(PODS))
        return {str(view.task) for view in views if not view.gated and view.node is None}

    async def look(self, seconds: float) -> None:
        self.clock.now_s += seconds
        await self.degraded.check()


async def test_no_gate_is_removed_while_the_lease_is_renewed() -> None:
    setup = Setup(slots=5)
    setup.wait("a", 1)

    for _ in range(10):
        setup.renew()
        await setup.look(20.0)

    assert setup.opened() == set()
    assert not setup.degraded.active


async def test_a_stale_lease_ungates_in_order_of_arrival_up_to_the_free_slots() -> None:
    setup = Setup(slots=3)
    setup.renew()
    setup.store.upsert_pod(make_pod("running", task="running", node="node", phase="Running"))
    setup.store.upsert_pod(make_pod("ended", task="ended", node="node", phase="Failed"))
    for name, created_s in (("third", 3), ("first", 1), ("second", 2)):
        setup.wait(name, created_s)

    await setup.look(0.0)
    await setup.look(PATIENCE_S + 1.0)
    await setup.look(1.0)

    assert setup.degraded.active
    assert setup.opened() == {"first", "second"}


async def test_a_pod_that_another_made_for_a_task_takes_no_slot_and_keeps_its_gate() -> None:
    setup = Setup(slots=1)
    setup.wait("honest", 2)
    for number in range(5):
        setup.store.upsert_pod(make_pod(f"open-{number}", task="cover"))
        gated = make_gated_pod(f"gated-{number}", task="cover")
        setup.store.upsert_pod(setup.cluster.put(PODS, gated))
    setup.store.upsert_task(make_itask("cover", status={"podUid": None}))

    await setup.look(0.0)
    await setup.look(PATIENCE_S + 1.0)

    assert setup.opened() == {"honest"}


async def test_a_task_that_no_device_can_run_takes_no_slot() -> None:
    setup = Setup(slots=1)
    setup.wait("stuck", 1, runtime="cuda")
    setup.wait("able", 2)

    await setup.look(0.0)
    await setup.look(PATIENCE_S + 1.0)

    assert setup.opened() == {"able"}


async def test_a_missing_lease_is_stale() -> None:
    setup = Setup(slots=1)
    setup.wait("a", 1)

    await setup.look(0.0)
    early = setup.opened()
    await setup.look(PATIENCE_S + 1.0)

    assert (early, setup.opened()) == (set(), {"a"})


async def test_a_returning_planner_takes_over() -> None:
    setup = Setup(slots=5)
    await setup.look(0.0)
    await setup.look(PATIENCE_S + 1.0)

    setup.renew()
    setup.wait("a", 1)
    await setup.look(1.0)

    assert not setup.degraded.active
    assert setup.opened() == set()


async def test_other_gates_and_rejected_or_deleted_pods_are_left_unchanged() -> None:
    setup = Setup(slots=5)
    setup.wait("going", 1, deleting=True)
    await setup.look(0.0)

    await setup.look(PATIENCE_S + 1.0)

    assert setup.opened() == set()
