"""Ace-Sniper on a testbed: CRDs and RBAC; extender, kube-scheduler and operator as processes."""

import json
import os
import secrets
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from acesniper.api.names import OPERATOR_LEASE, PLANNER_LEASE
from acesniper.api.objects import KEY_BYTES
from acesniper.api.scheduler_config import SchedulerConfig
from acesniper.testbed.control_plane import ControlPlane, start_scheduler
from acesniper.testbed.errors import CommandFailed
from acesniper.testbed.processes import free_port, http_ok

ROOT = Path(__file__).parents[3]
"""The repository, with CRDs, rules and examples."""

NO_START_DELAY = {
    "ACESNIPER_CONTAINER_START_S": "0",
    "ACESNIPER_IMAGE_PULL_MB_PER_S": "1e9",
    "ACESNIPER_MODEL_FETCH_MB_PER_S": "1e9",
    "ACESNIPER_MODEL_LOAD_MB_PER_S": "1e9",
}
"""The extender's cold-start settings: emulated pods pull, fetch and load nothing."""

FETCH_FROM_LOOPBACK = {"ACESNIPER_FETCH_NETWORKS": "127.0.0.0/8"}
"""The operator's setting for servers of the testbed."""

NAMESPACE = "acesniper-system"
STANDBY = "-standby"
"""Suffix of the process names of a second replica."""
OPERATOR, EXTENDER, SCHEDULER = "acesniper-operator", "acesniper-extender", "ace-sniper-scheduler"


@dataclass(slots=True)
class Deployment:
    """The components of one installation, each a supervised process of the testbed."""

    plane: ControlPlane
    environment: Mapping[str, str] = field(default_factory=dict)
    extender_port: int = field(default_factory=free_port)
    page_port: int = field(default_factory=free_port)
    health_port: int = field(default_factory=free_port)
    metrics_port: int = field(default_factory=free_port)
    kubeconfigs: Mapping[str, Path] = field(default_factory=dict)
    """Kubeconfigs of components that reach the API server through a proxy."""
    namespace: str = NAMESPACE
    """The namespace of the leases."""

    def user(self, part: str) -> str:
        """The user as which a component authenticates to the API server."""
        return part if part != SCHEDULER else "acesniper-scheduler"

    def start(self) -> None:
        """Install and start everything; returns when all components are ready."""
        self.install()
        self.start_parts()

    def install(self) -> None:
        """Install CRDs and RBAC."""
        self.plane.kubectl("apply", "--server-side", "-f", ROOT / "crds")
        self.plane.kubectl("apply", "--server-side", "-f", "-", stdin=_rights())
        self.plane.kubectl(
            "wait",
            "--for=condition=Established",
            "--timeout=30s",
            "crd",
            "inferencetasks.acesniper.io",
            "modelprofiles.acesniper.io",
            "deviceprofiles.acesniper.io",
        )

    def start_parts(self) -> None:
        """Start extender, scheduler and operator, after `install`."""
        self.start_extender()
        self.start_scheduler()
        self.start_operator()

    def start_extender(self, suffix: str = "", port: int | None = None) -> None:
        """Start the extender and wait until it has listed the cluster.

        A `suffix` to its name makes it another replica, on another port.
        """
        port = port or self.extender_port
        own = {
            "ACESNIPER_PORT": str(port),
            "ACESNIPER_PAGE_PORT": str(self.page_port if not suffix else free_port()),
            "ACESNIPER_IDENTITY": EXTENDER + suffix,
        }
        self._spawn(
            EXTENDER, "acesniper.extender", {**own, **NO_START_DELAY}, port, "/readyz", suffix
        )

    def start_scheduler(self, suffix: str = "", port: int | None = None) -> None:
        """Start our kube-scheduler with the configuration generated from the settings.

        A `suffix` to its name makes it another replica, which calls the extender on `port`.
        """
        settings = SchedulerConfig(
            extender_url=f"http://127.0.0.1:{port or self.extender_port}",
            lease_namespace=self.namespace,
        )
        with tempfile.TemporaryDirectory() as folder:
            config = Path(folder) / "scheduler.yaml"
            config.write_text(yaml.safe_dump(settings.manifest()))
            start_scheduler(
                self.plane, config, name=SCHEDULER + suffix, identity=self.user(SCHEDULER)
            )

    def start_operator(self) -> None:
        """Start the operator and wait until its liveness check passes."""
        self._spawn(
            OPERATOR,
            "acesniper.operator",
            {
                "ACESNIPER_HEALTH_PORT": str(self.health_port),
                "ACESNIPER_METRICS_PORT": str(self.metrics_port),
                **FETCH_FROM_LOOPBACK,
            },
            self.health_port,
            "/healthz",
        )

    @contextmanager
    def standby(self) -> Iterator[int]:
        """Run a second replica of kube-scheduler and extender; yields the extender's port.

        Both are stopped afterwards; the first replica must be running by then.
        """
        port = free_port()
        self.start_extender(STANDBY, port)
        self.start_scheduler(STANDBY, port)
        try:
            yield port
        finally:
            self.plane.stop(SCHEDULER + STANDBY)
            self.plane.stop(EXTENDER + STANDBY)

    def decision_key(self) -> Path:
        """The file with the key that signs decisions, which is made at the first call."""
        path = self.plane.folder / "decision-key"
        if not path.exists():
            path.write_text(secrets.token_hex(KEY_BYTES))
        return path

    def kill(self, name: str) -> None:
        """Send SIGKILL to a component."""
        self.plane.kill(name)

    def restart(self, name: str) -> None:
        """Restart a killed component with its arguments, and wait until it is ready."""
        self.plane.start(name)

    def ask(self, path: str) -> Any:  # noqa: ANN401 - any JSON
        """GET JSON from the extender, such as `/explain?pod=UID`.

        Raises:
            CommandFailed: the response is not 200.
        """
        return json.loads(self.text(path))

    def text(self, path: str, port: int | None = None) -> str:
        """GET text from the extender (the one on `port`), such as `/metrics`.

        Raises:
            CommandFailed: the response is not 200.
        """
        url = f"http://127.0.0.1:{port or self.extender_port}{path}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            body = error.read().decode(errors="replace")
            raise CommandFailed(f"GET {path}: {error.code} {body}", body) from error

    def backlogs(self, port: int | None = None) -> dict[str, float]:
        """Backlog by device in seconds, from the metrics of the extender (on `port`)."""
        prefix = "acesniper_backlog_seconds{device="
        lines = self.text("/metrics", port).splitlines()
        samples = (
            line.removeprefix(prefix).split("} ") for line in lines if line.startswith(prefix)
        )
        return {device.strip('"'): float(value) for device, value in samples}

    @contextmanager
    def rerouted(
        self, kubeconfigs: Mapping[str, Path], environment: Mapping[str, str]
    ) -> Iterator[None]:
        """Restart operator and extender with other kubeconfigs and environment, for a while."""
        before = self.environment
        self.kubeconfigs, self.environment = kubeconfigs, {**before, **environment}
        try:
            self._restart_parts()
            yield
        finally:
            self.kubeconfigs, self.environment = {}, before
            self._restart_parts()

    def _restart_parts(self) -> None:
        for name in (OPERATOR, EXTENDER):
            self.plane.stop(name)
        self.start_extender()
        self.start_operator()

    def _spawn(
        self,
        name: str,
        module: str,
        environment: Mapping[str, str],
        port: int,
        path: str,
        suffix: str = "",
    ) -> None:
        own = {name: value for name, value in os.environ.items() if name.startswith("ACESNIPER_")}
        kubeconfig = self.kubeconfigs.get(name) or self.plane.kubeconfig(self.user(name))
        config = {
            "ACESNIPER_KUBECONFIG": str(kubeconfig),
            "ACESNIPER_LEASE_NAMESPACE": self.namespace,
            "ACESNIPER_DECISION_KEY": str(self.decision_key()),
        }
        self.plane.spawn(
            name + suffix,
            [sys.executable, "-m", module],
            {**own, **config, **self.environment, **environment},
            http_ok(port, path),
        )


def _rights() -> str:
    """The chart's RBAC rules, bound to the testbed's identities, and the leases."""
    documents: list[dict[str, Any]] = [
        {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": name, "namespace": NAMESPACE},
        }
        for name in (PLANNER_LEASE, OPERATOR_LEASE)
    ]
    for part in ("operator", "extender", "probe"):
        documents += _role(part, f"acesniper-{part}", None)
    for part in ("operator", "extender"):
        documents += _role(f"{part}-lease", f"acesniper-{part}", NAMESPACE)
    return yaml.safe_dump_all(documents)


def _role(rules: str, user: str, namespace: str | None) -> list[dict[str, Any]]:
    """A role with the rules of a file of the chart, bound to a user in one namespace or in all."""
    group = "rbac.authorization.k8s.io"
    metadata = {"name": f"acesniper-{rules}"} | ({"namespace": namespace} if namespace else {})
    head = {"apiVersion": f"{group}/v1", "metadata": metadata}
    kind = "Role" if namespace else "ClusterRole"
    policy_rules = yaml.safe_load((ROOT / f"charts/acesniper/files/{rules}-rules.yaml").read_text())
    reference = {"apiGroup": group, "kind": kind, "name": metadata["name"]}
    subjects = [{"apiGroup": group, "kind": "User", "name": user}]
    return [
        {**head, "kind": kind, "rules": policy_rules},
        {**head, "kind": f"{kind}Binding", "roleRef": reference, "subjects": subjects},
    ]
