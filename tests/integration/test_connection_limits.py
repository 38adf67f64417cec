"""Hostile connections to real servers of the extender and the operator, over real sockets."""

import asyncio
import contextlib
import json
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp, Receive, Scope, Send

from acesniper.extender.app import create_app
from acesniper.extender.http_server import (
    HEALTH_LIMITS,
    MAX_ARGS_BYTES,
    SCHEDULER_LIMITS,
    LimitedServer,
)
from acesniper.extender.wiring import Extender
from acesniper.operator.endpoints import Health, endpoints_served
from acesniper.operator.metrics import OperatorMetrics
from acesniper.runtime.listener import CloseReason, ConnectionLimits, listening_socket
from acesniper.runtime.settings import ExtenderSettings
from acesniper.testbed.credentials import Authority
from builders import WorkPredictor, make_pod
from fake_cluster import FakeCluster

MIB = 1024 * 1024
POD = make_pod("p", task=None, model="model", uid="u", slots=0)
SHORT_S = 0.2


@dataclass
class Served:
    """A server, and the reasons why it closed connections."""

    port: int
    closed: Counter[CloseReason] = field(default_factory=Counter)
    reasons: "asyncio.Queue[CloseReason]" = field(default_factory=asyncio.Queue)
    client: ssl.SSLContext | None = None

    def note(self, reason: CloseReason) -> None:
        """Note that the server closed a connection."""
        self.closed[reason] += 1
        self.reasons.put_nowait(reason)

    async def next_closed(self) -> CloseReason:
        """Wait until the server closes a connection."""
        return await self.reasons.get()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection as of kube-scheduler, with a certificate where one is required."""
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=self.client)

    async def filter(self, body: bytes) -> int:
        """The status of a `/filter` request on a new connection."""
        reader, writer = await self.connect()
        try:
            return await status(reader, writer, body)
        finally:
            writer.transport.abort()

    @asynccontextmanager
    async def half_open(self, count: int, data: bytes = b"") -> AsyncIterator[None]:
        """Connections that send the beginning of a request at most, and no TLS handshake."""
        opened = [await asyncio.open_connection("127.0.0.1", self.port) for _ in range(count)]
        for _, writer in opened:
            writer.write(data)
        try:
            yield
        finally:
            for _, writer in opened:
                writer.transport.abort()


def head(length: int, path: str = "/filter") -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Content-Length: {length}\r\n\r\n"
    ).encode()


async def status(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes) -> int:
    """Send a request on a connection; the connection can be used again."""
    writer.write(head(len(body)) + body)
    line = await reader.readline()
    headers = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(text.split(b":")[1])
        for text in headers.splitlines()
        if text.lower().startswith(b"content-length")
    )
    await reader.readexactly(length)
    return int(line.split()[1])


def args(nodes: int = 2) -> bytes:
    return json.dumps({"Pod": POD, "NodeNames": [f"node-{n}" for n in range(nodes)]}).encode()


def extender_app() -> ASGIApp:
    registry = CollectorRegistry()
    settings = ExtenderSettings()
    return create_app(Extender.build(settings, FakeCluster(), WorkPredictor(), registry), registry)


@asynccontextmanager
async def serving(
    app: ASGIApp, limits: ConnectionLimits = SCHEDULER_LIMITS, tls: Path | None = None
) -> AsyncIterator[Served]:
    listening = listening_socket("127.0.0.1", 0)
    served = Served(listening.getsockname()[1])
    server = LimitedServer(
        app,
        listening,
        limits,
        tls_folder=tls,
        on_closed=served.note,
    )
    if tls is not None:
        served.client = ssl.create_default_context(cafile=str(tls / "ca.crt"))
        served.client.load_cert_chain(tls / "client.crt", tls / "client.key")
    running = asyncio.create_task(server.serve())
    try:
        yield served
    finally:
        server.should_exit = server.force_exit = True
        await running


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an extender's certificates, and those of a client."""
    folder = tmp_path_factory.mktemp("tls")
    authority = Authority(folder / "issued", "ca")
    for name, certificate in (
        ("tls", authority.serving("server")),
        ("client", authority.client("scheduler", "scheduler")),
    ):
        (folder / f"{name}.crt").write_bytes(certificate.cert.read_bytes())
        (folder / f"{name}.key").write_bytes(certificate.key.read_bytes())
    (folder / "ca.crt").write_bytes(authority.ca.cert.read_bytes())
    return folder


async def end(reader: asyncio.StreamReader) -> None:
    """Wait until the server closes the connection."""
    with contextlib.suppress(ConnectionError):
        while await reader.read(65536):
            pass


async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes) -> None:
    """Send some bytes again and again until the server closes the connection."""
    with contextlib.suppress(ConnectionError):
        while True:
            writer.write(data)
            try:
                if not await asyncio.wait_for(reader.read(100), SHORT_S / 10):
                    return
            except TimeoutError:
                continue


@pytest.mark.parametrize("data", [b"", b"POST /filter HTTP/1.1\r\nHost: x\r\nX-Slow: "])
async def test_a_filter_request_is_answered_while_others_are_half_open(data: bytes) -> None:
    async with serving(extender_app()) as served, served.half_open(1000, data):
        assert await served.filter(args()) == 200
        assert served.closed == {"capacity": 1001 - SCHEDULER_LIMITS.connections}


async def test_a_certified_client_is_served_while_others_do_not_finish_the_handshake(
    tls: Path,
) -> None:
    async with serving(extender_app(), tls=tls) as served, served.half_open(1000):
        assert await served.filter(args()) == 200
        assert served.closed["capacity"] == 1001 - SCHEDULER_LIMITS.connections


@pytest.mark.parametrize("certified", [False, True])
async def test_the_scheduler_keeps_its_connection_during_a_flood(
    certified: bool, tls: Path
) -> None:
    async with serving(extender_app(), tls=tls if certified else None) as served:
        reader, writer = await served.connect()
        assert await status(reader, writer, args()) == 200

        async with served.half_open(600):
            assert await status(reader, writer, args()) == 200
        writer.transport.abort()


def test_the_scheduler_closes_idle_connections_before_the_extender() -> None:
    """Go's http.DefaultTransport, which the scheduler's client uses, closes them after 90 s."""
    assert SCHEDULER_LIMITS.idle_s > 90


@pytest.mark.parametrize(
    ("start", "more"),
    [
        pytest.param(b"POST /filter HTTP/1.1\r\nX: ", b"a", id="header"),
        pytest.param(b"", b"\r\n", id="lines before a request"),
        pytest.param(head(1000), b" ", id="body"),
        pytest.param(
            b"POST /filter HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"1\r\n \r\n",
            id="chunks",
        ),
    ],
)
async def test_a_slow_request_is_closed(start: bytes, more: bytes) -> None:
    limits = replace(SCHEDULER_LIMITS, request_s=SHORT_S)
    async with serving(extender_app(), limits) as served:
        reader, writer = await served.connect()
        writer.write(start)

        await trickle(reader, writer, more)

        assert served.closed == {"request": 1}
        writer.transport.abort()


async def test_a_request_in_the_same_packet_as_another_has_a_deadline_too() -> None:
    limits = replace(SCHEDULER_LIMITS, request_s=SHORT_S)
    async with serving(extender_app(), limits) as served:
        reader, writer = await served.connect()
        body = args()
        writer.write(head(len(body)) + body + b"POST /filter HTTP/1.1\r\nX: ")

        await trickle(reader, writer, b"a")

        assert served.closed == {"request": 1}
        writer.transport.abort()


async def test_an_idle_handshake_is_closed(tls: Path) -> None:
    limits = replace(SCHEDULER_LIMITS, handshake_s=SHORT_S)
    async with serving(extender_app(), limits, tls) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(b"\x16\x03\x01\x02\x00")  # the header of a ClientHello

        await end(reader)

        writer.transport.abort()


async def test_a_client_without_a_certificate_is_refused(tls: Path) -> None:
    async with serving(extender_app(), tls=tls) as served:
        served.client = ssl.create_default_context(cafile=str(tls / "ca.crt"))

        with pytest.raises(
            (ssl.SSLError, ConnectionError, asyncio.IncompleteReadError, IndexError)
        ):
            await served.filter(args())


async def test_an_idle_connection_is_closed() -> None:
    async with serving(extender_app(), replace(SCHEDULER_LIMITS, idle_s=SHORT_S)) as served:
        reader, writer = await served.connect()
        assert await status(reader, writer, args()) == 200

        await end(reader)

        assert served.closed == {"idle": 1}
        writer.transport.abort()


async def large_response(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": bytes(64 * MIB)})


async def test_a_client_that_does_not_read_the_response_is_closed() -> None:
    async with serving(large_response, replace(HEALTH_LIMITS, response_s=SHORT_S)) as served:
        _, writer = await served.connect()
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")

        assert await served.next_closed() == "response"
        writer.transport.abort()


async def send_all(writer: asyncio.StreamWriter, part: bytes, most: int) -> int:
    """Send a part again and again; the bytes that the server took before it closed."""
    taken = 0
    with contextlib.suppress(ConnectionError):
        while taken < most and not writer.is_closing():
            writer.write(part)
            await writer.drain()
            taken += len(part)
    return taken


@pytest.mark.parametrize(
    ("header", "part"),
    [
        pytest.param(b"Content-Length: 314572800\r\n\r\n", b" " * MIB, id="declared"),
        pytest.param(
            b"Transfer-Encoding: chunked\r\n\r\n",
            b"100000\r\n" + b" " * MIB + b"\r\n",
            id="chunked",
        ),
        pytest.param(b"X: ", b"a" * MIB, id="header"),
    ],
)
async def test_of_an_endless_request_little_is_taken(header: bytes, part: bytes) -> None:
    async with serving(extender_app()) as served:
        _, writer = await served.connect()
        writer.write(b"POST /filter HTTP/1.1\r\nHost: x\r\n" + header)

        taken = await send_all(writer, part, 300 * MIB)

        assert taken < MAX_ARGS_BYTES + 8 * MIB  # and what the sockets buffer
        assert await served.filter(args()) == 200
        writer.transport.abort()


@pytest.mark.parametrize(
    "data", [bytes(100), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET \xff\r\n\r\n"]
)
async def test_bytes_that_are_no_request_are_refused_without_a_line_in_the_log(
    data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(extender_app()) as served:
        reader, writer = await served.connect()
        writer.write(data)

        assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
        assert caplog.records == []
        writer.transport.abort()


async def test_a_large_body_is_answered_with_the_limit() -> None:
    async with serving(extender_app()) as served:
        reader, writer = await served.connect()
        writer.write(head(MAX_ARGS_BYTES + 1))

        answer = await reader.read()

        assert answer.startswith(b"HTTP/1.1 413 ")
        assert f"larger than {MAX_ARGS_BYTES} bytes".encode() in answer
        writer.transport.abort()


async def test_unfinished_requests_of_many_connections_take_bounded_memory() -> None:
    size, connections = 4 * MIB, 40
    async with serving(extender_app()) as served:
        opened = [await served.connect() for _ in range(connections)]
        for _, writer in opened:
            writer.write(head(size + 1))

        sent = [send_all(writer, b" " * MIB, size) for _, writer in opened]
        await asyncio.gather(*sent)

        for _ in range(connections - SCHEDULER_LIMITS.pending_bytes // size):
            assert await served.next_closed() == "size"
        assert await served.filter(args()) == 200
        for _, writer in opened:
            writer.transport.abort()


async def test_the_largest_request_of_a_scheduler_fits() -> None:
    """A pod as large as etcd stores, with characters that Go's JSON escapes, and 5,000 nodes."""
    names = [f"{'n' * 248}{number:05}" for number in range(5000)]
    text = json.dumps({"Pod": {**POD, "spec": {"x": "@"}}, "NodeNames": names})
    body = text.replace("@", "\\u003c" * (3 * MIB // 2)).encode()
    async with serving(extender_app()) as served:
        assert await served.filter(body) == 200


@pytest.mark.parametrize("field", ["NodeNames", "labels"])
async def test_more_strings_than_a_pod_and_the_nodes_have_are_refused(field: str) -> None:
    """In memory, the strings of a body of 14 MB take 270 MB."""
    names = {f"{number:x}": "" for number in range(1_000_000)}
    pod = {"metadata": {"labels": names if field == "labels" else {}}}
    request = {"Pod": pod, "NodeNames": list(names) if field == "NodeNames" else []}
    body = json.dumps(request, separators=(",", ":")).encode()
    async with serving(extender_app()) as served:
        assert len(body) < MAX_ARGS_BYTES
        assert await served.filter(body) == 400
        assert await served.filter(args(20_000)) == 200


@asynccontextmanager
async def operator_endpoints(
    free_port: Callable[[], int], stalled: list[str] | None
) -> AsyncIterator[tuple[Served, Served, OperatorMetrics]]:
    registry, health = CollectorRegistry(), Health()
    metrics = OperatorMetrics.on(registry)
    if stalled is not None:
        health.stalled = lambda: stalled
    ports = free_port(), free_port()
    async with endpoints_served(ports, health, registry, metrics):
        yield Served(ports[0]), Served(ports[1]), metrics


async def get(served: Served, path: str) -> tuple[int, str]:
    reader, writer = await served.connect()
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    answer = (await reader.read()).decode()
    writer.close()
    return int(answer.split()[1]), answer


@pytest.mark.parametrize(
    ("stalled", "code", "text"),
    [
        (None, 500, "the operator is starting"),
        ([], 200, '"ok"'),
        (["pods"], 500, "no watch events for pods for 5 minutes"),
    ],
)
async def test_the_operator_reports_its_health(
    stalled: list[str] | None, code: int, text: str, unused_tcp_port_factory: Callable[[], int]
) -> None:
    async with operator_endpoints(unused_tcp_port_factory, stalled) as (health, _, _):
        answered, answer = await get(health, "/healthz")

    assert answered == code
    assert text in answer


async def test_the_operator_is_probed_and_scraped_while_connections_are_half_open(
    unused_tcp_port_factory: Callable[[], int],
) -> None:
    async with (
        operator_endpoints(unused_tcp_port_factory, []) as (health, scraped, _),
        health.half_open(500, b"GET /"),
        scraped.half_open(500),
    ):
        assert (await get(health, "/healthz"))[0] == 200
        code, answer = await get(scraped, "/metrics")

    assert code == 200
    count = 501 - HEALTH_LIMITS.connections
    series = (
        f'acesniper_operator_closed_connections_total{{port="metrics",reason="capacity"}} {count}'
    )
    assert series in answer
