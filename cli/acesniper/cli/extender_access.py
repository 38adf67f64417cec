"""Asks the extender of a cluster: through the API server, or at an address of your own."""

import asyncio
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from acesniper.domain.errors import InvalidInput, Unavailable

if TYPE_CHECKING:
    from acesniper.runtime.kube import Cluster

ExtenderOption = Annotated[
    str | None,
    typer.Option(
        "--extender",
        metavar="URL",
        help="Where the extender answers; default: through the API server, if it lets itself be"
        " reached there.",
    ),
]
POD_LABELS = "app.kubernetes.io/name=acesniper,app.kubernetes.io/component=scheduler"
PORT_NAME = "metrics"
"""The port on which the extender answers others than kube-scheduler."""
TIMEOUT_S = 10.0

Pod = Mapping[str, Any]


async def ask(cluster: "Cluster", path: str, url: str | None = None) -> str:
    """GET from the extender.

    Raises:
        Unavailable: it cannot be reached; the message says how it could.
    """
    if url is not None:
        return await asyncio.to_thread(_fetched, url.rstrip("/") + path)
    pod = await _pod(cluster)
    namespace, name, port = pod["metadata"]["namespace"], pod["metadata"]["name"], exposed(pod)
    if port is None:
        raise Unavailable(
            "the extender listens inside its pod only. Either run"
            f" `kubectl port-forward -n {namespace} {name} 8780` beside this command and pass"
            " `--extender http://127.0.0.1:8780`, or install the chart with metrics.extender=true"
        )
    where = f"/api/v1/namespaces/{namespace}/pods/{name}:{port}/proxy{path}"
    return (await cluster.fetch(where)).text


def exposed(pod: Pod) -> int | None:
    """The port of a pod on which others may ask the extender; None if there is none."""
    ports = [port for each in pod["spec"]["containers"] for port in each.get("ports") or ()]
    return next(
        (int(each["containerPort"]) for each in ports if each.get("name") == PORT_NAME), None
    )


async def _pod(cluster: "Cluster") -> Pod:
    from acesniper.runtime.kube import PODS

    pods: Sequence[Pod]
    pods, _ = await cluster.list(PODS, labels=POD_LABELS)
    running = [each for each in pods if each.get("status", {}).get("phase") == "Running"]
    if not running:
        raise Unavailable("no extender runs in this cluster: acesniper doctor says why")
    return next((each for each in running if exposed(each) is not None), running[0])


def _fetched(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise InvalidInput(f"--extender wants a URL such as http://127.0.0.1:8780, not {url!r}")
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310 - checked
            return str(answer.read().decode())
    except (urllib.error.URLError, TimeoutError, OSError) as error:
        raise Unavailable(f"{url}: the extender does not answer: {error}") from error
