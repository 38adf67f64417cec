"""The chart installed on a testbed: its objects in the API server, its parts as processes.

KWOK emulates the nodes and the pods of the chart. The components run as local processes, with the
service accounts of the chart.
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
    """A deployment whose definitions, permissions and leases come from the chart."""

    namespace: str = RELEASE

    def user(self, part: str) -> str:
        """Return the service account of a component in the chart."""
        return f"system:serviceaccount:{self.namespace}:{RELEASE}-{_ACCOUNTS[part]}"

    def install(self) -> None:
        """Run `helm install`; the pods are created once there are nodes."""
        release = HelmRelease(self.plane, self.namespace)
        release.make_namespace()
        release.install()

    def wait_rolled_out(self) -> None:
        """Wait until all pods of the release are ready."""
        for name in ("deployment/acesniper-operator", "deployment/acesniper-scheduler"):
            self.plane.kubectl("rollout", "status", name, "-n", self.namespace, "--timeout=60s")
        probe = ("daemonset/acesniper-probe", "-n", self.namespace, "--timeout=60s")
        self.plane.kubectl("rollout", "status", *probe)

    def shell(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a shell command in the repository, with kubectl, helm and acesniper on PATH."""
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
    """Return the environment of a user's shell: the programs, and a cluster, if there is one."""
    programs = (ROOT / ".venv/bin", ensure_binaries(), ensure_helm().parent)
    return {
        **os.environ,
        "PATH": os.pathsep.join([*map(str, programs), os.environ["PATH"]]),
        "KUBECONFIG": str(system.plane.kubeconfig()) if system else os.devnull,
        "HOME": str(home),
    }


class FreshFleet(FleetOfFive):
    """The five devices, recently measured and idle, without findings."""

    def apply(self, items: Iterable[Mapping[str, Any]], *flags: str) -> None:
        """`kubectl apply` a list of objects."""
        super().apply(map(_fresh, items), *flags)


def _fresh(thing: Mapping[str, Any]) -> Mapping[str, Any]:
    if thing["kind"] != "DeviceProfile" or "status" not in thing:
        return thing
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    calm = {
        name: {**reading, "spread": min(reading["spread"], CALM)}
        for name, reading in thing["status"]["readings"].items()
    }
    return {**thing, "status": {**thing["status"], "measuredAt": now, "readings": calm}}
