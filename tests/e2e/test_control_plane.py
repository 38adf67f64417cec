import datetime
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from acesniper.testbed import (
    CommandFailed,
    ControlPlane,
    finish_annotations,
    make_node,
    start_scheduler,
)
from acesniper.testbed.kwok import FINISHED, STARTED
from acesniper.testbed.programs import kubernetes_version


@pytest.fixture
def node(control_plane: ControlPlane, namespace: str) -> Iterator[str]:
    control_plane.kubectl("apply", "-f", "-", stdin=json.dumps(make_node(namespace)))
    control_plane.kubectl("wait", "--for=condition=Ready", f"node/{namespace}", "--timeout=20s")
    yield namespace
    control_plane.kubectl("delete", "node", namespace)


def apply_pod(plane: ControlPlane, node: str, **spec: object) -> None:
    """A pod called `pod` in the namespace named like the node, with a selector for that node."""
    containers = [{"name": "main", "image": "emulated"}]
    selector = {"kubernetes.io/hostname": node}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "pod", "namespace": node},
        "spec": {"containers": containers, "nodeSelector": selector, **spec},
    }
    plane.kubectl("apply", "-f", "-", stdin=json.dumps(pod))


def await_phase(plane: ControlPlane, namespace: str, phase: str) -> dict[str, Any]:
    until = f"--for=jsonpath={{.status.phase}}={phase}"
    plane.kubectl("wait", until, "pod/pod", "-n", namespace, "--timeout=30s")
    pod: dict[str, Any] = json.loads(plane.kubectl("get", "pod/pod", "-n", namespace, "-o=json"))
    return pod


def annotate(plane: ControlPlane, namespace: str, annotations: dict[str, str]) -> None:
    pairs = [f"{name}={value}" for name, value in annotations.items()]
    plane.kubectl("annotate", "pod/pod", "-n", namespace, *pairs)


def condition_time(pod: dict[str, Any], kind: str) -> datetime.datetime:
    (message,) = (
        entry["message"] for entry in pod["status"]["conditions"] if entry["type"] == kind
    )
    return datetime.datetime.fromisoformat(message)


def in_s(seconds: float) -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)


def test_client_and_server_have_the_version_of_the_go_module(control_plane: ControlPlane) -> None:
    versions = json.loads(control_plane.kubectl("version", "-o=json"))

    assert versions["clientVersion"]["gitVersion"] == kubernetes_version()
    assert versions["serverVersion"]["gitVersion"] == kubernetes_version()


def test_an_unbound_identity_is_forbidden(control_plane: ControlPlane) -> None:
    with pytest.raises(CommandFailed) as caught:
        control_plane.kubectl("get", "pods", identity="no-rights")

    assert '(Forbidden): pods is forbidden: User "no-rights"' in caught.value.stderr


@pytest.mark.parametrize("verb", ["delete", "patch", "create"])
def test_kwok_cannot_write_nodes(control_plane: ControlPlane, verb: str) -> None:
    with pytest.raises(CommandFailed):
        control_plane.kubectl("auth", "can-i", verb, "nodes", identity="kwok")


def test_an_emulated_pod_finishes_at_its_time_with_its_message(
    control_plane: ControlPlane, node: str
) -> None:
    message = json.dumps({"median_ms": 12.5, "note": 'a "quoted" word'})
    apply_pod(control_plane, node)
    running = await_phase(control_plane, node, "Running")
    at = in_s(1.25)

    annotate(control_plane, node, finish_annotations(at, message=message))
    annotate(control_plane, node, {"an-update": "must-not-delay-the-end"})
    pod = await_phase(control_plane, node, "Succeeded")

    terminated = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    assert terminated["exitCode"] == 0
    assert terminated["message"] == message
    assert terminated["startedAt"] == running["status"]["startTime"]
    assert condition_time(pod, STARTED) == condition_time(running, STARTED)
    assert condition_time(pod, FINISHED) >= at
    assert condition_time(pod, FINISHED) - at < datetime.timedelta(seconds=5)


def test_an_emulated_pod_can_fail(control_plane: ControlPlane, node: str) -> None:
    apply_pod(control_plane, node)
    await_phase(control_plane, node, "Running")

    annotate(control_plane, node, finish_annotations(in_s(0), message="out of memory", exit_code=9))
    pod = await_phase(control_plane, node, "Failed")

    terminated = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (terminated["exitCode"], terminated["message"]) == (9, "out of memory")


def test_a_further_scheduler_binds_the_pods_that_name_it(
    control_plane: ControlPlane, node: str, tmp_path: Path
) -> None:
    lease = {"leaderElect": True, "resourceNamespace": "acesniper-system", "resourceName": "second"}
    config = {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "leaderElection": lease,
        "profiles": [{"schedulerName": "second"}],
    }
    path = tmp_path / "second.yaml"
    path.write_text(yaml.safe_dump(config))

    scheduler = start_scheduler(control_plane, path, name="second")
    apply_pod(control_plane, node, schedulerName="second")
    pod = await_phase(control_plane, node, "Running")
    scheduler.stop()

    assert pod["spec"]["nodeName"] == node


def test_a_killed_api_server_restarts_with_its_data(
    control_plane: ControlPlane, namespace: str
) -> None:
    control_plane.kill("kube-apiserver")
    with pytest.raises(CommandFailed):
        control_plane.kubectl("get", "namespaces")

    control_plane.start("kube-apiserver")

    assert namespace in control_plane.kubectl("get", "namespaces")


def test_a_killed_parent_leaves_no_child_process(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    code = """if True:
        import signal, sys
        from pathlib import Path
        from acesniper.testbed import ControlPlane
        with ControlPlane(Path(sys.argv[1])) as plane:
            names = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"]
            print(*(plane.children[name].pid for name in names), flush=True)
            signal.pause()
    """
    argv = [sys.executable, "-c", code, str(control_plane.binaries)]
    environ = {**os.environ, "TMPDIR": str(tmp_path)}  # its folder is not removed
    with subprocess.Popen(argv, env=environ, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        handles = [os.pidfd_open(pid) for pid in pids]

        parent.send_signal(signal.SIGKILL)

    assert len(handles) == 4
    for handle in handles:
        ended, _, _ = select.select([handle], [], [], 10)  # a pidfd is readable once it ended
        assert ended
        os.close(handle)
