"""A way to the API server on which things go wrong: answers that are errors, watches that go deaf.

It speaks plain HTTP to one client on this machine and TLS to the API server, under that client's
identity. A fault is what a client sees: a request that was refused, one that was done although
the answer says otherwise, or a watch that is open and on which nothing comes any more.
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
"""The largest request that is passed on."""
HOP_BY_HOP = {"connection", "content-length", "host", "keep-alive", "transfer-encoding"}
NO_LIMIT = aiohttp.ClientTimeout(total=None, sock_read=None)


@dataclass(slots=True)
class Faults:
    """What goes wrong on the way; may be changed at any time.

    `share` of the requests, watches aside, are answered 409 (writes only), 429 or 500, whichever
    came least so far; half of the 500s after the request was done. While `deaf`, watches carry
    nothing, and those that were open then never will again.
    """

    share: float = 0.0
    deaf: bool = False


@dataclass
class FaultProxy:
    """Between one identity and the API server, as a context manager; `seed` draws the faults."""

    plane: ControlPlane
    identity: str
    seed: int = 1
    faults: Faults = field(default_factory=Faults)
    injected: Counter[int] = field(default_factory=Counter)
    """How many answers of each status were made up."""
    deafened: int = 0
    """How many watches went deaf."""

    def __enter__(self) -> Self:
        self._draw = random.Random(self.seed)  # noqa: S311 - chance, not a secret
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
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(10)

    @property
    def kubeconfig(self) -> Path:
        """For a client that goes this way; who it is, the proxy says."""
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

    # --- inside --------------------------------------------------------------------------------

    def _live(self) -> None:
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._ended = asyncio.Event()
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
            await self._ended.wait()
            await server.cleanup()

    def _context(self) -> ssl.SSLContext:
        authority = self.plane.authority
        context = ssl.create_default_context(cafile=str(authority.ca.cert))
        client = authority.client(f"proxied-{self.identity}", self.identity)
        context.load_cert_chain(client.cert, client.key)
        return context

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        watches = request.query.get("watch") == "true"
        status = None if watches else self._fault(request.method)
        if status is not None and (
            status is not HTTPStatus.INTERNAL_SERVER_ERROR or self._draw.random() < 0.5
        ):
            return self._error(status)
        try:
            async with self._session.request(
                request.method,
                f"{self.plane.url}{request.rel_url}",
                data=body or None,
                headers=_passed(request.headers),
                skip_auto_headers=("Content-Type",),
                timeout=NO_LIMIT,
            ) as answer:
                if status is not None:
                    await answer.read()
                    return self._error(status)
                try:
                    return await self._answer(request, answer, watches)
                finally:
                    _cut(answer)
        except aiohttp.ClientError:
            # As if there were no proxy: the connection breaks.
            if request.transport is not None:
                request.transport.close()
            return web.Response(status=HTTPStatus.BAD_GATEWAY)

    async def _answer(
        self, request: web.Request, answer: aiohttp.ClientResponse, watches: bool
    ) -> web.StreamResponse:
        headers = _passed(answer.headers)
        if not watches:
            content = await answer.read()
            return web.Response(status=answer.status, body=content, headers=headers)
        stream = web.StreamResponse(status=answer.status, headers=headers)
        await stream.prepare(request)
        deaf = False
        async for chunk in answer.content.iter_any():
            if self.faults.deaf and not deaf:
                deaf, self.deafened = True, self.deafened + 1
            if not deaf:
                await stream.write(chunk)
        if deaf:
            await self._ended.wait()  # the end is not passed on either
        return stream

    def _fault(self, method: str) -> HTTPStatus | None:
        if self._draw.random() >= self.faults.share:
            return None
        statuses = [HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.INTERNAL_SERVER_ERROR]
        if method in ("POST", "PATCH", "PUT"):
            statuses.insert(0, HTTPStatus.CONFLICT)
        return min(statuses, key=lambda each: self.injected[each])

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


def _cut(answer: aiohttp.ClientResponse) -> None:
    """End the connection of an answer that goes on: a TLS farewell would outlast the loop."""
    connection = answer.connection
    if connection is not None and connection.transport is not None:
        connection.transport.abort()


def _passed(headers: Mapping[str, str]) -> dict[str, str]:
    """What of a message's headers is meant for the other end."""
    return {name: value for name, value in headers.items() if name.lower() not in HOP_BY_HOP}
