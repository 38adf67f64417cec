"""A further kube-scheduler beside the stock one, with a configuration of its own."""

from pathlib import Path

import yaml

from acesniper.testbed.components import kube_scheduler
from acesniper.testbed.control_plane import ControlPlane
from acesniper.testbed.processes import Child, free_port


def start_scheduler(
    plane: ControlPlane,
    config: Path,
    *,
    name: str = "ace-sniper-scheduler",
    identity: str = "acesniper-scheduler",
) -> Child:
    """Start kube-scheduler with the KubeSchedulerConfiguration in `config`, and wait for /healthz.

    The configuration is copied, with the kubeconfig of `identity` filled in: kube-scheduler takes
    it from nowhere else. /healthz answers before a lease is held; leader election is the file's.
    """
    kubeconfig = plane.kubeconfig(identity)
    document = yaml.safe_load(config.read_text())
    document.setdefault("clientConnection", {})["kubeconfig"] = str(kubeconfig)
    copy = plane.folder / f"{name}.yaml"
    copy.write_text(yaml.safe_dump(document))
    port = free_port()
    flags = kube_scheduler(plane.site, kubeconfig, port, copy)
    argv: list[str | Path] = [plane.program("kube-scheduler"), *flags]
    return plane.spawn(name, argv, ready=plane.healthy(port))
