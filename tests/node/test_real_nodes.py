"""The way a user takes: the chart, real containers, real nodes."""

import json
import sys

from acesniper.testbed import ControlPlane
from acesniper.testbed.node import RealNode
from helm_release import HelmRelease
from real_tasks import apply, comparison, finish, get

Nodes = tuple[RealNode, RealNode]


def test_each_node_publishes_what_it_measured(
    plane: ControlPlane, nodes: Nodes, release: HelmRelease
) -> None:
    for node in nodes:
        profile = get(plane, f"dprof/{node.name}-cpu")
        offered = get(plane, f"node/{node.name}")["status"]["allocatable"]
        assert len(profile["status"]["readings"]) > 20
        assert profile["status"]["runtime"] == "onnxruntime"
        assert offered["acesniper.io/slot"] == "1"


def test_a_task_runs_in_a_container_and_reports_what_it_took(
    plane: ControlPlane, nodes: Nodes, release: HelmRelease, models: str
) -> None:
    apply(plane, "first", models, inferences=20)

    status = finish(plane, "first")

    assert status["node"] in {node.name for node in nodes}
    assert status["observed"]["latencyMedianSeconds"] > 0
    assert status["predicted"]["latencySeconds"] > 0
    assert status["attempts"] == 0


def test_tasks_go_where_they_are_predicted_to_finish_first(
    plane: ControlPlane, nodes: Nodes, release: HelmRelease, models: str
) -> None:
    names = [f"one-of-many-{number}" for number in range(6)]
    for name in names:
        apply(plane, name, models, inferences=30)

    finished = {name: finish(plane, name) for name in names}

    sys.stdout.write(f"\n{comparison(finished)}\n")
    for name in names:
        (pod,) = get(plane, f"pods --selector=acesniper.io/task={name}")["items"]
        candidates = json.loads(pod["metadata"]["annotations"]["acesniper.io/decision"])[
            "candidates"
        ]
        assert candidates[0]["node"] == finished[name]["node"]
        assert {each["node"] for each in candidates} <= {node.name for node in nodes}


def test_an_upgrade_while_a_task_runs_loses_nothing(
    plane: ControlPlane, nodes: Nodes, release: HelmRelease, models: str
) -> None:
    apply(plane, "long", models, inferences=300)
    running = "jsonpath={.status.phase}=Running"
    plane.kubectl("wait", f"--for={running}", "itask/long", "--timeout=120s", timeout_s=130)

    release.upgrade("scheduling.settings.policy=edf-mct", "probe.settings.checkS=1", wait=True)
    status = finish(plane, "long")

    assert status["attempts"] == 0


def test_a_node_measures_itself_again_when_asked(
    plane: ControlPlane, nodes: Nodes, release: HelmRelease
) -> None:
    profile = f"dprof/{nodes[0].name}-cpu"

    plane.kubectl("patch", profile, "--type=merge", "-p", '{"spec": {"reprobe": "again"}}')

    answered = "jsonpath={.status.reprobed}=again"
    plane.kubectl("wait", f"--for={answered}", profile, "--timeout=300s", timeout_s=310)


def test_helm_test_sees_our_scheduler_place_a_pod(release: HelmRelease) -> None:
    assert "Succeeded" in release.test()


def test_what_is_uninstalled_leaves_tasks_and_profiles_until_they_are_let_go(
    plane: ControlPlane, nodes: Nodes, release: HelmRelease
) -> None:
    release.uninstall()

    slot = '[{"op": "remove", "path": "/status/capacity/acesniper.io~1slot"}]'
    for node in nodes:
        patch = ("--subresource=status", "--type=json", f"--patch={slot}")
        plane.kubectl("patch", f"node/{node.name}", *patch)
    plane.kubectl("delete", "crd", "-l", "app.kubernetes.io/part-of=acesniper")
    plane.kubectl("wait", "--for=delete", "pods", "--all", "-A", "--timeout=120s", timeout_s=130)
    kinds = "clusterroles,clusterrolebindings,priorityclasses,validatingadmissionpolicies,crds"
    left = plane.kubectl("get", kinds, "-l", "app.kubernetes.io/part-of=acesniper", "-o", "name")
    assert left == ""
    for node in nodes:
        assert "acesniper.io/slot" not in get(plane, f"node/{node.name}")["status"]["capacity"]
