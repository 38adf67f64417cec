"""The fault proxy: requests it forwards, errors it injects, watches it stalls."""

import asyncio
import gc
import json
import ssl
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import yaml
from aiohttp import web

from acesniper.testbed.credentials import Authority
from acesniper.testbed.faults.proxy import FaultProxy


@dataclass
class Server:
    """A small API server: records the caller of each request, and streams numbers to watches."""

    asked: list[tuple[str, str]] = field(default_factory=list)
    ticks: asyncio.Queue[int] = field(default_factory=asyncio.Queue)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        subject = dict(
            names[0] for names in request.transport.get_extra_info("peercert")["subject"]
        )
        self.asked.append((request.method, subject["commonName"]))
        if "watch" not in request.query:
            answer = {"path": str(request.rel_url), "by": subject["commonName"]}
            return web.json_response(answer | {"type": request.headers.get("Content-Type")})
        stream = web.StreamResponse()
        await stream.prepare(request)
        while True:
            await stream.write(f"{await self.ticks.get()}\n".encode())


@asynccontextmanager
async def proxied(
    folder: Path, *, hangs: bool = False
) -> AsyncIterator[tuple[FaultProxy, Server, str]]:
    """A proxy for the identity `someone`, the server behind it, and the proxy's URL.

    A server that hangs does not respond while the proxy stops.
    """
    authority, server = Authority(folder / "secrets", "ca"), Server()
    (folder / "kubeconfigs").mkdir()
    serving = authority.serving("serving")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.ca.cert))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(serving.cert, serving.key)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    port = runner.addresses[0][1]
    plane: Any = SimpleNamespace(
        folder=folder, authority=authority, url=f"https://127.0.0.1:{port}"
    )
    proxy = FaultProxy(plane, "someone", seed=3)
    await asyncio.to_thread(proxy.__enter__)
    config = yaml.safe_load(proxy.kubeconfig.read_text())
    try:
        yield proxy, server, config["clusters"][0]["cluster"]["server"]
    finally:
        if hangs:
            proxy.__exit__(None, None, None)  # in the loop that the server lives in
        else:
            await asyncio.to_thread(proxy.__exit__, None, None, None)
        await runner.cleanup()


async def test_requests_pass_under_the_identity_of_the_proxy(tmp_path: Path) -> None:
    async with (
        proxied(tmp_path) as (_, _, url),
        aiohttp.ClientSession() as session,
        session.get(f"{url}/api/v1/pods?limit=5") as answer,
    ):
        received = json.loads(await answer.read())

    assert received == {"path": "/api/v1/pods?limit=5", "by": "someone", "type": None}


async def test_a_share_of_the_responses_are_errors_some_after_execution(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (proxy, server, url), aiohttp.ClientSession() as session:
        proxy.faults.share = 0.5
        statuses = []
        for _ in range(200):
            async with session.post(f"{url}/api/v1/pods", data=b"{}") as answer:
                statuses.append(answer.status)

    wrong = sum(proxy.injected.values())
    refused = proxy.injected[409] + proxy.injected[429]
    assert set(statuses) == {200, 409, 429, 500}
    assert statuses.count(200) == 200 - wrong
    assert 200 - wrong < len(server.asked) < 200 - refused, "some of the 500s were executed"


async def test_reads_never_conflict(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (proxy, _, url), aiohttp.ClientSession() as session:
        proxy.faults.share = 1.0
        for _ in range(50):
            async with session.get(f"{url}/api/v1/pods"):
                pass

    assert proxy.injected.keys() == {429, 500}


async def test_a_stalled_watch_stays_open_without_events(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (proxy, server, url), aiohttp.ClientSession() as session:
        async with session.get(f"{url}/api/v1/pods?watch=true") as watch:
            server.ticks.put_nowait(1)
            first = await watch.content.readline()
            proxy.faults.stalled = True
            server.ticks.put_nowait(2)
            await until(lambda: proxy.stalled_watches == 1)
            proxy.faults.stalled = False
            server.ticks.put_nowait(3)
            await until(lambda: server.ticks.empty())
            silent = not watch.content.at_eof() and watch.content.total_bytes == len(first)
        async with session.get(f"{url}/api/v1/pods?watch=true") as watch:
            server.ticks.put_nowait(4)
            server.ticks.put_nowait(4)
            again = await watch.content.readline()

    assert (first, again) == (b"1\n", b"4\n")
    assert silent


async def test_an_open_watch_leaves_no_connection_behind(tmp_path: Path) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        async with (
            aiohttp.ClientSession() as session,
            proxied(tmp_path, hangs=True) as (_, server, url),
            session.get(f"{url}/api/v1/pods?watch=true") as watch,
        ):
            server.ticks.put_nowait(1)
            await watch.content.readline()
        gc.collect()

    assert [str(warning.message) for warning in caught] == []


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - another thread's doing
            await asyncio.sleep(0.01)
