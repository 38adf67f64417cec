"""Fault-injecting proxy to the API server: error responses, and watches that stall.

It serves plain HTTP to one client on this machine, and uses TLS to the API server with that
client's identity. A fault is what a client can observe: a request that was refused, a request that
was executed although the response is an error, or an open watch without further events.
"""

import asyncio
import random
import ssl
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp
import yaml
from aiohttp import web

from acesniper.testbed.control_plane import ControlPlane

CLIENT_BYTES = 64 << 20
"""Maximum size of a request body."""
HOP_BY_HOP = {"connection", "content-length", "host", "keep-alive", "transfer-encoding"}
NO_LIMIT = aiohttp.ClientTimeout(total=None, sock_read=None)


@dataclass(slots=True)
class Faults:
    """Faults to inject; may be changed at any time.

    A `share` of the requests other than watches fails with 409 (writes only), 429 or 500, the one
    injected least so far; half of the 500s after the request was executed. While `stalled`, watches
    deliver no events, and those that are open then stay stalled. Each request is answered `delay_s`
    later.
    """

    share: float = 0.0
    delay_s: float = 0.0
    stalled: bool = False


@dataclass
class FaultProxy:
    """Proxy between one identity and the API server; `seed` is for the random faults."""

    plane: ControlPlane
    identity: str
    seed: int = 1
    faults: Faults = field(default_factory=Faults)
    injected: Counter[int] = field(default_factory=Counter)
    """Number of injected responses by status."""
    stalled_watches: int = 0
    """Number of watches that stalled."""

    def __enter__(self) -> Self:
        self._rng = random.Random(self.seed)  # noqa: S311 - not a secret
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._live, name=f"proxy-{self.identity}")
        self._thread.start()
        if not self._started.wait(10):
            raise TimeoutError("the fault proxy did not start within 10 s")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join(10)

    @property
    def kubeconfig(self) -> Path:
        """A kubeconfig without credentials for the client: the proxy adds them."""
        path = self.plane.folder / "kubeconfigs" / f"proxied-{self.identity}"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "p", "cluster": {"server": f"http://127.0.0.1:{self._port}"}}],
            "users": [{"name": "p", "user": {}}],
            "contexts": [{"name": "p", "context": {"cluster": "p", "user": "p"}}],
            "current-context": "p",
        }
        path.write_text(yaml.safe_dump(config))
        return path

    def _live(self) -> None:
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._closing = asyncio.Event()
        app = web.Application(client_max_size=CLIENT_BYTES)
        app.router.add_route("*", "/{path:.*}", self._handle)
        connector = aiohttp.TCPConnector(ssl=self._context(), limit=0)
        async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
            self._session = session
            server = web.AppRunner(
                app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True
            )
            await server.setup()
            site = web.TCPSite(server, "127.0.0.1", 0)
            await site.start()
            self._port = server.addresses[0][1]
            self._started.set()
            await self._closing.wait()
            await server.cleanup()

    def _context(self) -> ssl.SSLContext:
        authority = self.plane.authority
        context = ssl.create_default_context(cafile=str(authority.ca.cert))
        client = authority.client(f"proxied-{self.identity}", self.identity)
        context.load_cert_chain(client.cert, client.key)
        return context

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        await asyncio.sleep(self.faults.delay_s)
        watches = request.query.get("watch") == "true"
        status = None if watches else self._fault(request.method)
        if status is not None and (
            status is not HTTPStatus.INTERNAL_SERVER_ERROR or self._rng.random() < 0.5
        ):
            return self._error(status)
        try:
            async with self._session.request(
                request.method,
                f"{self.plane.url}{request.rel_url}",
                data=body or None,
                headers=_end_to_end(request.headers),
                skip_auto_headers=("Content-Type",),
                timeout=NO_LIMIT,
            ) as answer:
                if status is not None:
                    await answer.read()
                    return self._error(status)
                try:
                    return await self._answer(request, answer, watches)
                finally:
                    _abort(answer)
        except aiohttp.ClientError:
            # Break the client's connection, as without a proxy.
            if request.transport is not None:
                request.transport.close()
            return web.Response(status=HTTPStatus.BAD_GATEWAY)

    async def _answer(
        self, request: web.Request, answer: aiohttp.ClientResponse, watches: bool
    ) -> web.StreamResponse:
        headers = _end_to_end(answer.headers)
        if not watches:
            content = await answer.read()
            return web.Response(status=answer.status, body=content, headers=headers)
        stream = web.StreamResponse(status=answer.status, headers=headers)
        await stream.prepare(request)
        stalled = False
        async for chunk in answer.content.iter_any():
            if self.faults.stalled and not stalled:
                stalled, self.stalled_watches = True, self.stalled_watches + 1
            if not stalled:
                await stream.write(chunk)
        if stalled:
            await self._closing.wait()  # the end of the stream is not forwarded either
        return stream

    def _fault(self, method: str) -> HTTPStatus | None:
        if self._rng.random() >= self.faults.share:
            return None
        statuses = [HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.INTERNAL_SERVER_ERROR]
        if method in ("POST", "PATCH", "PUT"):
            statuses.insert(0, HTTPStatus.CONFLICT)
        return min(statuses, key=lambda status: self.injected[status])

    def _error(self, status: HTTPStatus) -> web.Response:
        self.injected[status] += 1
        body = {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "message": "injected",
            "reason": "Injected",
            "code": status,
        }
        pause = {"Retry-After": "1"} if status is HTTPStatus.TOO_MANY_REQUESTS else {}
        return web.json_response(body, status=status, headers=pause)


def _abort(answer: aiohttp.ClientResponse) -> None:
    """Abort the connection of an open response: closing TLS properly would outlast the loop."""
    connection = answer.connection
    if connection is not None and connection.transport is not None:
        connection.transport.abort()


def _end_to_end(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers of a message that are meant for the other end."""
    return {name: value for name, value in headers.items() if name.lower() not in HOP_BY_HOP}
