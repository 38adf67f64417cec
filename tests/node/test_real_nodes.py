"""The chart with real containers on real nodes."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from acesniper.testbed import ControlPlane
from acesniper.testbed.node import RealNode
from deliveries import CLAIM, Delivery
from helm_release import HelmRelease
from real_tasks import MODEL, apply, digest, finish, get

Nodes = tuple[RealNode, RealNode]


def test_each_node_publishes_its_profile(
    plane: ControlPlane, nodes: Nodes, release: HelmRelease
) -> None:
    for node in nodes:
        profile = get(plane, f"dprof/{node.name}-cpu")
        offered = get(plane, f"node/{node.name}")["status"]["allocatable"]
        assert len(profile["status"]["readings"]) > 20
        assert profile["status"]["runtime"] == "onnxruntime"
        assert offered["acesniper.io/slot"] == "1"


def test_a_task_runs_in_a_container_and_reports_its_latency(
    plane: ControlPlane, nodes: Nodes, release: HelmRelease, models: str
) -> None:
    apply(plane, "first", f"{models}/{MODEL}", inferences=20)

    status = finish(plane, "first")

    assert status["node"] in {node.name for node in nodes}
    assert status["observed"]["latencyMedianSeconds"] > 0
    assert status["predicted"]["latencySeconds"] > 0
    assert status["attempts"] == 0


def test_tasks_run_on_the_node_with_the_earliest_finish(
    plane: ControlPlane, nodes: Nodes, release: HelmRelease, models: str
) -> None:
    names = [f"one-of-many-{number}" for number in range(6)]
    for name in names:
        apply(plane, name, f"{models}/{MODEL}", inferences=30)

    finished = {name: finish(plane, name) for name in names}

    for name in names:
        (pod,) = get(plane, f"pods --selector=acesniper.io/task={name}")["items"]
        candidates = json.loads(pod["metadata"]["annotations"]["acesniper.io/decision"])[
            "candidates"
        ]
        assert candidates[0]["node"] == finished[name]["node"]
        assert {candidate["node"] for candidate in candidates} <= {node.name for node in nodes}


def test_a_model_is_fetched_from_every_kind_of_source(
    plane: ControlPlane,
    nodes: Nodes,
    release: HelmRelease,
    deliveries: Mapping[str, Delivery],
) -> None:
    for place, delivery in deliveries.items():
        apply(plane, f"from-{place}", delivery.uri, inferences=10, secret=delivery.secret)

    finished = {place: finish(plane, f"from-{place}") for place in deliveries}

    for place, status in finished.items():
        assert status["observed"]["latencyMedianSeconds"] > 0, place
        assert status["predicted"]["latencySeconds"] > 0, place
        assert status["attempts"] == 0, place


def test_outputs_of_given_inputs_are_written_to_a_volume(
    plane: ControlPlane,
    nodes: Nodes,
    release: HelmRelease,
    deliveries: Mapping[str, Delivery],
) -> None:
    where = {"uri": f"pvc://{CLAIM}/results"}
    apply(plane, "writes", deliveries["pvc"].uri, inferences=3, output=where)

    finish(plane, "writes")

    volume = Path(get(plane, f"pv/{CLAIM}")["spec"]["hostPath"]["path"])
    written = sorted(path.name for path in (volume / "results/writes").iterdir())
    assert written == [f"batch-00000{number}.npz" for number in range(3)]


def test_an_upgrade_keeps_running_tasks_and_their_progress(
    plane: ControlPlane, nodes: Nodes, release: HelmRelease, models: str
) -> None:
    apply(plane, "long", f"{models}/{MODEL}", inferences=1500)
    running = "jsonpath={.status.phase}=Running"
    plane.kubectl("wait", f"--for={running}", "itask/long", "--timeout=120s", timeout_s=130)

    release.upgrade("scheduling.settings.policy=edf-mct", "probe.settings.checkS=1", wait=True)
    progress = "jsonpath={.status.progress.text}"
    plane.kubectl("wait", f"--for={progress}", "itask/long", "--timeout=120s", timeout_s=130)
    status = finish(plane, "long")

    assert status["attempts"] == 0
    assert status["progress"]["text"] == "1500/1500"


def test_the_model_cache_keeps_models_on_their_node(
    plane: ControlPlane,
    nodes: Nodes,
    release: HelmRelease,
    models: str,
    model_requests: Counter[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    model, folder = "mobilenet_v2.onnx", tmp_path_factory.mktemp("node") / "models"
    level = "pod-security.kubernetes.io/enforce=privileged"
    plane.kubectl("label", "--overwrite", "namespace", release.namespace, level)
    release.upgrade(
        "modelCache.enabled=true",
        f"modelCache.folder={folder}",
        "probe.settings.checkS=1",
        wait=True,
    )

    for name in ("fetches", "finds-it"):
        apply(plane, name, f"{models}/{model}", inferences=5, model=model)
        finish(plane, name)

    kept = [path.name for path in folder.iterdir() if not path.name.startswith(".")]
    assert kept == [digest(model)]
    assert model_requests[model] == 2, (
        "by the operator, which reads it, and by the first of the pods"
    )


def test_a_node_is_probed_again_on_request(
    plane: ControlPlane, nodes: Nodes, release: HelmRelease
) -> None:
    profile = f"dprof/{nodes[0].name}-cpu"

    plane.kubectl("patch", profile, "--type=merge", "-p", '{"spec": {"reprobe": "again"}}')

    answered = "jsonpath={.status.reprobed}=again"
    plane.kubectl("wait", f"--for={answered}", profile, "--timeout=300s", timeout_s=310)


def test_helm_test_verifies_that_our_scheduler_places_a_pod(release: HelmRelease) -> None:
    assert "Succeeded" in release.test()


def test_uninstalling_keeps_tasks_and_profiles_until_crds_are_deleted(
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
