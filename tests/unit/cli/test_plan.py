from typing import Any

import pytest
from rich.console import Console

from acesniper.cli.extender_access import ask, exposed
from acesniper.cli.plan import shown
from acesniper.domain.errors import InvalidInput, Unavailable
from acesniper.runtime.kube import PODS
from fake_cluster import FakeCluster


def planned(device: str, task: str, start_s: float) -> dict[str, Any]:
    return {"device": device, "task": task, "startsInSeconds": start_s, "busySeconds": 4.0}


def pod(*ports: dict[str, Any]) -> dict[str, Any]:
    labels = {"app.kubernetes.io/name": "acesniper", "app.kubernetes.io/component": "scheduler"}
    return {
        "metadata": {"name": "scheduler-1", "namespace": "ours", "labels": labels},
        "spec": {"containers": [{"name": "kube-scheduler"}, {"name": "extender", "ports": ports}]},
        "status": {"phase": "Running"},
    }


def text(found: object) -> str:
    console = Console(width=100)
    with console.capture() as capture:
        console.print(found)
    return capture.get()


def test_tasks_are_listed_by_device_in_the_order_in_which_they_start() -> None:
    found = text(
        shown([planned("b", "ns/3", 2.0), planned("a", "ns/2", 9.0), planned("a", "ns/1", 0.0)])
    )

    lines = [line.split() for line in found.splitlines()[1:]]
    assert [line[:2] for line in lines] == [["a", "ns/1"], ["ns/2", "9"], ["b", "ns/3"]]
    assert "now" in lines[0]


def test_an_empty_plan_is_a_sentence() -> None:
    assert shown([]) == "Nothing waits."


def test_the_extender_is_reached_by_the_port_that_is_for_others() -> None:
    assert exposed(pod({"name": "metrics", "containerPort": 8780})) == 8780
    assert exposed(pod({"name": "https", "containerPort": 8780})) is None


async def test_an_extender_that_listens_inside_only_comes_with_the_way_to_it() -> None:
    cluster = FakeCluster()
    await cluster.create(PODS, pod(), "ours")
    await cluster.patch(PODS, "scheduler-1", "ours", {"status": {"phase": "Running"}}, "status")

    with pytest.raises(Unavailable, match=r"kubectl port-forward -n ours scheduler-1 8780"):
        await ask(cluster, "/plan")


async def test_without_an_extender_the_doctor_is_named() -> None:
    with pytest.raises(Unavailable, match="acesniper doctor"):
        await ask(FakeCluster(), "/plan")


async def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidInput, match="--extender wants a URL"):
        await ask(FakeCluster(), "/plan", "ftp://x")
