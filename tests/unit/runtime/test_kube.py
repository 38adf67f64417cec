"""The adapter against a server that answers anything."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from acesniper.api.names import NODES, PODS, Kind
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
from acesniper.runtime.api_connection import ApiConnection, Configuration
from acesniper.runtime.api_errors import MAX_ERROR_CHARS
from acesniper.runtime.client import Cluster
from cluster_contract import take
from local_server import serving

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def cluster_answering(handler: Handler) -> AsyncIterator[Cluster]:
    async with serving(handler) as url:
        settings = Configuration()
        settings.host = url
        async with ApiConnection(settings) as api:
            yield Cluster(api)


def answering(status: int, body: str = "", **headers: str) -> Handler:
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
async def test_a_status_becomes_an_error_with_the_servers_words(
    status: int, expected: type[Exception]
) -> None:
    async with cluster_answering(answering(status, status_body("because"))) as cluster:
        with pytest.raises(expected, match=rf"GET /api/v1/nodes: because \({status}\)") as caught:
            await cluster.list(NODES)

    assert type(caught.value) is expected


async def test_of_what_the_server_repeats_at_length_the_beginning_is_kept() -> None:
    said = "pods 'p' is invalid: " + "x" * 10**6

    async with cluster_answering(answering(422, status_body(said))) as cluster:
        with pytest.raises(InvalidInput, match="is invalid: xxx") as found:
            await cluster.create(PODS, {}, "default")

    assert len(str(found.value)) < 1.1 * MAX_ERROR_CHARS


async def test_a_namespace_that_goes_has_an_error_of_its_own() -> None:
    causes = {"details": {"causes": [{"reason": "NamespaceTerminating", "field": "metadata"}]}}
    body = json.dumps({**json.loads(status_body("it goes")), **causes})
    async with cluster_answering(answering(403, body)) as cluster:
        with pytest.raises(NamespaceTerminating, match="it goes"):
            await cluster.create(PODS, {}, "ns")


@pytest.mark.parametrize("body", ["", "<html>", "[]", "{}"])
@pytest.mark.parametrize("status", [502, 520])
async def test_a_proxy_between_us_may_answer_anything(status: int, body: str) -> None:
    async with cluster_answering(answering(status, body)) as cluster:
        with pytest.raises(Unavailable, match=rf"\({status}\)"):
            await cluster.list(NODES)


async def test_a_good_status_with_something_else_than_json_is_no_answer() -> None:
    async with cluster_answering(answering(200, "<html>")) as cluster:
        with pytest.raises(Unavailable):
            await cluster.list(NODES)


@pytest.mark.parametrize(("header", "pause_s"), [("7", 7.0), ("soon", 1.0)])
async def test_a_pause_is_as_long_as_the_server_asks(header: str, pause_s: float) -> None:
    handler = answering(429, status_body("slow down"), **{"Retry-After": header})
    async with cluster_answering(handler) as cluster:
        with pytest.raises(Throttled) as caught:
            await cluster.list(NODES)

    assert caught.value.retry_after_s == pause_s


async def test_nobody_there_is_unavailable(unused_tcp_port: int) -> None:
    settings = Configuration()
    settings.host = f"http://127.0.0.1:{unused_tcp_port}"
    async with ApiConnection(settings) as api:
        with pytest.raises(Unavailable, match="the API server does not answer"):
            await Cluster(api).list(NODES)


async def test_a_connection_that_breaks_is_unavailable() -> None:
    async def hang_up(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    async with cluster_answering(hang_up) as cluster:
        with pytest.raises(Unavailable):
            await cluster.list(NODES)


async def test_a_watch_reads_lines_however_they_are_cut() -> None:
    events = [
        {"type": "ADDED", "object": {"metadata": {"name": name, "text": name * 100_000}}}
        for name in ("a", "b")
    ]
    data = "".join(json.dumps(each) + "\n" for each in events).encode()

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for start in range(0, len(data), 70_001):
            await response.write(data[start : start + 70_001])
        return response

    async with cluster_answering(stream) as cluster:
        heard = await take(cluster.watch(NODES, "1"), 2)

    assert heard == [("ADDED", "a"), ("ADDED", "b")]


async def test_a_watch_that_falls_silent_ends_after_its_last_line() -> None:
    """No failure, and nothing to wait for: it is opened anew where it was."""
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
            heard = [each async for each in cluster.watch(NODES, "1")]
        ended.set()

    assert [each.object["metadata"]["name"] for each in heard] == ["a"]


async def test_a_watch_that_has_lost_its_place_is_gone() -> None:
    line = json.dumps({"type": "ERROR", "object": {"code": 410, "message": "too old"}}) + "\n"
    async with cluster_answering(answering(200, line)) as cluster:
        with pytest.raises(ResourceVersionExpired, match="too old"):
            await take(cluster.watch(NODES, "1"), 1)


async def test_a_watch_asks_for_bookmarks_from_a_version_on() -> None:
    asked: dict[str, str] = {}

    async def note(request: web.Request) -> web.Response:
        asked.update(request.query)
        return web.Response(text="")

    async with cluster_answering(note) as cluster:
        await take(cluster.watch(PODS, "42", labels="a=b"), 1)

    assert asked["resourceVersion"] == "42"
    assert asked["allowWatchBookmarks"] == "true"
    assert asked["labelSelector"] == "a=b"
    assert int(asked["timeoutSeconds"]) > 0


@pytest.mark.parametrize(
    ("kind", "arguments", "path"),
    [
        pytest.param(PODS, ("ns", "p"), "/api/v1/namespaces/ns/pods/p", id="namespaced"),
        pytest.param(PODS, (None,), "/api/v1/pods", id="all namespaces"),
        pytest.param(NODES, (None, "n", "status"), "/api/v1/nodes/n/status", id="subresource"),
        pytest.param(NODES, ("ns", "n"), "/api/v1/nodes/n", id="cluster objects have none"),
    ],
)
def test_an_object_has_a_path(kind: Kind, arguments: tuple[str], path: str) -> None:
    assert kind.path(*arguments) == path


async def test_without_a_usable_kubeconfig_the_way_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="pass --kubeconfig FILE"):
        async with Cluster.connect(tmp_path / "missing"):
            pass


async def test_a_long_list_comes_in_pages_of_one_version() -> None:
    asked: list[dict[str, str]] = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(dict(request.query))
        last = "continue" in request.query
        metadata = {"resourceVersion": "7", "continue": "" if last else "there"}
        return web.json_response({"metadata": metadata, "items": [{"number": len(asked)}]})

    async with cluster_answering(handler) as cluster:
        found, version = await cluster.list(PODS, labels="a=b")

    assert (found, version) == ([{"number": 1}, {"number": 2}], "7")
    assert asked == [
        {"limit": "500", "labelSelector": "a=b"},
        {"limit": "500", "labelSelector": "a=b", "continue": "there"},
    ]
