"""Whose fault a failed attempt is, and where the next one runs, on a real control plane."""

import json
from collections.abc import Iterator

import pytest

from acesniper.api.objects import Json
from fleet_of_five import FleetOfFive
from played_by_hand import PlayedByHand, played_by_hand


@pytest.fixture
def by_hand(fleet: FleetOfFive, namespace: str) -> Iterator[PlayedByHand]:
    fleet.add_model(namespace)
    with played_by_hand(fleet, namespace) as hand:
        yield hand


def finished(status: Json) -> str:
    return next(
        str(entry["reason"]) for entry in status["conditions"] if entry["type"] == "Finished"
    )


def test_each_attempt_prefers_a_device_on_which_none_has_failed(
    by_hand: PlayedByHand, fleet: FleetOfFive, namespace: str
) -> None:
    fleet.apply([by_hand.task("broken", retries=2)])
    nodes = []
    for attempt in range(3):
        pod = by_hand.bound_pod("broken", attempt)
        nodes.append(pod["spec"]["nodeName"])
        by_hand.ended(pod, 1, "Error")
    status = fleet.finish(namespace, "broken")["broken"]

    assert len(set(nodes)) == 3
    assert len(status["failedDevices"]) == 3


def test_an_eviction_for_the_pods_own_limit_costs_a_retry(
    by_hand: PlayedByHand, fleet: FleetOfFive, namespace: str
) -> None:
    fleet.apply([by_hand.task("full", retries=0)])
    pod = by_hand.bound_pod("full")
    message = 'Usage of EmptyDir volume "cache" exceeds the limit "1Mi". '
    ended = {"terminated": {"exitCode": 137, "reason": "Error"}}

    by_hand.write_status(pod, "Failed", ended, reason="Evicted", message=message)
    status = fleet.finish(namespace, "full")["full"]

    assert (finished(status), status.get("disruptions", 0)) == ("PodLimitExceeded", 0)


def test_a_sidecar_that_runs_on_does_not_keep_the_task_running(
    by_hand: PlayedByHand, fleet: FleetOfFive, namespace: str
) -> None:
    task = by_hand.task("proxied")
    task["spec"]["template"]["spec"]["containers"].append({"name": "proxy", "image": "example"})
    fleet.apply([task])
    pod = by_hand.bound_pod("proxied")
    containers: list[Json] = [
        {
            "name": name,
            "image": "example",
            "imageID": "",
            "ready": False,
            "restartCount": 0,
            "state": state,
        }
        for name, state in (
            ("proxy", {"running": {}}),
            ("runner", {"terminated": {"exitCode": 0, "reason": "Completed"}}),
        )
    ]
    patch = {"status": {"phase": "Running", "containerStatuses": containers}}
    name = pod["metadata"]["name"]
    fleet.system.plane.kubectl(
        "patch", "pod", name, "-n", namespace, "--subresource=status", "--type=merge",
        "-p", json.dumps(patch),
    )  # fmt: skip

    assert fleet.finish(namespace, "proxied")["proxied"]["phase"] == "Succeeded"


def test_a_run_over_its_active_deadline_is_ended(
    by_hand: PlayedByHand, fleet: FleetOfFive, namespace: str
) -> None:
    """KWOK does not end it, as a kubelet that hangs."""
    fleet.apply([by_hand.task("hangs", activeDeadline="1s", retries=5)])
    by_hand.write_status(by_hand.bound_pod("hangs"), "Running", {"running": {}})

    status = fleet.finish(namespace, "hangs")["hangs"]

    assert (finished(status), status["attempts"]) == ("RunTimeExceeded", 1)
