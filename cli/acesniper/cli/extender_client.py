"""Requests to the extender of a cluster, which by default is reachable within its pod only."""

import asyncio
import re
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from acesniper.cli.connection import Connection
from acesniper.domain.errors import InvalidInput, Unavailable

if TYPE_CHECKING:
    from acesniper.runtime.client import Cluster

ExtenderOption = Annotated[
    str | None,
    typer.Option(
        "--extender",
        metavar="URL",
        help="URL of the extender; default: its pod, through `kubectl port-forward`.",
    ),
]
POD_LABELS = "app.kubernetes.io/name=acesniper,app.kubernetes.io/component=scheduler"
PORT = 8780
METRICS_PORT_NAME = "metrics"
"""The port for Prometheus, which the API server can reach too."""
TIMEOUT_S = 10.0
METRICS_TIMEOUT_S = 5.0
FORWARDING_TIMEOUT_S = 10.0
_FORWARDING = re.compile(rb"Forwarding from (127\.0\.0\.1:\d+)")

Pod = Mapping[str, Any]


async def fetch(cluster: "Cluster", connection: Connection, path: str, url: str | None) -> str:
    """GET a path from the extender at a URL, or in its pod.

    Raises:
        Unavailable: it cannot be reached; the message says how to reach it.
    """
    if url is not None:
        return await asyncio.to_thread(_get, url.rstrip("/") + path)
    pod = await _running_pod(cluster)
    namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
    try:
        async with forward_port(connection, namespace, name, PORT) as address:
            return await asyncio.to_thread(_get, address + path)
    except Unavailable as error:
        raise Unavailable(
            f"{error}; alternatively run `kubectl port-forward -n {namespace} {name} {PORT}`"
            f" and pass --extender http://127.0.0.1:{PORT}"
        ) from error


async def fetch_metrics(cluster: "Cluster") -> str:
    """The extender's metrics, through the API server's proxy to pods.

    Raises:
        Unavailable: the extender exposes no metrics port or cannot be reached.
    """
    from acesniper.api.names import PODS

    pod = await _running_pod(cluster)
    port = metrics_port(pod)
    if port is None:
        raise Unavailable("the extender's metrics are not exposed")
    namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
    path = PODS.path(namespace, f"{name}:{port}", "proxy/metrics")
    try:
        return (await asyncio.wait_for(cluster.fetch(path), METRICS_TIMEOUT_S)).text
    except TimeoutError as error:
        raise Unavailable(f"GET {path}: no response in {METRICS_TIMEOUT_S:g} s") from error


def metrics_port(pod: Pod) -> int | None:
    """The extender's port for Prometheus; None if it has none."""
    ports = [
        port
        for container in pod["spec"]["containers"]
        if container["name"] == "extender"
        for port in container.get("ports") or ()
    ]
    exposed = (
        int(port["containerPort"]) for port in ports if port.get("name") == METRICS_PORT_NAME
    )
    return next(exposed, None)


@asynccontextmanager
async def forward_port(
    connection: Connection, namespace: str, pod: str, port: int
) -> AsyncIterator[str]:
    """The local URL of a pod's port, which `kubectl port-forward` serves within the block.

    Raises:
        Unavailable: kubectl is missing, or cannot connect to the pod.
    """
    program = shutil.which("kubectl")
    if program is None:
        raise Unavailable("kubectl, which connects to the extender's pod, is not on PATH")
    flags = ["--namespace", namespace, pod, f":{port}", *connection.kubectl_flags()]
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(
        program, "port-forward", *flags, stdout=pipe, stderr=pipe
    )
    try:
        yield f"http://{await _local_address(child, pod)}"
    finally:
        if child.returncode is None:
            child.terminate()
        await child.communicate()


async def _local_address(child: asyncio.subprocess.Process, pod: str) -> str:
    assert child.stdout is not None  # noqa: S101 - it was opened as a pipe
    assert child.stderr is not None  # noqa: S101
    try:
        line = await asyncio.wait_for(child.stdout.readline(), FORWARDING_TIMEOUT_S)
    except TimeoutError as error:
        raise Unavailable(f"kubectl port-forward to {pod} timed out") from error
    if (match := _FORWARDING.search(line)) is None:
        message = (await child.stderr.read()).decode(errors="replace").strip()
        raise Unavailable(f"kubectl port-forward to {pod} failed: {message or 'no output'}")
    return match[1].decode()


async def _running_pod(cluster: "Cluster") -> Pod:
    from acesniper.api.names import PODS

    pods: Sequence[Pod]
    pods, _ = await cluster.list(PODS, labels=POD_LABELS)
    running = [pod for pod in pods if pod.get("status", {}).get("phase") == "Running"]
    if not running:
        raise Unavailable("no extender pod is running: run `acesniper doctor` to find out why")
    reachable = (pod for pod in running if metrics_port(pod) and pod["status"].get("podIP"))
    return next(reachable, running[0])


def _get(url: str) -> str:
    import urllib.request
    from http.client import HTTPException

    if not url.startswith(("http://", "https://")):
        raise InvalidInput(f"--extender {url!r}: expected a URL such as http://127.0.0.1:{PORT}")
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response:  # noqa: S310 - checked
            return str(response.read().decode())
    except (OSError, HTTPException, ValueError) as error:
        raise Unavailable(f"{url}: the extender does not respond: {error}") from error
