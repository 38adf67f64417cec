"""The Kubernetes client satisfies its contract on a real API server, as the fake does."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from acesniper.runtime.client import Cluster
from acesniper.testbed import ControlPlane
from cluster_contract import ClusterContract

CRDS = Path(__file__).parents[2] / "crds"


@pytest.fixture(scope="module", autouse=True)
def resources(control_plane: ControlPlane) -> None:
    """Our resource definitions, served."""
    control_plane.kubectl("apply", "-f", str(CRDS))
    control_plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")


@pytest.fixture
async def cluster(control_plane: ControlPlane) -> AsyncIterator[Cluster]:
    async with Cluster.connect(control_plane.kubeconfig("admin")) as connected:
        yield connected


class TestRealCluster(ClusterContract):
    """The contract, on Kubernetes."""
