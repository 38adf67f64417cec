"""One real control plane for the whole session."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from acesniper.testbed import ControlPlane, start_kwok
from acesniper.testbed.deployment import Deployment
from fleet_of_five import FleetOfFive
from installed import FreshFleet, Installed

_numbers = count()
"""Namespaces go slowly: the next case of a parametrised test must not meet the last one's."""


PATIENCE = {
    "ACESNIPER_LEASE_S": "6",
    "ACESNIPER_PLANNER_PATIENCE_S": "15",
    "ACESNIPER_START_PATIENCE_S": "2",
}
"""A planner that is away is missed sooner than by default, an image given up sooner."""


@pytest.fixture(scope="session")
def control_plane(request: pytest.FixtureRequest) -> Iterator[ControlPlane]:
    """Stock components and KWOK; logs stay when a test of the session failed."""
    with ControlPlane() as plane:
        start_kwok(plane)
        yield plane
        plane.keep_logs = request.session.testsfailed > 0


@pytest.fixture
def namespace(control_plane: ControlPlane, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the test's own, in which pods can be made at once."""
    stem = request.node.name.split("[")[0].replace("_", "-")[:56].rstrip("-")
    name = f"{stem}-{next(_numbers)}"
    control_plane.kubectl("create", "namespace", name)
    ready = control_plane.api_answers(f"/api/v1/namespaces/{name}/serviceaccounts/default")
    control_plane.children["kube-controller-manager"].wait_until(ready)
    yield name
    control_plane.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="session")
def network_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a network is looked for; there is none, but while a test puts one there."""
    return tmp_path_factory.mktemp("network") / "pcn.onnx"


@pytest.fixture(scope="session")
def system(control_plane: ControlPlane, network_file: Path) -> Deployment:
    """Ace-Sniper on the control plane: CRDs, operator, extender, our kube-scheduler."""
    system = Deployment(control_plane, {**PATIENCE, "ACESNIPER_NETWORK": str(network_file)})
    system.start()
    return system


@pytest.fixture(scope="session")
def fleet(system: Deployment) -> Iterator[FleetOfFive]:
    """Five emulated devices of the examples, and three of the example models."""
    with FleetOfFive(system) as fleet:
        yield fleet


@pytest.fixture(scope="session")
def installed(request: pytest.FixtureRequest) -> Iterator[FreshFleet]:
    """The chart installed on a control plane of its own, with the five devices."""
    with ControlPlane() as plane:
        start_kwok(plane)
        # Not on loopback only: the API server forwards to no such address.
        system = Installed(plane, {**PATIENCE, "ACESNIPER_HOST": "0.0.0.0"})
        system.start()
        with FreshFleet(system) as fleet:
            yield fleet
        plane.keep_logs = request.session.testsfailed > 0
