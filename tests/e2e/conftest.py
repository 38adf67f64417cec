"""Control planes for the tests, and which tests share one.

The suite runs in several processes (`make e2e`). A group of tests stays in one process; a process
starts a control plane when a test first requests it, and keeps it for its later groups. Most of the
time goes to waiting, so that more processes than cores pay off.
"""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from acesniper.testbed import ControlPlane, start_kwok
from acesniper.testbed.deployment import Deployment
from fleet_of_five import FleetOfFive
from installed import FreshFleet, Installed

GROUPS = {
    "test_monitoring.py::test_an_alert_fires_when_a_restarted_watch": "watch alert",
    "test_monitoring.py": "monitoring",
    "test_doctor.py": "installed",
    "test_command.py": "installed",
    "test_docs.py::test_a_page_for_an_installed_cluster": "installed",
    "test_api_faults.py": "faults",
}
"""Group by start of a test's id, the longest groups first; all other modules are groups, too."""

SHORT_TIMEOUTS = {
    "ACESNIPER_LEASE_S": "6",
    "ACESNIPER_PLANNER_PATIENCE_S": "15",
    "ACESNIPER_START_PATIENCE_S": "2",
}
"""Shorter than the defaults: timeouts of a planner and of an image pull."""
LONG_TASKS = {"ACESNIPER_MAX_TASK_S": "100000"}
"""Longer than the default: tasks that run for the whole of a test take hours on slow devices."""

_namespace_numbers = count()
"""Namespaces are deleted slowly: each case of a parametrised test gets a number of its own."""


class GroupScheduling(LoadScopeScheduling):  # type: ignore[misc] # xdist has no types
    """Distributes whole groups to the processes of pytest-xdist, in the order of collection."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


def group_of(nodeid: str) -> str:
    """The group of a test, by its id."""
    name = nodeid.partition("[")[0].rpartition("/")[2]
    groups = (group for start, group in GROUPS.items() if name.startswith(start))
    return next(groups, name.partition("::")[0])


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> GroupScheduling:
    """Schedule by group, if there are several processes."""
    config.option.loadscopereorder = False
    return GroupScheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the groups in the order of `GROUPS`."""
    order = [*dict.fromkeys(GROUPS.values())]

    def place(item: pytest.Item) -> int:
        group = group_of(item.nodeid)
        return order.index(group) if group in order else len(order)

    items.sort(key=place)


@pytest.fixture(scope="session")
def control_plane(request: pytest.FixtureRequest) -> Iterator[ControlPlane]:
    """Stock components and KWOK, once per process; its logs are kept if a test failed."""
    with ControlPlane() as plane:
        start_kwok(plane)
        yield plane
        plane.keep_logs = request.session.testsfailed > 0


@pytest.fixture
def namespace(control_plane: ControlPlane, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace for one test, in which pods can be created immediately."""
    stem = request.node.name.split("[")[0].replace("_", "-")[:56].rstrip("-")
    name = f"{stem}-{next(_namespace_numbers)}"
    control_plane.kubectl("create", "namespace", name)
    ready = control_plane.api_answers(f"/api/v1/namespaces/{name}/serviceaccounts/default")
    control_plane.children["kube-controller-manager"].wait_until(ready)
    yield name
    control_plane.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="session")
def network_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that operator and extender watch for a trained network; absent by default."""
    return tmp_path_factory.mktemp("network") / "pcn.onnx"


@pytest.fixture(scope="session")
def system(control_plane: ControlPlane, network_file: Path) -> Deployment:
    """Ace-Sniper on the control plane: CRDs, operator, extender, our kube-scheduler."""
    system = Deployment(
        control_plane, {**SHORT_TIMEOUTS, **LONG_TASKS, "ACESNIPER_NETWORK": str(network_file)}
    )
    system.start()
    return system


@pytest.fixture(scope="session")
def fleet(system: Deployment) -> Iterator[FleetOfFive]:
    """Five emulated devices of the examples, and three of the example models."""
    with FleetOfFive(system) as fleet:
        yield fleet


@pytest.fixture(scope="session")
def installed(request: pytest.FixtureRequest) -> Iterator[FreshFleet]:
    """The chart installed on a separate control plane, with the five devices."""
    with ControlPlane() as plane:
        start_kwok(plane)
        # Not on loopback: the API server refuses to proxy to a loopback address.
        system = Installed(plane, {**SHORT_TIMEOUTS, **LONG_TASKS, "ACESNIPER_HOST": "0.0.0.0"})
        system.start()
        with FreshFleet(system) as fleet:
            yield fleet
        plane.keep_logs = request.session.testsfailed > 0
