import json

from acesniper.api.names import INFERENCE_TASKS, PODS
from acesniper.api.untrusted_json import UNREADABLE
from acesniper.cli.doctor.profile_checks import check_objects
from acesniper.cli.doctor.reader import read_inventory
from acesniper.domain.errors import InvalidInput
from acesniper.runtime.client import RawResponse
from builders import make_itask
from fake_cluster import FakeCluster

VERSION = json.dumps({"gitVersion": "v1.36.1+k3s1"})
LABELS = {"app.kubernetes.io/name": "acesniper", "app.kubernetes.io/component": "scheduler"}


class VersionedCluster(FakeCluster):
    """A cluster with a version and a clock that refuses the proxy to pods."""

    async def fetch(self, path: str) -> RawResponse:
        if path == "/version":
            return RawResponse(VERSION, "Thu, 01 Jan 1970 00:16:40 GMT")
        raise InvalidInput(f"GET {path}: address not allowed (400)")


async def test_version_and_time_are_those_of_the_api_server() -> None:
    inventory = await read_inventory(VersionedCluster())

    assert inventory.server_version == "v1.36.1+k3s1"
    assert inventory.server_s == 1000.0


async def test_an_unreachable_extender_leaves_the_metrics_out() -> None:
    cluster = VersionedCluster()
    container = {"name": "extender", "ports": [{"name": "metrics", "containerPort": 8785}]}
    pod = {"metadata": {"name": "s", "labels": LABELS}, "spec": {"containers": [container]}}
    await cluster.create(PODS, pod, "ours")
    await cluster.patch(PODS, "s", "ours", {"status": {"phase": "Running"}}, "status")

    inventory = await read_inventory(cluster)

    assert inventory.metrics is None
    assert [pod["kind"] for pod in inventory.all("pods")] == ["Pod"]


async def test_objects_that_are_skipped_are_named_with_the_command_that_deletes_them() -> None:
    cluster = VersionedCluster()
    cluster.put(INFERENCE_TASKS, make_itask("good"))
    cluster.put(INFERENCE_TASKS, make_itask("deep") | {UNREADABLE: "spec: recursion limit"})
    cluster.put(INFERENCE_TASKS, make_itask("invalid", inferences="many"))

    findings = list(check_objects(await read_inventory(cluster)))

    assert [finding.where.rsplit("/")[-1] for finding in findings] == ["deep", "invalid"]
    assert "spec: recursion limit" in findings[0].what
    assert findings[0].command == "kubectl delete inferencetask deep --namespace default"
