"""The API server fails, stalls or is down: no task is lost, no task runs twice."""

import random
from collections.abc import Iterator

import pytest

from acesniper.testbed.deployment import EXTENDER, OPERATOR
from acesniper.testbed.faults.chaos import kill_at_random
from acesniper.testbed.faults.proxy import FaultProxy
from fault_workload import FaultWorkload
from fleet_of_five import FleetOfFive

KILLS = 5
SHARE = 0.2
"""Share of the requests that fail."""
DOWNTIME_S = {"kube-apiserver": 20.0, "etcd": 5.0}
"""All leases, the longest of 15 s, expire within the longer one."""
SHORT_WATCH_TIMEOUT = {"ACESNIPER_WATCH_SILENCE_S": "3"}
"""A stalled watch is detected sooner than by default."""


@pytest.fixture
def work(fleet: FleetOfFive, namespace: str) -> FaultWorkload:
    fleet.add_models(namespace)
    fleet.wait_idle()
    return FaultWorkload(fleet, namespace)


@pytest.fixture(scope="module")
def started_proxies(fleet: FleetOfFive) -> Iterator[tuple[FaultProxy, ...]]:
    """Proxies between the API server and operator and extender, which are restarted for it."""
    system = fleet.system
    with (
        FaultProxy(system.plane, OPERATOR) as operators,
        FaultProxy(system.plane, EXTENDER) as extenders,
        system.rerouted(
            {OPERATOR: operators.kubeconfig, EXTENDER: extenders.kubeconfig}, SHORT_WATCH_TIMEOUT
        ),
    ):
        yield operators, extenders


@pytest.fixture
def proxies(started_proxies: tuple[FaultProxy, ...]) -> Iterator[tuple[FaultProxy, ...]]:
    """The proxies, without faults before and after the test."""
    yield started_proxies
    for proxy in started_proxies:
        proxy.faults.share, proxy.faults.stalled = 0.0, False


@pytest.mark.parametrize("victim", [OPERATOR, EXTENDER])
def test_no_task_is_lost_by_kills_at_random_times(work: FaultWorkload, victim: str) -> None:
    draw = random.Random(7)  # noqa: S311 - chance, not a secret

    kill_at_random(work.fleet.system, victim, KILLS, draw, lambda _: work.apply(4))

    work.check()


def test_no_task_is_lost_by_error_responses(
    work: FaultWorkload, proxies: tuple[FaultProxy, ...]
) -> None:
    for proxy in proxies:
        proxy.faults.share = SHARE
    for started in range(0, 30, 10):
        work.apply(10)
        work.wait_started(started + 5)

    # An idle component still renews its lease, so that every status is injected eventually.
    work.fleet.system.plane.children[OPERATOR].wait_until(
        lambda: all(proxy.injected.keys() == {409, 429, 500} for proxy in proxies)
    )
    for proxy in proxies:
        proxy.faults.share = 0.0
    work.check()


def test_stalled_watches_are_restarted(
    work: FaultWorkload, proxies: tuple[FaultProxy, ...]
) -> None:
    work.apply(10)
    work.wait_started(5)

    for proxy in proxies:
        proxy.faults.stalled = True
    work.apply(10)
    stalled = [proxy.stalled_watches for proxy in proxies]
    work.fleet.system.plane.children[OPERATOR].wait_until(
        lambda: all(proxy.stalled_watches > 0 for proxy in proxies)
    )
    for proxy in proxies:
        proxy.faults.stalled = False
    work.apply(5)

    work.check()
    assert all(proxy.stalled_watches > 0 for proxy in proxies), stalled


@pytest.mark.parametrize("down", DOWNTIME_S)
def test_no_task_is_lost_while_the_control_plane_is_down(work: FaultWorkload, down: str) -> None:
    plane = work.fleet.system.plane
    work.apply(10)
    work.wait_started(5)

    plane.kill(down)
    plane.children[OPERATOR].exited_within(DOWNTIME_S[down])
    plane.start(down)
    plane.children["kube-controller-manager"].wait_until(plane.api_answers("/readyz"))
    work.apply(10)

    work.check()
    assert plane.children[OPERATOR].running
    assert plane.children[EXTENDER].running


def test_a_device_that_takes_five_times_as_long(work: FaultWorkload) -> None:
    slow = work.fleet.devices[0].node
    latencies = dict(work.fleet.emulator.latencies)
    slowed = {key: seconds * (5 if key[0] == slow else 1) for key, seconds in latencies.items()}
    work.fleet.emulator.latencies = slowed
    try:
        work.apply(25)
        work.check()
    finally:
        work.fleet.emulator.latencies = latencies


def test_tasks_of_a_node_that_stops_reporting_run_elsewhere(work: FaultWorkload) -> None:
    """Its pod cannot terminate: after its grace period it is deleted by force."""
    fleet, namespace = work.fleet, work.namespace
    plane = fleet.system.plane
    taint = {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}
    arguments = ["--inferences", str(fleet.inferences(60))]
    container = {"name": "runner", "image": "example", "args": arguments}
    template = {"spec": {"terminationGracePeriodSeconds": 1, "containers": [container]}}
    silent = fleet.task(
        "silent",
        namespace,
        tolerations=[{**taint, "tolerationSeconds": 1}],
        template=template,
    )
    fleet.apply([silent])
    fleet.wait_for("inferencetask", "jsonpath={.status.phase}=Running", namespace, "silent")
    node = fleet.tasks(namespace)["silent"]["status"]["node"]
    ready = '{"status":{"conditions":[{"type":"Ready","status":"%s","reason":"Test"}]}}'
    try:
        plane.kubectl("annotate", "node", node, "kwok.x-k8s.io/node-")
        plane.kubectl(
            "patch",
            "node",
            node,
            "--subresource=status",
            "--type=strategic",
            "-p",
            ready % "False",
        )
        fleet.wait_for("inferencetask", "condition=Healthy=False", namespace, "silent")
        fleet.wait_for("inferencetask", "jsonpath={.status.disruptions}=1", namespace, "silent")
        fleet.wait_for("inferencetask", "jsonpath={.status.phase}=Running", namespace, "silent")
        again = fleet.tasks(namespace)["silent"]["status"]
    finally:
        plane.kubectl("annotate", "node", node, "kwok.x-k8s.io/node=fake")
        plane.kubectl("delete", "itask", "silent", "-n", namespace)
    fleet.wait_for("node", "condition=Ready", namespace, node)

    assert again["node"] != node
    retrying = next(entry for entry in again["conditions"] if entry["type"] == "Retrying")
    assert retrying["reason"] == "NodeLost"
    work.apply(10)
    fleet.emulator.runs = {
        uid: run for uid, run in fleet.emulator.runs.items() if run.task != "silent"
    }
    work.check()
