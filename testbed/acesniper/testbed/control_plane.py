"""A Kubernetes control plane on this machine, started and stopped as a context manager."""

import logging
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import yaml

from acesniper.testbed import components, credentials
from acesniper.testbed.components import kube_scheduler
from acesniper.testbed.credentials import Authority, Certificate, write_signing_key
from acesniper.testbed.errors import CommandFailed, NotReady
from acesniper.testbed.processes import Child, Children, Ready, free_port, https_ok
from acesniper.testbed.programs import ensure_binaries

logger = logging.getLogger(__name__)

MANIFESTS = Path(__file__).parent / "manifests"


class ControlPlane:
    """etcd, kube-apiserver, kube-controller-manager and the stock kube-scheduler.

    Entering starts them and waits until pods can be created; leaving stops them and everything
    that was spawned. Logs are removed unless the block raised or `keep_logs` was set. All processes
    are in one process group that is killed when this process ends, even by SIGKILL.
    """

    def __init__(self, binaries: Path | None = None) -> None:
        """Use the programs in the folder `binaries`; by default, those of `ensure_binaries`."""
        self.binaries = binaries or ensure_binaries()
        self.keep_logs = False

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="acesniper-testbed-"))
        self.logs = self._folder("logs")
        self._secrets = self._folder("secrets")
        self._kubeconfigs: dict[str, Path] = {}
        self.children = Children(self.logs)
        try:
            self._start()
        except BaseException:
            self._stop(keep_logs=True)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._stop(keep_logs=self.keep_logs or kind is not None)

    @property
    def url(self) -> str:
        """The API server's URL."""
        return f"https://127.0.0.1:{self.site.api_port}"

    def program(self, name: str) -> Path:
        """The path of a program, such as kubectl."""
        return self.binaries / name

    def kubeconfig(self, identity: str = "admin") -> Path:
        """A kubeconfig for the user `identity`: any name, without rights unless bound to a role."""
        if identity not in self._kubeconfigs:
            name = credentials.file_name(identity)
            client = self.authority.client(name, identity, credentials.GROUPS.get(identity, ()))
            self._kubeconfigs[identity] = credentials.write_kubeconfig(
                self.folder / "kubeconfigs" / name,
                port=self.site.api_port,
                ca=self.authority.ca.cert,
                user=identity,
                client=client,
            )
        return self._kubeconfigs[identity]

    def kubectl(
        self,
        *args: str | Path,
        stdin: str | None = None,
        identity: str = "admin",
        timeout_s: float = 60.0,
    ) -> str:
        """Run kubectl and return its output.

        Raises:
            CommandFailed: with what it printed.
            NotReady: it did not end within `timeout_s`.
        """
        argv = [
            str(self.program("kubectl")),
            "--cache-dir",
            str(self.folder / "kubectl-cache"),
            "--kubeconfig",
            str(self.kubeconfig(identity)),
            *map(str, args),
        ]
        try:
            done = subprocess.run(
                argv, input=stdin, capture_output=True, text=True, timeout=timeout_s, check=False
            )
        except subprocess.TimeoutExpired as late:
            raise NotReady(f"kubectl {args[0]} did not end within {timeout_s:g} s") from late
        if done.returncode:
            command = " ".join(map(str, args))
            raise CommandFailed(f"kubectl {command}: {done.stderr.strip()}", done.stderr)
        return done.stdout

    def spawn(
        self,
        name: str,
        argv: Sequence[str | Path],
        env: Mapping[str, str] | None = None,
        ready: Ready | None = None,
        timeout_s: float = 60.0,
        *,
        restart: bool = False,
    ) -> Child:
        """Start a process in addition to the components, and wait until it is `ready`, if given."""
        child = self.children.spawn(name, argv, env, ready, restart=restart)
        child.wait_ready(timeout_s)
        return child

    def kill(self, name: str) -> None:
        """Send SIGKILL to a process by name, such as `kube-apiserver`."""
        self.children[name].kill()

    def stop(self, name: str) -> None:
        """Send SIGTERM to a process, and wait until it has exited."""
        self.children[name].stop()

    def start(self, name: str, timeout_s: float = 60.0) -> None:
        """Restart a killed or stopped process with its arguments, and wait until it is ready."""
        self.children[name].start()
        self.children[name].wait_ready(timeout_s)

    def healthy(self, port: int, path: str = "/healthz") -> Ready:
        """A readiness check over HTTPS of a server with the testbed's serving certificate."""
        ca = self.authority.ca.cert
        return https_ok(port, path, ca=ca, cert=self._admin.cert, key=self._admin.key)

    def api_answers(self, path: str) -> Ready:
        """A readiness check: the API server responds with 200 to the admin's GET of `path`."""
        return self.healthy(self.site.api_port, path)

    def _start(self) -> None:
        self.site = self._prepare_site()
        self._spawn("etcd", components.etcd(self.site), self._etcd_ready())
        self._spawn(
            "kube-apiserver", components.kube_apiserver(self.site), self.api_answers("/readyz")
        )
        manager, scheduler = "kube-controller-manager", "kube-scheduler"
        config = self.kubeconfig(f"system:{manager}")
        port = free_port()
        argv = components.kube_controller_manager(self.site, config, port)
        self.children.spawn(manager, [self.program(manager), *argv], ready=self.healthy(port))
        stock = components.write_stock_scheduler_config(
            self.folder / "kube-scheduler.yaml", self.kubeconfig(f"system:{scheduler}")
        )
        port = free_port()
        argv = components.kube_scheduler(
            self.site, self.kubeconfig(f"system:{scheduler}"), port, stock
        )
        self._spawn(scheduler, argv, self.healthy(port, "/readyz"))
        self.kubectl("apply", "--server-side", "-f", MANIFESTS / "rbac.yaml")
        self.children[manager].wait_ready()
        self._await_default_service_account()

    def _spawn(self, name: str, argv: Sequence[str], ready: Ready) -> None:
        self.spawn(name, [self.program(name), *argv], ready=ready)

    def _prepare_site(self) -> components.Site:
        self.authority = Authority(self._secrets, "ca")
        etcd_ca = Authority(self._folder("secrets/etcd"), "etcd-ca")
        front_proxy_ca = Authority(self._folder("secrets/front-proxy"), "front-proxy-ca")
        self._admin: Certificate = self.authority.client("admin", "admin", ("system:masters",))
        return components.Site(
            data=self._folder("data"),
            etcd_port=free_port(),
            etcd_peer_port=free_port(),
            api_port=free_port(),
            ca=self.authority.ca,
            serving=self.authority.serving("serving"),
            etcd_ca=etcd_ca.ca,
            etcd=etcd_ca.serving("etcd"),
            front_proxy_ca=front_proxy_ca.ca,
            front_proxy=front_proxy_ca.client("front-proxy", "front-proxy-client"),
            service_accounts=write_signing_key(self._secrets),
        )

    def _etcd_ready(self) -> Ready:
        site = self.site
        return https_ok(
            site.etcd_port, "/health", ca=site.etcd_ca.cert, cert=site.etcd.cert, key=site.etcd.key
        )

    def _await_default_service_account(self) -> None:
        """Pods are refused until the controller manager has created it, soon after its start."""
        manager = self.children["kube-controller-manager"]
        manager.wait_until(self.api_answers("/api/v1/namespaces/default/serviceaccounts/default"))

    def _stop(self, *, keep_logs: bool) -> None:
        self.children.stop()
        if not keep_logs:
            shutil.rmtree(self.folder)
            return
        for folder in self.folder.iterdir():
            if folder.is_dir() and folder != self.logs:
                shutil.rmtree(folder)  # keys and data
        logger.warning("keeping the control plane's logs in %s", self.logs)

    def _folder(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder


def start_scheduler(
    plane: ControlPlane,
    config: Path,
    *,
    name: str = "ace-sniper-scheduler",
    identity: str = "acesniper-scheduler",
) -> Child:
    """Start kube-scheduler with the KubeSchedulerConfiguration in `config`, and wait for /healthz.

    The configuration is copied with the kubeconfig of `identity`, which kube-scheduler reads from
    there only. /healthz is served before a lease is held; leader election is as configured. When
    it loses its lease, kube-scheduler exits, and is restarted.
    """
    kubeconfig = plane.kubeconfig(identity)
    document = yaml.safe_load(config.read_text())
    document.setdefault("clientConnection", {})["kubeconfig"] = str(kubeconfig)
    copy = plane.folder / f"{name}.yaml"
    copy.write_text(yaml.safe_dump(document))
    port = free_port()
    flags = kube_scheduler(plane.site, kubeconfig, port, copy)
    argv: list[str | Path] = [plane.program("kube-scheduler"), *flags]
    return plane.spawn(name, argv, ready=plane.healthy(port), restart=True)
