"""The cluster's own scheduler, configured to call the extender over TLS."""

import http.client
import ssl
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from acesniper.api.scheduler_config import SchedulerConfig
from acesniper.testbed import ControlPlane, make_node, start_kwok
from acesniper.testbed.control_plane import start_scheduler
from acesniper.testbed.credentials import Authority, Certificate
from acesniper.testbed.deployment import Deployment
from acesniper.testbed.processes import free_port, https_ok


@dataclass(frozen=True, slots=True)
class Extender:
    """An extender over TLS, and the certificates of a client."""

    port: int
    ca: Path
    client: Certificate

    def text(self, path: str, client: Certificate | None) -> str:
        """GET with a certificate or without."""
        context = ssl.create_default_context(cafile=str(self.ca))
        if client is not None:
            context.load_cert_chain(client.cert, client.key)
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=context)
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()


@pytest.fixture(scope="module")
def plane(request: pytest.FixtureRequest) -> Iterator[ControlPlane]:
    with ControlPlane() as plane:
        start_kwok(plane)
        yield plane
        plane.keep_logs = request.session.testsfailed > 0


@pytest.fixture(scope="module")
def extender(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Extender:
    """An extender, and the cluster's scheduler configured to call it."""
    folders = {name: tmp_path_factory.mktemp(name) for name in ("ca", "server", "scheduler")}
    authority = Authority(folders["ca"], "ca")
    client = authority.client("scheduler", "scheduler")
    for folder, own in (("server", authority.serving("server")), ("scheduler", client)):
        (folders[folder] / "tls.crt").write_bytes(own.cert.read_bytes())
        (folders[folder] / "tls.key").write_bytes(own.key.read_bytes())
        (folders[folder] / "ca.crt").write_bytes(authority.ca.cert.read_bytes())
    port = free_port()
    Deployment(plane).install()
    plane.spawn(
        "extender",
        [sys.executable, "-m", "acesniper.extender"],
        {
            "ACESNIPER_KUBECONFIG": str(plane.kubeconfig("acesniper-extender")),
            "ACESNIPER_PORT": str(port),
            "ACESNIPER_PAGE": "false",
            "ACESNIPER_TLS_FOLDER": str(folders["server"]),
        },
        https_ok(port, "/readyz", ca=authority.ca.cert, cert=client.cert, key=client.key),
    )
    settings = SchedulerConfig(
        extender_url=f"https://127.0.0.1:{port}",
        tls_folder=str(folders["scheduler"]),
        embedded=True,
    )
    config = folders["scheduler"] / "scheduler.yaml"
    config.write_text(yaml.safe_dump(settings.manifest()))
    plane.stop("kube-scheduler")
    start_scheduler(plane, config, name="embedded", identity="system:kube-scheduler")
    return Extender(port, authority.ca.cert, client)


def test_a_client_without_a_certificate_is_refused(extender: Extender) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError)):
        extender.text("/plan", None)

    assert extender.text("/plan", extender.client) == "[]"


@pytest.mark.parametrize("scheduler", ["ace-sniper", "default-scheduler"])
def test_the_clusters_scheduler_calls_the_extender_for_every_pod(
    plane: ControlPlane, extender: Extender, scheduler: str
) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": scheduler},
        "spec": {
            "schedulerName": scheduler,
            "containers": [{"name": "any", "image": "any"}],
            "tolerations": [{"operator": "Exists"}],
        },
    }
    before = asked(extender)

    plane.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all([make_node("node"), pod]))
    plane.kubectl("wait", "--for=jsonpath={.spec.nodeName}=node", f"pod/{scheduler}")

    assert asked(extender) > before


def asked(extender: Extender) -> float:
    """Return the number of filter requests."""
    return sum(
        float(line.rsplit(" ", 1)[1])
        for line in extender.text("/metrics", extender.client).splitlines()
        if line.startswith("acesniper_extender_request_seconds_count") and "filter" in line
    )
