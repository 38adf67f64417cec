"""Control planes for the tests, and which tests share one.

The suite runs in several processes (`make e2e`). A group of tests stays in one process; a process
starts a control plane when a test first requests it, and keeps it for its later groups. Most of the
time goes to waiting, so that more processes than cores pay off.
"""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from acesniper.testbed import ControlPlane, start_kwok
from acesniper.testbed.deployment import Deployment
from fleet_of_five import FleetOfFive
from installed import FreshFleet, Installed

LONGEST_FIRST = (
    "test_monitoring",
    "installed",
    "test_api_faults",
    "test_endings",
    "test_docs",
    "test_chart",
    "test_placement",
    "test_demo",
    "test_life",
)
"""The groups that start first, so that the processes finish at about the same time."""

SHORT_TIMEOUTS = {
    "ACESNIPER_LEASE_S": "6",
    "ACESNIPER_PLANNER_PATIENCE_S": "15",
    "ACESNIPER_START_PATIENCE_S": "2",
}
"""Shorter than the defaults: until a planner counts as down, and until an image is given up."""

_namespace_numbers = count()
"""Namespaces are deleted slowly: each case of a parametrised test gets a number of its own."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Group the tests of a module, and all that use the installed chart; longest groups first."""
    here = Path(__file__).parent
    order = {group: place for place, group in enumerate(LONGEST_FIRST)}
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.xdist_group(_group(item)))
    items.sort(
        key=lambda item: order.get(_group(item), len(order)) if here in item.path.parents else -1
    )


def _group(item: pytest.Item) -> str:
    fixtures: list[str] = getattr(item, "fixturenames", [])
    return "installed" if "installed" in fixtures else item.path.stem


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
    system = Deployment(control_plane, {**SHORT_TIMEOUTS, "ACESNIPER_NETWORK": str(network_file)})
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
        system = Installed(plane, {**SHORT_TIMEOUTS, "ACESNIPER_HOST": "0.0.0.0"})
        system.start()
        with FreshFleet(system) as fleet:
            yield fleet
        plane.keep_logs = request.session.testsfailed > 0
