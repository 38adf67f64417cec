"""The way a user takes: the chart, real containers, real nodes."""

from acesniper.testbed import ControlPlane
from acesniper.testbed.node import RealNode
from helm_release import HelmRelease
from real_tasks import apply, finish, get

Nodes = tuple[RealNode, RealNode]


def test_a_node_measures_itself_and_the_slower_one_is_seen_to_be_slower(
    plane: ControlPlane, nodes: Nodes, release: HelmRelease
) -> None:
    readings = {
        node.name: get(plane, f"dprof/{node.name}-cpu")["status"]["readings"] for node in nodes
    }

    slower = [
        name
        for name in readings["fast"]
        if readings["slow"][name]["seconds"] > readings["fast"][name]["seconds"]
    ]
    assert len(readings["fast"]) > 20
    assert len(slower) > len(readings["fast"]) * 0.8


def test_a_task_runs_in_a_container_and_reports_what_it_took(
    plane: ControlPlane, nodes: Nodes, release: HelmRelease, models: str
) -> None:
    apply(plane, "first", models, inferences=20)

    status = finish(plane, "first")

    assert status["node"] in {node.name for node in nodes}
    assert status["observed"]["latencyMedianSeconds"] > 0
    assert status["predicted"]["latencySeconds"] > 0
    assert status["attempts"] == 0


def test_an_upgrade_while_a_task_runs_loses_nothing(
    plane: ControlPlane, nodes: Nodes, release: HelmRelease, models: str
) -> None:
    apply(plane, "long", models, inferences=300)
    running = "jsonpath={.status.phase}=Running"
    plane.kubectl("wait", f"--for={running}", "itask/long", "--timeout=120s", timeout_s=130)

    release.upgrade("extender.settings.order=edf", "probe.settings.checkS=1", wait=True)
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
