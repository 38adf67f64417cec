"""A real node of a control plane, started and stopped as a context manager."""

import contextlib
import shutil
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from acesniper.testbed.control_plane import ControlPlane
from acesniper.testbed.credentials import file_name, write_kubeconfig
from acesniper.testbed.errors import CommandFailed
from acesniper.testbed.node.host import make_cgroup, remove_cgroup
from acesniper.testbed.node.network import NetworkNamespace, TcpProxy
from acesniper.testbed.node.node_files import NodeFiles
from acesniper.testbed.programs import ensure_node_programs

API_PORT = 6443
"""The API server's port for nodes, on our end of the veth pair."""


class RealNode:
    """kubelet, kube-proxy and containerd in namespaces; entering returns once the node is Ready.

    `archive` holds the images (`images.write_archive`); `cpus` limits all its pods together. The
    logs of its programs are next to those of the control plane.
    """

    def __init__(
        self, plane: ControlPlane, name: str, archive: Path, *, cpus: float | None = None
    ) -> None:
        self._plane = plane
        self._archive = archive
        self._cpus = cpus
        self.name = name
        self.folder = plane.folder / "nodes" / name
        self.pod_logs = plane.logs / f"pods-{name}"

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True)
        with contextlib.ExitStack() as stack:
            stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
            self.network = stack.enter_context(NetworkNamespace(self._plane.children, self.name))
            self._cgroup = f"acesniper-node-{self.network.number}"
            stack.callback(remove_cgroup, self._cgroup)
            make_cgroup(self._cgroup, self._cpus)
            api_server = ("127.0.0.1", self._plane.site.api_port)
            stack.enter_context(TcpProxy((self.network.host, API_PORT), api_server))
            self._start()
            # Last in, first out: the namespaces first, then what was used inside them.
            stack.callback(self.network.close)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _start(self) -> None:
        files = NodeFiles(
            self.folder,
            self.pod_logs,
            self.network.pods,
            self._cgroup,
            self._plane.authority.ca.cert,
        )
        programs = ensure_node_programs()
        self._spawn("containerd", "containerd", "--config", files.containerd())
        self._plane.children[f"{self.name}-containerd"].wait_until(self._containerd_answers)
        self.network.run("ctr", "--namespace", "k8s.io", "images", "import", self._archive)
        self._prepare_cluster()
        kubelet = self._kubeconfig(f"system:node:{self.name}", "system:nodes")
        self._spawn(
            "kubelet",
            programs / "kubelet",
            "--config",
            files.kubelet(),
            "--kubeconfig",
            kubelet,
            "--root-dir",
            self.folder / "kubelet",
            "--cert-dir",
            self.folder / "pki",
            "--hostname-override",
            self.name,
            "--node-ip",
            self.network.address,
        )
        proxy = files.kube_proxy(self._kubeconfig("system:kube-proxy"), self.name)
        self._spawn("kube-proxy", programs / "kube-proxy", "--config", proxy)
        for condition in ("create", "condition=Ready"):
            self._plane.kubectl(
                "wait", f"--for={condition}", f"node/{self.name}", "--timeout=120s", timeout_s=130
            )

    def _spawn(self, program: str, *argv: str | Path) -> None:
        self._plane.spawn(f"{self.name}-{program}", [*self.network.enter, *argv])

    def _containerd_answers(self) -> bool:
        with contextlib.suppress(CommandFailed):
            self.network.run("ctr", "version")
            return True
        return False

    def _kubeconfig(self, user: str, *groups: str) -> Path:
        """A kubeconfig for use on the node, where the API server has another address."""
        name = f"{self.name}-{file_name(user)}"
        path = write_kubeconfig(
            self.folder / f"{name}.kubeconfig",
            port=self._plane.site.api_port,
            ca=self._plane.authority.ca.cert,
            user=user,
            client=self._plane.authority.client(name, user, groups),
        )
        config: Any = yaml.safe_load(path.read_text())
        server = {
            "server": f"https://{self.network.host}:{API_PORT}",
            "tls-server-name": "localhost",
        }
        config["clusters"][0]["cluster"] |= server
        path.write_text(yaml.safe_dump(config))
        return path

    def _prepare_cluster(self) -> None:
        """Authorize kube-proxy, and add this node's address of the API server to its service."""
        group = "rbac.authorization.k8s.io"
        binding = {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "kube-proxy"},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "system:node-proxier"},
            "subjects": [{"apiGroup": group, "kind": "User", "name": "system:kube-proxy"}],
        }
        # The service has one slice per node; each node can reach only the address of its own.
        endpoints = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": f"kubernetes-{self.name}",
                "namespace": "default",
                "labels": {"kubernetes.io/service-name": "kubernetes"},
            },
            "addressType": "IPv4",
            "endpoints": [{"addresses": [self.network.host], "conditions": {"ready": True}}],
            "ports": [{"name": "https", "port": API_PORT, "protocol": "TCP"}],
        }
        self._plane.kubectl(
            "apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all([binding, endpoints])
        )
