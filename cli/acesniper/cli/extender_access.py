"""Asks the extender of a cluster, which by default answers inside its pod only."""

import asyncio
import urllib.request
from collections.abc import Mapping, Sequence
from http.client import HTTPException
from typing import TYPE_CHECKING, Annotated, Any

import typer

from acesniper.cli.connection import Connection
from acesniper.cli.extender_client import forwarded
from acesniper.domain.errors import InvalidInput, Unavailable

if TYPE_CHECKING:
    from acesniper.runtime.client import Cluster

ExtenderOption = Annotated[
    str | None,
    typer.Option(
        "--extender",
        metavar="URL",
        help="Where the extender answers; default: its pod, by `kubectl port-forward`.",
    ),
]
POD_LABELS = "app.kubernetes.io/name=acesniper,app.kubernetes.io/component=scheduler"
PORT = 8780
METRICS = "metrics"
"""The name of the port for Prometheus, which the API server may reach, too."""
TIMEOUT_S = 10.0
METRICS_TIMEOUT_S = 5.0

Pod = Mapping[str, Any]


async def ask(cluster: "Cluster", connection: Connection, path: str, url: str | None) -> str:
    """GET from the extender at an address, or in its pod.

    Raises:
        Unavailable: it cannot be reached; the message says how it could.
    """
    if url is not None:
        return await asyncio.to_thread(_fetched, url.rstrip("/") + path)
    pod = await _pod(cluster)
    namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
    try:
        async with forwarded(connection, namespace, name, PORT) as address:
            return await asyncio.to_thread(_fetched, address + path)
    except Unavailable as error:
        raise Unavailable(
            f"{error}; where `kubectl port-forward -n {namespace} {name} {PORT}` works, run it and"
            f" pass --extender http://127.0.0.1:{PORT}"
        ) from error


async def metrics(cluster: "Cluster") -> str:
    """What the extender tells Prometheus, through the API server's own connection to pods.

    Raises:
        Unavailable: it has no port for that, or is not reached.
    """
    pod = await _pod(cluster)
    port = exposed(pod)
    if port is None:
        raise Unavailable("the extender's metrics are not exposed")
    namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
    where = f"/api/v1/namespaces/{namespace}/pods/{name}:{port}/proxy/metrics"
    try:
        return (await asyncio.wait_for(cluster.fetch(where), METRICS_TIMEOUT_S)).text
    except TimeoutError as error:
        raise Unavailable(f"GET {where}: no answer") from error


def exposed(pod: Pod) -> int | None:
    """The extender's port for Prometheus; None if there is none."""
    ports = [
        port
        for each in pod["spec"]["containers"]
        if each["name"] == "extender"
        for port in each.get("ports") or ()
    ]
    return next((int(each["containerPort"]) for each in ports if each.get("name") == METRICS), None)


async def _pod(cluster: "Cluster") -> Pod:
    from acesniper.api.names import PODS

    pods: Sequence[Pod]
    pods, _ = await cluster.list(PODS, labels=POD_LABELS)
    running = [each for each in pods if each.get("status", {}).get("phase") == "Running"]
    if not running:
        raise Unavailable("no extender runs in this cluster: acesniper doctor says why")
    reached = (each for each in running if exposed(each) and each["status"].get("podIP"))
    return next(reached, running[0])


def _fetched(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise InvalidInput(f"--extender wants a URL such as http://127.0.0.1:{PORT}, not {url!r}")
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310 - checked
            return str(answer.read().decode())
    except (OSError, HTTPException, ValueError) as error:
        raise Unavailable(f"{url}: the extender does not answer: {error}") from error
