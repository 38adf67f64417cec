"""Pods whose status is written by the test instead of KWOK, for states that KWOK lacks."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from acesniper.api.objects import Json
from acesniper.api.units import rfc3339
from acesniper.testbed.kwok import BY_HAND
from fleet_of_five import FleetOfFive

PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class PlayedByHand:
    """Tasks of a namespace whose pods' status is written by the test."""

    fleet: FleetOfFive
    namespace: str

    def task(self, name: str, **spec: object) -> Json:
        """A task whose pods KWOK ignores."""
        container = {"name": "runner", "image": "example"}
        template = {
            "metadata": {"annotations": {BY_HAND: "true"}},
            "spec": {"containers": [container]},
        }
        return self.fleet.task(name, self.namespace, template=template, **spec)

    def bound_pod(self, task: str, attempt: int = 0) -> Json:
        """The pod of an attempt, once it is bound to a node."""
        labels = f"acesniper.io/task={task},acesniper.io/attempt={attempt}"
        collected: list[Json] = []

        def bound() -> bool:
            listed = ("get", "pods", "-n", self.namespace, "-l", labels, "-o", "json")
            collected[:] = json.loads(self.fleet.system.plane.kubectl(*listed))["items"]
            return bool(collected) and bool(collected[0]["spec"].get("nodeName"))

        operator = self.fleet.system.plane.children["acesniper-operator"]
        operator.wait_until(bound, PATIENCE_S)
        return collected[0]

    def write_status(self, pod: Mapping[str, Any], phase: str, state: Json, **status: Any) -> None:  # noqa: ANN401
        """Write a pod's status as its kubelet would: phase and container state."""
        container = {
            "name": "runner",
            "image": "example",
            "imageID": "",
            "ready": False,
            "restartCount": 0,
            "state": state,
        }
        patch = {"status": {"phase": phase, "containerStatuses": [container], **status}}
        self.fleet.system.plane.kubectl(
            "patch",
            "pod",
            pod["metadata"]["name"],
            "-n",
            self.namespace,
            "--subresource=status",
            "--type=merge",
            "-p",
            json.dumps(patch),
        )

    def ended(self, pod: Mapping[str, Any], exit_code: int, reason: str, **more: object) -> None:
        """Write that its container terminated."""
        state = {"terminated": {"exitCode": exit_code, "reason": reason, **more}}
        self.write_status(pod, "Failed" if exit_code else "Succeeded", state)

    def succeeded(
        self, pod: Mapping[str, Any], taken_s: float, started_s: float, finished_s: float
    ) -> None:
        """Write that its container succeeded; times in seconds since the epoch, by the node."""
        times = {"startedAt": whole(started_s), "finishedAt": whole(finished_s)}
        state = {"terminated": {"exitCode": 0, "reason": "Completed", **times}}
        self.write_status(pod, "Succeeded", state, startTime=whole(taken_s))


@contextmanager
def played_by_hand(fleet: FleetOfFive, namespace: str) -> Iterator[PlayedByHand]:
    """Write the status of a namespace's pods; they are deleted afterwards."""
    yield PlayedByHand(fleet, namespace)
    plane = fleet.system.plane
    plane.kubectl("delete", "itask", "-n", namespace, "--all")
    plane.kubectl("delete", "pods", "-n", namespace, "--all", "--force", "--grace-period=0")


def whole(at_s: float) -> str:
    """A time in whole seconds, as kubelets write it."""
    return rfc3339(at_s)[:19] + "Z"
