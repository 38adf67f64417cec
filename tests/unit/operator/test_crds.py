"""An operator that starts before its CRDs are installed."""

import json
from collections.abc import Sequence

from acesniper.api.names import DEVICE_PROFILES
from acesniper.domain.errors import NotFound, Unavailable
from acesniper.operator.crds import RESOURCES, list_when_served, wait_until_served
from acesniper.runtime.client import RawResponse
from builders import make_device_profile
from fake_cluster import FakeCluster
from virtual_time import in_virtual_time, now_s


class Installing(FakeCluster):
    """Answers each request with the next of `answers`: names that are served, or an error."""

    def __init__(self, *answers: Sequence[str] | Exception) -> None:
        super().__init__()
        self.answers = list(answers)

    async def fetch(self, path: str) -> RawResponse:
        """The discovery document of the group."""
        assert path == "/apis/acesniper.io/v1alpha1"
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        resources = [{"name": name} for name in answer]
        return RawResponse(json.dumps({"resources": resources}), None)


@in_virtual_time
async def test_it_waits_until_all_resources_are_served() -> None:
    some, all_ = sorted(RESOURCES)[:1], sorted(RESOURCES)
    cluster = Installing(NotFound("404"), Unavailable("away"), some, all_)

    await wait_until_served(cluster)

    assert cluster.answers == []
    assert now_s() > 0.0


@in_virtual_time
async def test_it_returns_immediately_if_all_resources_are_served() -> None:
    before = now_s()

    await wait_until_served(Installing([*RESOURCES, "inferencetasks/status"]))

    assert now_s() == before


@in_virtual_time
async def test_a_list_is_retried_until_the_api_server_answers() -> None:
    cluster = Installing(Unavailable("away"), sorted(RESOURCES))
    await cluster.create(DEVICE_PROFILES, make_device_profile("d", "n"))

    profiles = await list_when_served(cluster, DEVICE_PROFILES)

    assert [profile["metadata"]["name"] for profile in profiles] == ["d"]
