"""A watch that is ended leaves nothing behind, even if the API server hangs."""

import asyncio
import gc
import json
import ssl
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aiohttp import web

from acesniper.api.names import PODS
from acesniper.runtime.client import Cluster
from acesniper.testbed import credentials
from acesniper.testbed.credentials import Authority

PATIENCE_S = 10.0


@contextmanager
def hanging_server(authority: Authority, hangs: threading.Event) -> Iterator[int]:
    """The port of an API server that says one event, and then nothing, not even farewell."""
    serving = authority.serving("serving")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(serving.cert, serving.key)
    told, over, ports = threading.Event(), threading.Event(), list[int]()

    async def watch(request: web.Request) -> web.StreamResponse:
        stream = web.StreamResponse()
        await stream.prepare(request)
        await stream.write(json.dumps({"type": "ADDED", "object": {}}).encode() + b"\n")
        hangs.set()
        over.wait(PATIENCE_S)  # and with this task the whole loop
        return stream

    async def serve() -> None:
        app = web.Application()
        app.router.add_get("/{path:.*}", watch)
        runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        ports.append(runner.addresses[0][1])
        told.set()
        await asyncio.to_thread(over.wait, PATIENCE_S)
        await runner.cleanup()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="server")
    thread.start()
    try:
        assert told.wait(PATIENCE_S)
        yield ports[0]
    finally:
        over.set()
        thread.join()


def test_a_watch_that_is_ended_waits_for_no_farewell(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ca")
    client, hangs = authority.client("somebody", "somebody"), threading.Event()

    async def look(path: Path) -> str:
        async with Cluster.connect(path) as cluster:
            watch = cluster.watch(PODS, "1")
            event = await anext(watch)
            await asyncio.to_thread(hangs.wait, PATIENCE_S)
            await watch.aclose()
            return event.type

    with warnings.catch_warnings(record=True) as told, hanging_server(authority, hangs) as port:
        warnings.simplefilter("always", ResourceWarning)
        path = credentials.write_kubeconfig(
            tmp_path / "kubeconfig",
            port=port,
            ca=authority.ca.cert,
            user="somebody",
            client=client,
        )
        seen = asyncio.run(look(path))
        gc.collect()

    assert seen == "ADDED"
    assert [str(each.message) for each in told] == []
