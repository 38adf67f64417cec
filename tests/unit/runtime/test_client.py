"""The Kubernetes client against a server that sends arbitrary responses."""

import asyncio
import gc
import json
import ssl
import threading
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import unquote

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from acesniper.api.names import NODES, PODS, Kind
from acesniper.api.untrusted_json import UNREADABLE
from acesniper.domain.errors import (
    Conflict,
    Forbidden,
    InvalidInput,
    NamespaceTerminating,
    NotFound,
    ResourceVersionExpired,
    Throttled,
    Unavailable,
)
from acesniper.domain.foreign_text import MAX_MESSAGE_CHARS
from acesniper.runtime.api_connection import ApiConnection, Configuration
from acesniper.runtime.client import Cluster
from acesniper.testbed import credentials
from acesniper.testbed.credentials import Authority
from cluster_contract import take
from local_server import serving

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def cluster_with(handler: Handler) -> AsyncIterator[Cluster]:
    async with serving(handler) as url:
        settings = Configuration()
        settings.host = url
        async with ApiConnection(settings) as api:
            yield Cluster(api)


def respond_with(status: int, body: str = "", **headers: str) -> Handler:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=status, text=body, headers=headers)

    return handler


def status_body(message: str) -> str:
    return json.dumps({"kind": "Status", "message": message})


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, InvalidInput),
        (401, Forbidden),
        (403, Forbidden),
        (404, NotFound),
        (409, Conflict),
        (410, ResourceVersionExpired),
        (422, InvalidInput),
        (429, Throttled),
        (500, Unavailable),
        (503, Unavailable),
        (520, Unavailable),
    ],
)
async def test_an_error_status_becomes_an_exception_with_the_servers_message(
    status: int, expected: type[Exception]
) -> None:
    async with cluster_with(respond_with(status, status_body("reason"))) as cluster:
        with pytest.raises(expected, match=rf"GET /api/v1/nodes: reason \({status}\)") as caught:
            await cluster.list(NODES)

    assert type(caught.value) is expected


async def test_a_long_error_message_is_truncated_at_its_end() -> None:
    message = "pods 'p' is invalid: " + "x" * 10**6

    async with cluster_with(respond_with(422, status_body(message))) as cluster:
        with pytest.raises(InvalidInput, match="is invalid: xxx") as caught:
            await cluster.create(PODS, {}, "default")

    assert len(str(caught.value)) < 1.1 * MAX_MESSAGE_CHARS


async def test_a_terminating_namespace_has_its_own_error() -> None:
    causes = {"details": {"causes": [{"reason": "NamespaceTerminating", "field": "metadata"}]}}
    body = json.dumps({**json.loads(status_body("terminating")), **causes})
    async with cluster_with(respond_with(403, body)) as cluster:
        with pytest.raises(NamespaceTerminating, match="terminating"):
            await cluster.create(PODS, {}, "ns")


@pytest.mark.parametrize("body", ["", "<html>", "[]", "{}"])
@pytest.mark.parametrize("status", [502, 520])
async def test_an_error_of_a_proxy_is_unavailable_whatever_its_body(status: int, body: str) -> None:
    async with cluster_with(respond_with(status, body)) as cluster:
        with pytest.raises(Unavailable, match=rf"\({status}\)"):
            await cluster.list(NODES)


async def test_a_successful_response_that_is_not_json_is_unavailable() -> None:
    async with cluster_with(respond_with(200, "<html>")) as cluster:
        with pytest.raises(Unavailable):
            await cluster.list(NODES)


@pytest.mark.parametrize(("header", "pause_s"), [("7", 7.0), ("soon", 1.0)])
async def test_throttling_keeps_the_retry_after_of_the_server(header: str, pause_s: float) -> None:
    handler = respond_with(429, status_body("slow down"), **{"Retry-After": header})
    async with cluster_with(handler) as cluster:
        with pytest.raises(Throttled) as caught:
            await cluster.list(NODES)

    assert caught.value.retry_after_s == pause_s


async def test_a_refused_connection_is_unavailable(unused_tcp_port: int) -> None:
    settings = Configuration()
    settings.host = f"http://127.0.0.1:{unused_tcp_port}"
    async with ApiConnection(settings) as api:
        with pytest.raises(Unavailable, match="the API server does not answer"):
            await Cluster(api).list(NODES)


async def test_a_broken_connection_is_unavailable() -> None:
    async def hang_up(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    async with cluster_with(hang_up) as cluster:
        with pytest.raises(Unavailable):
            await cluster.list(NODES)


async def test_a_watch_reads_lines_split_over_chunks() -> None:
    events = [
        {"type": "ADDED", "object": {"metadata": {"name": name, "text": name * 100_000}}}
        for name in ("a", "b")
    ]
    data = "".join(json.dumps(event) + "\n" for event in events).encode()

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for start in range(0, len(data), 70_001):
            await response.write(data[start : start + 70_001])
        return response

    async with cluster_with(stream) as cluster:
        received = await take(cluster.watch(NODES, "1"), 2)

    assert received == [("ADDED", "a"), ("ADDED", "b")]


async def test_an_idle_watch_ends_without_an_error_after_the_timeout() -> None:
    """The reflector then opens it again at the same resource version."""
    line = json.dumps({"type": "ADDED", "object": {"metadata": {"name": "a"}}}) + "\n"
    ended = asyncio.Event()

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(line.encode())
        await ended.wait()
        return response

    async with serving(stream) as url:
        settings = Configuration()
        settings.host = url
        async with ApiConnection(settings) as api:
            cluster = Cluster(api, watch_idle_timeout_s=0.05)
            received = [event async for event in cluster.watch(NODES, "1")]
        ended.set()

    assert [event.object["metadata"]["name"] for event in received] == ["a"]


async def test_a_watch_from_an_expired_resource_version_raises() -> None:
    line = json.dumps({"type": "ERROR", "object": {"code": 410, "message": "too old"}}) + "\n"
    async with cluster_with(respond_with(200, line)) as cluster:
        with pytest.raises(ResourceVersionExpired, match="too old"):
            await take(cluster.watch(NODES, "1"), 1)


async def test_a_watch_requests_bookmarks_from_its_resource_version() -> None:
    query: dict[str, str] = {}

    async def record_query(request: web.Request) -> web.Response:
        query.update(request.query)
        return web.Response(text="")

    async with cluster_with(record_query) as cluster:
        await take(cluster.watch(PODS, "42", labels="a=b"), 1)

    assert query["resourceVersion"] == "42"
    assert query["allowWatchBookmarks"] == "true"
    assert query["labelSelector"] == "a=b"
    assert int(query["timeoutSeconds"]) > 0


@pytest.mark.parametrize(
    ("kind", "arguments", "path"),
    [
        pytest.param(PODS, ("ns", "p"), "/api/v1/namespaces/ns/pods/p", id="namespaced"),
        pytest.param(PODS, (None,), "/api/v1/pods", id="all namespaces"),
        pytest.param(NODES, (None, "n", "status"), "/api/v1/nodes/n/status", id="subresource"),
        pytest.param(NODES, ("ns", "n"), "/api/v1/nodes/n", id="cluster-scoped"),
    ],
)
def test_the_path_of_an_object_follows_from_its_kind_and_name(
    kind: Kind, arguments: tuple[str], path: str
) -> None:
    assert kind.path(*arguments) == path


@given(st.text(min_size=1, max_size=40), st.sampled_from([None, "status"]))
def test_a_name_stays_one_segment_of_the_path(name: str, subresource: str | None) -> None:
    try:
        path = PODS.path("ns", name, subresource or "")
    except InvalidInput:
        assert name in (".", "..") or "/" in name or "%" in name
        return

    url = URL(f"http://server{path}?watch=true", encoded=False)
    expected = ["/", "api", "v1", "namespaces", "ns", "pods", name]
    assert list(url.parts) == expected + ([subresource] if subresource else [])
    assert url.query_string == "watch=true"


@pytest.mark.parametrize("name", ["..", ".", "", "../../secrets", "a/b", "%2e%2e", "a%2Fb"])
@pytest.mark.parametrize("verb", ["get", "delete", "patch"])
async def test_a_name_that_is_a_path_reaches_no_other_object(name: str, verb: str) -> None:
    paths: list[str] = []

    async def record(request: web.Request) -> web.Response:
        paths.append(request.raw_path)
        return web.json_response({})

    arguments: list[object] = [{}] if verb == "patch" else []
    async with cluster_with(record) as cluster:
        with pytest.raises(InvalidInput, match="is not the name of an object"):
            await getattr(cluster, verb)(PODS, name, "ns", *arguments)

    assert paths == []


@pytest.mark.parametrize("name", ["a?dryRun=All", "a#b", "a b", "ä", "a;b", "a&b=c+d"])
async def test_a_name_reaches_the_server_as_it_is(name: str) -> None:
    paths: list[str] = []

    async def record(request: web.Request) -> web.Response:
        paths.append(request.raw_path)
        return web.json_response({})

    async with cluster_with(record) as cluster:
        await cluster.get(PODS, name, "ns")

    (path,) = paths
    assert "?" not in path
    assert unquote(path) == f"/api/v1/namespaces/ns/pods/{name}"


async def test_an_unusable_kubeconfig_is_reported_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="pass --kubeconfig FILE"):
        async with Cluster.connect(tmp_path / "missing"):
            pass


async def test_a_long_list_is_read_page_by_page() -> None:
    queries: list[dict[str, str]] = []

    async def handler(request: web.Request) -> web.Response:
        queries.append(dict(request.query))
        last = "continue" in request.query
        metadata = {"resourceVersion": "7", "continue": "" if last else "there"}
        return web.json_response({"metadata": metadata, "items": [{"number": len(queries)}]})

    async with cluster_with(handler) as cluster:
        objects, version = await cluster.list(PODS, labels="a=b")

    assert (objects, version) == ([{"number": 1}, {"number": 2}], "7")
    assert queries == [
        {"limit": "500", "labelSelector": "a=b"},
        {"limit": "500", "labelSelector": "a=b", "continue": "there"},
    ]


TIMEOUT_S = 10.0


@contextmanager
def hanging_server(authority: Authority, hangs: threading.Event) -> Iterator[int]:
    """Run an API server that sends one event and then hangs, even on close; yields its port."""
    serving = authority.serving("serving")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(serving.cert, serving.key)
    started, stopped, ports = threading.Event(), threading.Event(), list[int]()

    async def watch(request: web.Request) -> web.StreamResponse:
        stream = web.StreamResponse()
        await stream.prepare(request)
        await stream.write(json.dumps({"type": "ADDED", "object": {}}).encode() + b"\n")
        hangs.set()
        stopped.wait(TIMEOUT_S)  # blocks the event loop of the server
        return stream

    async def serve() -> None:
        app = web.Application()
        app.router.add_get("/{path:.*}", watch)
        runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        ports.append(runner.addresses[0][1])
        started.set()
        await asyncio.to_thread(stopped.wait, TIMEOUT_S)
        await runner.cleanup()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="server")
    thread.start()
    try:
        assert started.wait(TIMEOUT_S)
        yield ports[0]
    finally:
        stopped.set()
        thread.join()


def test_closing_a_watch_does_not_wait_for_a_hanging_server(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ca")
    client, hangs = authority.client("tester", "tester"), threading.Event()

    async def first_event(path: Path) -> str:
        async with Cluster.connect(path) as cluster:
            watch = cluster.watch(PODS, "1")
            event = await anext(watch)
            await asyncio.to_thread(hangs.wait, TIMEOUT_S)
            await watch.aclose()
            return event.type

    with warnings.catch_warnings(record=True) as caught, hanging_server(authority, hangs) as port:
        warnings.simplefilter("always", ResourceWarning)
        path = credentials.write_kubeconfig(
            tmp_path / "kubeconfig",
            port=port,
            ca=authority.ca.cert,
            user="tester",
            client=client,
        )
        seen = asyncio.run(first_event(path))
        gc.collect()

    assert seen == "ADDED"
    assert [str(warning.message) for warning in caught] == []


DEEP = "[" * 1200 + "]" * 1200


def object_text(name: str, spec: str = "{}") -> str:
    metadata = {"name": name, "namespace": "n", "uid": name, "resourceVersion": "5"}
    return f'{{"kind":"Pod","metadata":{json.dumps(metadata)},"spec":{spec}}}'


async def test_a_list_leaves_out_what_cannot_be_read() -> None:
    items = f"{object_text('a')},{object_text('deep', DEEP)},{object_text('b')}"
    body = f'{{"metadata":{{"resourceVersion":"7"}},"items":[{items}]}}'

    async with cluster_with(respond_with(200, body)) as cluster:
        objects, version = await cluster.list(PODS)
        pages = [page async for page, _ in cluster.pages(PODS)]

    assert ([obj["metadata"]["name"] for obj in objects], version) == (["a", "b"], "7")
    assert [UNREADABLE in obj for obj in pages[0]] == [False, True, False]


async def test_a_watch_continues_after_an_event_that_cannot_be_read() -> None:
    lines = [
        f'{{"type":"ADDED","object":{object_text("deep", DEEP)}}}',
        '{"type":"ADDED","object":{"metadata":{"name":"' + "\\ud800" + '"}}}',
        f'{{"type":"ADDED","object":{object_text("a")}}}',
    ]

    async with cluster_with(respond_with(200, "\n".join(lines) + "\n")) as cluster:
        events = [event async for event in cluster.watch(PODS, "1")]

    names = [event.object["metadata"]["name"] for event in events]
    assert names == ["deep", "a"]
    assert [UNREADABLE in event.object for event in events] == [True, False]


async def test_getting_an_object_that_cannot_be_read_names_it() -> None:
    async with cluster_with(respond_with(200, object_text("deep", DEEP))) as cluster:
        with pytest.raises(InvalidInput, match="Pod n/deep cannot be read: spec: "):
            await cluster.get(PODS, "deep", "n")
