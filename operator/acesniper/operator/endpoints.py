"""The operator's HTTP endpoints: health for the kubelet, metrics for Prometheus.

kopf and prometheus_client have servers of their own, which keep every connection open and wait for
ever for a request; here both ports have limits.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from http import HTTPStatus

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from acesniper.domain.errors import InvalidInput
from acesniper.operator.metrics import OperatorMetrics
from acesniper.runtime.listener import ConnectionLimits, Listener, listening_socket

LIMITS = ConnectionLimits(connections=64)

Respond = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Health:
    """Whether the operator is live: none of its watches is stalled.

    `stalled` returns the kinds without watch events; None before the operator watches.
    """

    def __init__(self) -> None:
        self.stalled: Callable[[], Sequence[str]] | None = None

    def problem(self) -> str:
        """Why the operator is not live; empty if it is."""
        if self.stalled is None:
            return "the operator is starting"
        kinds = self.stalled()
        return f"no watch events for {', '.join(kinds)} for 5 minutes" if kinds else ""

    async def respond(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer `GET /healthz`: the kubelet restarts an operator that is not live."""
        if request.path != "/healthz":
            return _not_found("/healthz")
        problem = self.problem()
        status = HTTPStatus.INTERNAL_SERVER_ERROR if problem else HTTPStatus.OK
        return web.json_response({"status": problem or "ok"}, status=status)


async def respond_metrics(
    registry: CollectorRegistry, request: web.BaseRequest
) -> web.StreamResponse:
    """Answer `GET /metrics`."""
    if request.path != "/metrics":
        return _not_found("/metrics")
    content = await asyncio.to_thread(generate_latest, registry)
    return web.Response(body=content, headers={"Content-Type": CONTENT_TYPE_LATEST})


def _not_found(path: str) -> web.Response:
    return web.Response(status=HTTPStatus.NOT_FOUND, text=f"only {path} is served here\n")


@asynccontextmanager
async def endpoints_served(
    ports: tuple[int, int],
    health: Health,
    registry: CollectorRegistry,
    metrics: OperatorMetrics,
    limits: ConnectionLimits = LIMITS,
) -> AsyncIterator[None]:
    """Serve health and metrics on two ports of all addresses within the block.

    Raises:
        InvalidInput: a port is in use.
    """
    health_port, metrics_port = ports
    async with (
        _served("health", health_port, health.respond, metrics, limits),
        _served("metrics", metrics_port, partial(respond_metrics, registry), metrics, limits),
    ):
        yield


@asynccontextmanager
async def _served(
    name: str, port: int, respond: Respond, metrics: OperatorMetrics, limits: ConnectionLimits
) -> AsyncIterator[None]:
    server = web.Server(respond, access_log=None)
    try:
        listening = listening_socket("0.0.0.0", port)  # noqa: S104 - the kubelet and Prometheus
    except OSError as error:
        raise InvalidInput(f"cannot listen on port {port} ({name}): {error}") from error
    on_closed = metrics.connection_closed(name)
    listener = Listener([listening], server, limits, on_closed=on_closed)
    try:
        yield
    finally:
        listener.close()
        await listener.wait_closed()
        await server.shutdown()
