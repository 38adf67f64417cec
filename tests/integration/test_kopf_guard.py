"""The installed kopf, with our registry, against an API server whose objects cannot be parsed.

This fails if a version of kopf parses responses elsewhere than in the session of the login handler.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import kopf
import pytest
from aiohttp import web

from acesniper.api.names import DEVICE_PROFILES, INFERENCE_TASKS, MODEL_PROFILES
from acesniper.api.objects import Json
from acesniper.api.untrusted_json import UNREADABLE, parse_event
from acesniper.operator.cache import ObjectCache
from acesniper.operator.handlers import build_registry
from acesniper.runtime.skipped import SkippedObjects
from local_server import serving

TIMEOUT_S = 6.0
DEEP = '{"a":[' * 1500 + "]}" * 1500
API = "/apis/acesniper.io/v1alpha1"
KINDS = {
    INFERENCE_TASKS: "InferenceTask",
    MODEL_PROFILES: "ModelProfile",
    DEVICE_PROFILES: "DeviceProfile",
}


def task_text(name: str, spec: str = "{}", metadata: Json | None = None) -> str:
    identity = {"name": name, "namespace": "n", "uid": name, "resourceVersion": "5"}
    header = '"apiVersion":"acesniper.io/v1alpha1","kind":"InferenceTask"'
    return f'{{{header},"metadata":{json.dumps(identity | (metadata or {}))},"spec":{spec}}}'


def resource(plural: str, kind: str, *, namespaced: bool) -> Json:
    verbs = ["get", "list", "watch", "patch"]
    identity = {"name": plural, "singularName": kind.lower(), "kind": kind}
    return identity | {"namespaced": namespaced, "verbs": verbs}


OWN_RESOURCES = [
    resource(kind.plural, singular, namespaced=kind.namespaced) for kind, singular in KINDS.items()
]


class Server:
    """An API server with discovery; lists and watches of tasks are given as text."""

    def __init__(self, items: list[str], lines: list[str]) -> None:
        self.items, self.lines = items, lines
        self.lists = 0
        self.patched: list[str] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        version = {"version": "v1alpha1", "groupVersion": "acesniper.io/v1alpha1"}
        group = {"name": "acesniper.io", "versions": [version], "preferredVersion": version}
        fixed: Json = {
            "/api": {"versions": ["v1"]},
            "/api/v1": {"resources": [resource("namespaces", "Namespace", namespaced=False)]},
            "/apis": {"groups": [group]},
            API: {"resources": OWN_RESOURCES},
        }
        if request.method != "GET":
            self.patched.append(request.path)
            return web.json_response({"kind": "Status", "code": 403}, status=403)
        if request.path in fixed:
            return web.json_response(fixed[request.path])
        if not request.path.startswith(API):
            return web.json_response({"kind": "Status", "code": 404}, status=404)
        tasks = request.path.endswith("/inferencetasks")
        if request.query.get("watch") == "true":
            return await self._watch(request, self.lines if tasks else [])
        self.lists += tasks
        items = ",".join(self.items if tasks else [])
        body = f'{{"items":[{items}],"metadata":{{"resourceVersion":"9"}}}}'
        return web.Response(text=body, content_type="application/json")

    @staticmethod
    async def _watch(request: web.Request, lines: list[str]) -> web.StreamResponse:
        stream = web.StreamResponse()
        await stream.prepare(request)
        while lines:
            await stream.write(f"{lines.pop(0)}\n".encode())
        await asyncio.sleep(TIMEOUT_S)
        return stream


class Recorder:
    """A controller that records what its handlers receive."""

    def __init__(self) -> None:
        self.store, self.skipped = ObjectCache(), SkippedObjects()
        self.events: list[tuple[str, bool]] = []
        self.received = asyncio.Event()

    def queued(self) -> int:
        return 0

    def task_event(self, gone: bool, obj: Json) -> None:
        assert UNREADABLE not in obj or gone
        self.events.append((obj["metadata"]["name"], gone))
        self.received.set()

    async def wait_for(self, event: tuple[str, bool]) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            while event not in self.events:
                self.received.clear()
                await self.received.wait()


@asynccontextmanager
async def operating(
    server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Recorder]:
    recorder, stop = Recorder(), asyncio.Event()
    async with serving(server.answer) as url:
        path = folder / "kubeconfig"
        config = {
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "s", "user": "u"}}],
            "clusters": [{"name": "s", "cluster": {"server": url}}],
            "users": [{"name": "u", "user": {}}],
        }
        path.write_text(json.dumps(config))
        monkeypatch.setenv("KUBECONFIG", str(path))
        registry = build_registry(recorder, 90.0)  # type: ignore[arg-type]  # what handlers need
        operator = kopf.operator(registry=registry, clusterwide=True, stop_flag=stop)
        running = asyncio.create_task(operator)
        try:
            yield recorder
            assert not running.done(), "kopf ended"
        finally:
            stop.set()
            await asyncio.wait([running], timeout=TIMEOUT_S)
            if running.done() and not running.cancelled():
                running.exception()


async def test_objects_that_cannot_be_parsed_do_not_stop_kopf(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(
        [task_text("listed"), task_text("deep-in-list", DEEP)],
        [
            f'{{"type":"ADDED","object":{task_text("deep", DEEP)}}}',
            '{"type":"ADDED","object":{"metadata":{"name":"' + "\\ud800" + '"}}}',
            '{"type":"ADDED","object":null}',
            f'{{"type":"ADDED","object":{task_text("honest")}}}',
            f'{{"type":"DELETED","object":{task_text("deep", DEEP)}}}',
            f'{{"type":"ADDED","object":{task_text("last")}}}',
        ],
    )

    async with operating(server, tmp_path, monkeypatch) as controller:
        await controller.wait_for(("last", False))
        await controller.wait_for(("listed", False))
        await controller.wait_for(("honest", False))
        await controller.wait_for(("deep-in-list", True))
        skipped = controller.skipped.count("inferencetasks")

    assert skipped == 1
    assert ("deep", False) not in controller.events


async def test_an_error_event_makes_kopf_list_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(
        [task_text("a")],
        ['{"type":"ERROR","object":{"kind":"Status","code":500,"message":"cannot decode"}}'],
    )

    async with operating(server, tmp_path, monkeypatch) as controller:
        await controller.wait_for(("a", False))
        server.items.append(task_text("later"))
        await controller.wait_for(("later", False))

    assert server.lists >= 2


ANNOTATION = "kopf.zalando.org/last-handled-configuration"


@pytest.mark.parametrize("text", ["not JSON", "[" * 100_000], ids=["not JSON", "deep"])
async def test_kopf_reads_and_removes_nothing_that_an_author_wrote_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    metadata: Json = {
        "annotations": {ANNOTATION: text},
        "finalizers": ["kopf.zalando.org/KopfFinalizerMarker"],
        "deletionTimestamp": "2026-01-01T00:00:00Z",
    }
    server = Server([task_text("a", "{}", metadata)], [])

    async with operating(server, tmp_path, monkeypatch) as controller:
        await controller.wait_for(("a", False))

    assert server.patched == []


def test_the_stub_of_a_task_keeps_what_kopf_identifies_it_by() -> None:
    event = parse_event(f'{{"type":"ADDED","object":{task_text("deep", DEEP)}}}'.encode())

    assert event["object"]["metadata"]["uid"] == "deep"
