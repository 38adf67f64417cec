import os
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from acesniper.api.names import PODS
from acesniper.cli.connection import Connection
from acesniper.cli.extender_client import fetch, metrics_port
from acesniper.cli.plan import parse_plan, plan_table
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


def text(table: object) -> str:
    console = Console(width=100)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def test_tasks_are_listed_by_device_in_the_order_in_which_they_start() -> None:
    table = text(
        plan_table(
            [planned("b", "ns/3", 2.0), planned("a", "ns/2", 9.0), planned("a", "ns/1", 0.0)]
        )
    )

    lines = [line.split() for line in table.splitlines()[1:]]
    assert [line[:2] for line in lines] == [["a", "ns/1"], ["ns/2", "9"], ["b", "ns/3"]]
    assert "now" in lines[0]


def test_an_empty_plan_is_a_sentence() -> None:
    assert plan_table([]) == "No tasks are pending."


@pytest.mark.parametrize("response", ["<html>", '{"detail": "Not Found"}'])
def test_a_response_that_is_not_a_plan_is_refused(response: str) -> None:
    with pytest.raises(Unavailable, match="not a plan: check that --extender"):
        parse_plan(response)


def test_the_metrics_port_is_found_by_its_name() -> None:
    assert metrics_port(pod({"name": "metrics", "containerPort": 8785})) == 8785
    assert metrics_port(pod({"name": "https", "containerPort": 8780})) is None


KUBECTL = """#!/bin/sh
echo "$@" > {arguments}
echo "{line}"
echo "{error}" >&2
[ -n "{line}" ] && exec sleep 60
exit 1
"""


@pytest.fixture
async def cluster() -> FakeCluster:
    """A cluster with an extender."""
    cluster = FakeCluster()
    await cluster.create(PODS, pod(), "ours")
    await cluster.patch(PODS, "scheduler-1", "ours", {"status": {"phase": "Running"}}, "status")
    return cluster


@pytest.fixture
def connection(tmp_path: Path) -> Connection:
    path = tmp_path / "kubeconfig"
    path.touch()
    return Connection(path, "there")


def kubectl(folder: Path, monkeypatch: pytest.MonkeyPatch, line: str = "", error: str = "") -> Path:
    """A kubectl that prints these lines; returns the file that it writes its arguments to."""
    arguments, program = folder / "arguments", folder / "kubectl"
    program.write_text(KUBECTL.format(arguments=arguments, line=line, error=error))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    return arguments


async def test_the_extender_is_reached_through_kubectl_port_forward(
    cluster: FakeCluster, connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plan").write_text("[]")
    with serve_folder(tmp_path) as url:
        port = url.rpartition(":")[2]
        line = f"Forwarding from 127.0.0.1:{port} -> 8780"
        arguments = kubectl(tmp_path, monkeypatch, line)

        response = await fetch(cluster, connection, "/plan", None)

    assert response == "[]"
    assert arguments.read_text().split() == [
        "port-forward",
        "--namespace",
        "ours",
        "scheduler-1",
        ":8780",
        "--kubeconfig",
        str(connection.kubeconfig),
        "--context",
        "there",
    ]


async def test_a_failed_port_forward_names_the_reason_and_an_alternative(
    cluster: FakeCluster, connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kubectl(tmp_path, monkeypatch, error="pods/portforward is forbidden")

    with pytest.raises(Unavailable, match=r"is forbidden.*--extender http://127.0.0.1:8780"):
        await fetch(cluster, connection, "/plan", None)


async def test_without_an_extender_the_error_names_the_doctor(connection: Connection) -> None:
    with pytest.raises(Unavailable, match="acesniper doctor"):
        await fetch(FakeCluster(), connection, "/plan", None)


async def test_an_invalid_extender_url_is_refused(connection: Connection) -> None:
    with pytest.raises(InvalidInput, match="--extender 'ftp://x/plan': expected a URL"):
        await fetch(FakeCluster(), connection, "/plan", "ftp://x")
