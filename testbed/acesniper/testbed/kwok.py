"""Fake nodes: KWOK stands in for the kubelet, and an emulator sets how long pods run.

A pod on a fake node is Running right after binding, and stays so until it is annotated with
`finish_annotations`. Every update of a pod restarts KWOK's delay, so the end is given as an instant
(`finish-at`), not as a duration. Kubernetes' own times are whole seconds, so the stages write start
and end with sub-second precision into the messages of the pod conditions `STARTED` and `FINISHED`.
"""

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from acesniper.testbed.control_plane import MANIFESTS, ControlPlane
from acesniper.testbed.processes import Child, free_port, http_ok

FINISH_AT = "emulation.acesniper.io/finish-at"
"""When the pod ends: RFC 3339 with fraction. Takes precedence over RUN_SECONDS."""

RUN_SECONDS = "emulation.acesniper.io/run-seconds"
"""Or how long after its last update, in seconds, as a decimal number; any update restarts it."""

MESSAGE = "emulation.acesniper.io/message"
"""The termination message, in place of the runner's."""

EXIT_CODE = "emulation.acesniper.io/exit-code"
"""The exit code; anything but 0 makes the pod Failed."""

BY_HAND = "emulation.acesniper.io/by-hand"
"""KWOK ignores a pod with this annotation; a test writes the pod's status instead."""

STARTED = "emulation.acesniper.io/Started"
FINISHED = "emulation.acesniper.io/Finished"

_FAKE = {"kwok.x-k8s.io/node": "fake"}


def start_kwok(plane: ControlPlane) -> Child:
    """Start KWOK as `kwok`; it manages only nodes that `make_node` describes."""
    port = free_port()
    argv: list[str | Path] = [
        plane.program("kwok"),
        f"--kubeconfig={plane.kubeconfig('kwok')}",
        f"--config={MANIFESTS / 'kwok.yaml'}",
        "--manage-all-nodes=false",
        "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",
        "--node-lease-duration-seconds=40",
        f"--server-address=127.0.0.1:{port}",
    ]
    return plane.spawn("kwok", argv, ready=http_ok(port, "/healthz"))


def finish_annotations(
    at: datetime.datetime, *, message: str = "", exit_code: int = 0
) -> dict[str, str]:
    """The annotations that end a pod at the instant `at`; an instant in the past means now.

    Raises ValueError when `at` has no time zone.
    """
    if at.tzinfo is None:
        raise ValueError(f"{at} has no time zone")
    when = at.astimezone(datetime.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return {FINISH_AT: when, MESSAGE: message, EXIT_CODE: str(exit_code)}


def make_node(
    name: str,
    *,
    cpu: str = "4",
    memory: str = "8Gi",
    pods: int = 110,
    labels: Mapping[str, str] | None = None,
    extended: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The manifest of a fake node; `extended` are further resources such as acesniper.io/slot."""
    resources = {"cpu": cpu, "memory": memory, "pods": str(pods), **(extended or {})}
    standard = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {**standard, **(labels or {})},
            "annotations": dict(_FAKE),
        },
        "status": {"allocatable": resources, "capacity": resources},
    }
