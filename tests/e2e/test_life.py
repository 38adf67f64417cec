"""The lifecycle of tasks as users see it, on a real control plane with emulated devices."""

import hashlib
import json

from acesniper.testbed.deployment import ROOT
from fleet_of_five import FleetOfFive


def test_a_task_runs_on_the_device_with_the_earliest_finish(
    fleet: FleetOfFive, namespace: str
) -> None:
    fleet.add_model(namespace)

    fleet.apply([fleet.task("one", namespace, inferences=3)])
    status = fleet.finish(namespace)["one"]

    run = fleet.runs(namespace)[0]
    events = fleet.events(namespace, "one")
    assert status["phase"] == "Succeeded"
    assert status["node"] == run.node
    assert (
        status["observed"]["latencyMedianSeconds"]
        == fleet.emulator.latencies[(run.node, run.model)]
    )
    low, high = status["predicted"]["lowSeconds"], status["predicted"]["highSeconds"]
    assert low < status["predicted"]["latencySeconds"] < high
    assert status["errorRatio"] >= 0
    assert {"Profiled", "Queued", "Placed", "Succeeded"} <= events.keys()
    assert events["Placed"].count(" x ") == 3, "the event shows the best three candidates"
    shown = fleet.system.plane.kubectl("get", "itask", "one", "-n", namespace)
    assert "Succeeded" in shown
    assert run.node in shown


def test_a_task_may_contain_its_own_model_and_batch(fleet: FleetOfFive, namespace: str) -> None:
    source = fleet.sources["squeezenet1-1"].model_dump(by_alias=True, exclude_none=True)
    fleet.add_model(namespace)

    fleet.apply(
        [
            fleet.task("inline", namespace, source=source),
            fleet.task("batched", namespace, batchSize=4),
        ]
    )
    fleet.wait_for("inferencetask", "condition=Placed", namespace, "inline", "batched")

    profiles = {
        profile["metadata"]["name"]: profile for profile in fleet.get("modelprofiles", namespace)
    }
    tasks = fleet.tasks(namespace)
    batched = profiles[tasks["batched"]["status"]["modelProfile"]]
    single = profiles["mobilenet-v3-small"]
    assert batched["status"]["flops"] == 4 * single["status"]["flops"]
    assert tasks["inline"]["status"]["modelProfile"] in profiles


def test_invalid_models_are_reported_and_block_no_other_task(
    fleet: FleetOfFive, namespace: str
) -> None:
    right = fleet.sources["resnet18"]
    index = (ROOT / "examples/models/index.json").read_bytes()
    no_onnx = {"uri": f"{fleet.url}/index.json", "sha256": hashlib.sha256(index).hexdigest()}
    fleet.add_model(namespace)

    fleet.apply(
        [
            fleet.task("digest", namespace, source={"uri": right.uri, "sha256": "0" * 64}),
            fleet.task("garbage", namespace, source=no_onnx),
            fleet.task("good", namespace),
            fleet.task("unknown", namespace, model="unknown-model"),
            fleet.task(
                "away", namespace, source={"uri": f"{fleet.url}/no.onnx", "sha256": "1" * 64}
            ),
        ]
    )
    status = fleet.finish(namespace, "digest", "garbage", "good")

    assert status["good"]["phase"] == "Succeeded"
    for name, reason in (("digest", "DigestMismatch"), ("garbage", "NotOnnx")):
        finished = [entry for entry in status[name]["conditions"] if entry["type"] == "Finished"]
        assert status[name]["phase"] == "Failed"
        assert finished[0]["reason"] == reason
    assert status["unknown"]["phase"] == "Pending"
    assert "no ModelProfile 'unknown-model'" in status["unknown"]["message"]
    assert status["away"]["phase"] == "Pending"


def test_tasks_of_a_missing_model_start_once_it_is_created(
    fleet: FleetOfFive, namespace: str
) -> None:
    fleet.apply([fleet.task("early", namespace)])
    fleet.wait_for("inferencetask", "jsonpath={.status.phase}=Pending", namespace, "early")

    fleet.add_model(namespace)

    assert fleet.finish(namespace)["early"]["phase"] == "Succeeded"


def test_a_suspended_task_starts_once_resumed(fleet: FleetOfFive, namespace: str) -> None:
    fleet.add_model(namespace)
    fleet.apply([fleet.task("held", namespace, suspend=True)])
    fleet.wait_for("inferencetask", "jsonpath={.status.phase}=Pending", namespace, "held")
    assert not fleet.get("pods", namespace)

    patch = json.dumps({"spec": {"suspend": False}})
    fleet.system.plane.kubectl(
        "patch", "itask", "held", "-n", namespace, "--type=merge", "-p", patch
    )

    assert fleet.finish(namespace)["held"]["phase"] == "Succeeded"


def test_an_infeasible_deadline_is_rejected_immediately(fleet: FleetOfFive, namespace: str) -> None:
    fleet.add_model(namespace)
    unreachable = fleet.inferences(10_000)

    fleet.apply(
        [
            fleet.task(
                "late", namespace, inferences=unreachable, deadline="1h", deadlinePolicy="Reject"
            )
        ]
    )
    status = fleet.finish(namespace)["late"]

    assert status["phase"] == "Failed"
    assert "no device can meet the deadline" in status["message"]
    assert not fleet.runs(namespace)


def test_a_failed_attempt_is_retried_and_counted(fleet: FleetOfFive, namespace: str) -> None:
    fleet.add_model(namespace)
    fleet.exit_codes |= {"once": [3], "always": [3, 3]}

    fleet.apply([fleet.task("once", namespace), fleet.task("always", namespace, retries=1)])
    status = fleet.finish(namespace)

    assert (status["once"]["phase"], status["once"]["attempts"]) == ("Succeeded", 1)
    assert (status["always"]["phase"], status["always"]["attempts"]) == ("Failed", 2)
    assert "exit code 3: emulated failure" in status["always"]["message"]
    pods = [pod["metadata"]["labels"]["acesniper.io/task"] for pod in fleet.get("pods", namespace)]
    assert sorted(pods) == ["always", "always", "once", "once"]


def test_a_deleted_task_frees_its_device(fleet: FleetOfFive, namespace: str) -> None:
    fleet.add_model(namespace)
    here = {"kubernetes.io/hostname": fleet.devices[0].node}
    long = fleet.task("long", namespace, inferences=fleet.inferences(3600), nodeSelector=here)
    fleet.apply([long])
    fleet.wait_until(lambda: len(fleet.runs(namespace)) == 1)
    fleet.apply([fleet.task("next", namespace, nodeSelector=here)])
    fleet.wait_for("inferencetask", "jsonpath={.status.phase}=Queued", namespace, "next")

    fleet.system.plane.kubectl("delete", "itask", "-n", namespace, "long")
    status = fleet.finish(namespace, "next")["next"]

    assert status["phase"] == "Succeeded"
    assert status["node"] == fleet.devices[0].node


def test_a_finished_task_is_deleted_after_its_time_to_live(
    fleet: FleetOfFive, namespace: str
) -> None:
    fleet.add_model(namespace)

    fleet.apply([fleet.task("brief", namespace, ttlAfterFinished="1s")])

    fleet.wait_for("inferencetask", "delete", namespace, "brief")
    assert not fleet.get("inferencetasks", namespace)
