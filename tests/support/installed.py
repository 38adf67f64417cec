"""The chart installed on a testbed: its objects in the API server, its parts as processes.

KWOK plays the nodes, on which the chart's pods are "running"; what those pods would do is done by
processes beside it, as the service accounts that the chart made.
"""

import os
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from acesniper.testbed.deployment import EXTENDER, OPERATOR, ROOT, SCHEDULER, Deployment
from acesniper.testbed.programs import ensure_binaries, ensure_helm
from fleet_of_five import FleetOfFive
from helm_release import HelmRelease

RELEASE = "acesniper"
CALM = 0.02
"""Spread of a reading on a quiet device."""
_ACCOUNTS = {OPERATOR: "operator", EXTENDER: "scheduler", SCHEDULER: "scheduler"}


@dataclass(slots=True)
class Installed(Deployment):
    """A system whose definitions, rights and leases come from the chart."""

    namespace: str = RELEASE

    def user(self, part: str) -> str:
        """The service account of the chart."""
        return f"system:serviceaccount:{self.namespace}:{RELEASE}-{_ACCOUNTS[part]}"

    def install(self) -> None:
        """`helm install`; the pods come when there are nodes."""
        release = HelmRelease(self.plane, self.namespace)
        release.make_namespace()
        release.install()

    def wait_rolled_out(self) -> None:
        """Wait until all pods of the release are ready."""
        for each in ("deployment/acesniper-operator", "deployment/acesniper-scheduler"):
            self.plane.kubectl("rollout", "status", each, "-n", self.namespace, "--timeout=60s")
        probe = ("daemonset/acesniper-probe", "-n", self.namespace, "--timeout=60s")
        self.plane.kubectl("rollout", "status", *probe)

    def shell(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run what a person would, with kubectl, helm and acesniper, in the repository."""
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=ROOT,
            env=shell_environment(self, self.plane.folder),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


def shell_environment(system: Deployment | None, home: Path) -> dict[str, str]:
    """What a person's shell has: the programs on PATH, and the way to a cluster, if any."""
    programs = (ROOT / ".venv/bin", ensure_binaries(), ensure_helm().parent)
    return {
        **os.environ,
        "PATH": os.pathsep.join([*map(str, programs), os.environ["PATH"]]),
        "KUBECONFIG": str(system.plane.kubeconfig()) if system else os.devnull,
        "HOME": str(home),
    }


class FreshFleet(FleetOfFive):
    """The five devices as if measured a moment ago, at rest: there is nothing to find."""

    def apply(self, items: Iterable[Mapping[str, Any]], *flags: str) -> None:
        """`kubectl apply` a list of objects."""
        super().apply(map(_fresh, items), *flags)


def _fresh(thing: Mapping[str, Any]) -> Mapping[str, Any]:
    if thing["kind"] != "DeviceProfile" or "status" not in thing:
        return thing
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    calm = {
        name: {**each, "spread": min(each["spread"], CALM)}
        for name, each in thing["status"]["readings"].items()
    }
    return {**thing, "status": {**thing["status"], "measuredAt": now, "readings": calm}}
