import os
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from acesniper.api.names import PODS
from acesniper.cli.connection import Connection
from acesniper.cli.extender_client import ask, exposed
from acesniper.cli.plan import parsed, shown
from acesniper.domain.errors import InvalidInput, Unavailable
from acesniper.testbed.demo.examples import serve_folder
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


@pytest.mark.parametrize("answer", ["<html>", '{"detail": "Not Found"}'])
def test_an_answer_of_somebody_else_is_no_plan(answer: str) -> None:
    with pytest.raises(Unavailable, match="no extender: look at --extender"):
        parsed(answer)


def test_the_extenders_metrics_are_reached_by_the_port_for_prometheus() -> None:
    assert exposed(pod({"name": "metrics", "containerPort": 8785})) == 8785
    assert exposed(pod({"name": "https", "containerPort": 8780})) is None


KUBECTL = """#!/bin/sh
echo "$@" > {said}
echo "{line}"
echo "{error}" >&2
[ -n "{line}" ] && exec sleep 60
exit 1
"""


@pytest.fixture
async def cluster() -> FakeCluster:
    """One with an extender."""
    found = FakeCluster()
    await found.create(PODS, pod(), "ours")
    await found.patch(PODS, "scheduler-1", "ours", {"status": {"phase": "Running"}}, "status")
    return found


@pytest.fixture
def connection(tmp_path: Path) -> Connection:
    path = tmp_path / "kubeconfig"
    path.touch()
    return Connection(path, "there")


def kubectl(folder: Path, monkeypatch: pytest.MonkeyPatch, line: str = "", error: str = "") -> Path:
    """A kubectl that says these lines; returns where it writes down its arguments."""
    said, program = folder / "said", folder / "kubectl"
    program.write_text(KUBECTL.format(said=said, line=line, error=error))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    return said


async def test_the_extender_is_asked_through_kubectl_in_its_pod(
    cluster: FakeCluster, connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plan").write_text("[]")
    with serve_folder(tmp_path) as url:
        port = url.rpartition(":")[2]
        line = f"Forwarding from 127.0.0.1:{port} -> 8780"
        said = kubectl(tmp_path, monkeypatch, line)

        found = await ask(cluster, connection, "/plan", None)

    assert found == "[]"
    assert said.read_text().split() == [
        *("port-forward", "--namespace", "ours", "scheduler-1", ":8780"),
        *("--kubeconfig", str(connection.kubeconfig), "--context", "there"),
    ]


async def test_a_forward_that_fails_says_why_and_what_else_can_be_done(
    cluster: FakeCluster, connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kubectl(tmp_path, monkeypatch, error="pods/portforward is forbidden")

    with pytest.raises(Unavailable, match=r"is forbidden.*--extender http://127.0.0.1:8780"):
        await ask(cluster, connection, "/plan", None)


async def test_without_an_extender_the_doctor_is_named(connection: Connection) -> None:
    with pytest.raises(Unavailable, match="acesniper doctor"):
        await ask(FakeCluster(), connection, "/plan", None)


async def test_an_address_that_is_none_is_refused(connection: Connection) -> None:
    with pytest.raises(InvalidInput, match="--extender wants a URL"):
        await ask(FakeCluster(), connection, "/plan", "ftp://x")
