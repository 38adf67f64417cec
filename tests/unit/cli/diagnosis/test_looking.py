import json

from acesniper.api.names import PODS
from acesniper.cli.doctor.command.looking import look
from acesniper.domain.errors import InvalidInput
from acesniper.runtime.client import RawResponse
from fake_cluster import FakeCluster

VERSION = json.dumps({"gitVersion": "v1.36.1+k3s1"})
LABELS = {"app.kubernetes.io/name": "acesniper", "app.kubernetes.io/component": "scheduler"}


class Told(FakeCluster):
    """A cluster that tells its version and time, and lets nobody through to pods."""

    async def fetch(self, path: str) -> RawResponse:
        if path == "/version":
            return RawResponse(VERSION, "Thu, 01 Jan 1970 00:16:40 GMT")
        raise InvalidInput(f"GET {path}: address not allowed (400)")


async def test_version_and_time_are_the_api_servers() -> None:
    found = await look(Told())

    assert found.server_version == "v1.36.1+k3s1"
    assert found.server_s == 1000.0


async def test_an_extender_that_cannot_be_asked_is_no_reason_to_stop() -> None:
    cluster = Told()
    container = {"name": "extender", "ports": [{"name": "metrics", "containerPort": 8785}]}
    pod = {"metadata": {"name": "s", "labels": LABELS}, "spec": {"containers": [container]}}
    await cluster.create(PODS, pod, "ours")
    await cluster.patch(PODS, "s", "ours", {"status": {"phase": "Running"}}, "status")

    found = await look(cluster)

    assert found.metrics is None
    assert [each["kind"] for each in found.all("pods")] == ["Pod"]
