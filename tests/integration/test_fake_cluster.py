"""The fake cluster has the contract of the real one (tests/e2e/test_cluster_contract.py)."""

import pytest

from acesniper.api.names import CONFIG_MAPS, PODS
from acesniper.domain.errors import ResourceVersionExpired
from builders import make_pod
from cluster_contract import ClusterContract, config_map, take
from fake_cluster import FakeCluster


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def namespace() -> str:
    return "default"


class TestFakeCluster(ClusterContract):
    """The contract on the fake."""


async def test_a_watch_from_before_the_compaction_expires(cluster: FakeCluster) -> None:
    await cluster.create(CONFIG_MAPS, config_map("a"), "default")
    cluster.compact()

    with pytest.raises(ResourceVersionExpired):
        await take(cluster.watch(CONFIG_MAPS, "0", "default"), 1)


async def test_a_deleted_running_pod_terminates_until_its_kubelet_removes_it(
    cluster: FakeCluster,
) -> None:
    cluster.put(PODS, make_pod("p", node="n", phase="Running"))

    await cluster.delete(PODS, "p", "default")

    assert cluster.one(PODS, "p", "default")["metadata"]["deletionTimestamp"]
