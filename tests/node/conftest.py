"""Real nodes on a real control plane, with the chart installed from the images built here."""

import http.server
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import pytest

from acesniper.testbed import ControlPlane
from acesniper.testbed.images import write_archive
from acesniper.testbed.node import RealNode, missing_for_nodes
from deliveries import Deliveries, Delivery
from helm_release import HelmRelease
from real_tasks import MODEL, MODELS

SLOW_CPUS = 1.0


class Models(http.server.SimpleHTTPRequestHandler):
    """Serves the example models and counts requests by file."""

    def __init__(self, requests: Counter[str], *arguments: Any, **named: Any) -> None:  # noqa: ANN401
        self.requests = requests
        super().__init__(*arguments, **named)

    def do_GET(self) -> None:
        self.requests[self.path.strip("/")] += 1
        super().do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Log nothing."""


@pytest.fixture(scope="session", autouse=True)
def _machine() -> None:
    if reason := missing_for_nodes():
        pytest.skip(reason)


@pytest.fixture(scope="session")
def plane(request: pytest.FixtureRequest, _machine: None) -> Iterator[ControlPlane]:
    with ControlPlane() as plane:
        yield plane
        plane.keep_logs = request.session.testsfailed > 0


@pytest.fixture(scope="session")
def nodes(
    plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[RealNode, RealNode]]:
    """A node with all of this machine's processors, and one with a quota of one of them."""
    archive = tmp_path_factory.mktemp("images") / "images.tar"
    write_archive(archive)
    with (
        RealNode(plane, "fast", archive) as fast,
        RealNode(plane, "slow", archive, cpus=SLOW_CPUS) as slow,
    ):
        archive.unlink()
        yield fast, slow


@pytest.fixture(scope="session")
def release(plane: ControlPlane, nodes: tuple[RealNode, RealNode]) -> HelmRelease:
    """The chart, installed under the restricted pod security standard; ready, nodes measured."""
    release = HelmRelease(plane, namespace="acesniper")
    release.make_namespace()
    release.install("probe.settings.checkS=1", wait=True)
    for node in nodes:
        profile = f"dprof/{node.name}-cpu"
        for condition in ("create", "condition=Ready"):
            plane.kubectl("wait", f"--for={condition}", profile, "--timeout=300s", timeout_s=310)
    return release


@pytest.fixture(scope="session")
def model_requests() -> Counter[str]:
    """Number of requests to the model server, by file."""
    return Counter()


@pytest.fixture(scope="session")
def models(nodes: tuple[RealNode, RealNode], model_requests: Counter[str]) -> Iterator[str]:
    """The address of a server with the example models, as pods reach it."""
    handler = partial(Models, model_requests, directory=str(MODELS))
    with http.server.ThreadingHTTPServer((nodes[0].network.host, 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://{nodes[0].network.host}:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def deliveries(
    plane: ControlPlane,
    nodes: tuple[RealNode, RealNode],
    models: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Mapping[str, Delivery]:
    """One example model in every kind of source, some with credentials in a Secret."""
    folder = tmp_path_factory.mktemp("deliveries")
    return Deliveries(plane, nodes[0].network.host, folder).prepare(f"{models}/{MODEL}")
