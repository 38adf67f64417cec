"""Reading models: a real HTTP server, a cluster in memory, and a reader that a test controls."""

import base64
from collections.abc import AsyncIterator
from ipaddress import ip_network
from pathlib import Path

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from acesniper.api.names import CONFIG_MAPS, EVENTS, MODEL_PROFILES
from acesniper.api.v1alpha1 import (
    ModelProfile,
    ModelProfileSpec,
    ModelSource,
    condition_is_true,
    find_condition,
)
from acesniper.domain.errors import InvalidModel, Unavailable
from acesniper.domain.model import ModelFeatures
from acesniper.operator.cache import ObjectCache
from acesniper.operator.metrics import OperatorMetrics
from acesniper.operator.model_fetcher import ModelFetcher
from acesniper.operator.model_profiles import ModelReconciler
from acesniper.operator.model_reading import ModelReading
from acesniper.predictor.factory import default_predictor
from acesniper.runtime.artifacts import Destinations
from acesniper.runtime.events import EventRecorder
from builders import digest, make_model_profile
from fake_cluster import Call, FakeCluster
from local_server import serving
from virtual_time import Clock

LOOPBACK = Destinations((ip_network("127.0.0.0/8"),))
DATA = b"an ONNX file" * 100
KEY = "default/model"


# --- fetching ------------------------------------------------------------------------------------


@pytest.fixture
async def server() -> AsyncIterator[str]:
    async def answer(request: web.Request) -> web.StreamResponse:
        match request.path:
            case "/model.onnx":
                return web.Response(body=DATA)
            case "/moved":
                raise web.HTTPFound("/model.onnx")
            case "/loop":
                raise web.HTTPFound("/loop")
            case "/to-a-file":
                raise web.HTTPFound("file:///etc/passwd")
            case "/endless":
                response = web.StreamResponse()
                await response.prepare(request)
                while True:
                    await response.write(DATA)
            case "/cut-off":
                response = web.StreamResponse(headers={"Content-Length": "5000"})
                await response.prepare(request)
                await response.write(DATA)
                assert request.transport is not None
                request.transport.close()
                return response
        raise web.HTTPNotFound

    async with serving(answer) as url:
        yield url


async def fetch(
    uri: str,
    target: Path,
    *,
    sha256: str = digest(DATA),
    max_bytes: int = 10_000,
    timeout_s: float = 30.0,
    cluster: FakeCluster | None = None,
) -> bytes:
    fetcher = ModelFetcher(cluster or FakeCluster(), max_bytes, timeout_s, LOOPBACK)
    path = target / "model.onnx"
    await fetcher.fetch(ModelSource(uri=uri, sha256=sha256), "default", path)
    return path.read_bytes()


@pytest.mark.parametrize("path", ["/model.onnx", "/moved"])
async def test_a_file_is_downloaded_unchanged(server: str, tmp_path: Path, path: str) -> None:
    assert await fetch(server + path, tmp_path) == DATA


async def test_a_file_with_another_digest_is_never_used(server: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidModel, match="expected bbbb") as caught:
        await fetch(server + "/model.onnx", tmp_path, sha256="b" * 64)

    assert caught.value.reason == "DigestMismatch"


@pytest.mark.parametrize("path", ["/model.onnx", "/endless"])
async def test_a_download_is_aborted_at_the_size_limit(
    server: str, tmp_path: Path, path: str
) -> None:
    with pytest.raises(InvalidModel, match="is larger than") as caught:
        await fetch(server + path, tmp_path, max_bytes=len(DATA) - 1)

    assert caught.value.reason == "TooLarge"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/nothing-here", "responds 404 Not Found"),
        ("/loop", "responds 302"),
        ("/to-a-file", "file:///etc/passwd' is not allowed"),
        ("/cut-off", "cannot be fetched"),
    ],
)
async def test_temporary_errors_are_retryable(
    server: str, tmp_path: Path, path: str, message: str
) -> None:
    with pytest.raises(Unavailable, match=message):
        await fetch(server + path, tmp_path)


async def test_a_slow_server_times_out(server: str, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot be fetched"):
        await fetch(server + "/endless", tmp_path, timeout_s=0.05, max_bytes=2**40)


async def test_a_refused_connection_is_retryable(unused_tcp_port: int, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot be fetched"):
        await fetch(f"http://127.0.0.1:{unused_tcp_port}/m", tmp_path)


async def test_a_full_disk_is_retryable(server: str) -> None:
    full = Path("/dev/full")
    source = ModelSource(uri=server + "/model.onnx", sha256=digest(DATA))

    with pytest.raises(Unavailable, match="No space left"):
        await ModelFetcher(FakeCluster(), 10_000, 30.0, LOOPBACK).fetch(source, "default", full)


def config_maps(**data: bytes) -> FakeCluster:
    cluster = FakeCluster()
    encoded = {name: base64.b64encode(value).decode() for name, value in data.items()}
    metadata = {"name": "models", "namespace": "default", "uid": "u"}
    cluster.put(CONFIG_MAPS, {"metadata": metadata, "binaryData": encoded})
    return cluster


async def test_a_small_model_can_be_in_a_config_map(tmp_path: Path) -> None:
    cluster = config_maps(net=DATA)

    assert await fetch("configmap://models/net", tmp_path, cluster=cluster) == DATA


async def test_a_missing_config_map_is_retryable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="ConfigMap 'other' not found"):
        await fetch("configmap://other/net", tmp_path, cluster=config_maps())


async def test_a_missing_key_of_a_config_map_is_final(tmp_path: Path) -> None:
    with pytest.raises(InvalidModel) as caught:
        await fetch("configmap://models/other", tmp_path, cluster=config_maps(net=DATA))

    assert caught.value.reason == "KeyNotFound"


# --- reading -------------------------------------------------------------------------------------


class Reader:
    """Returns the features that a test sets, and counts its calls."""

    def __init__(self) -> None:
        self.read = 0
        self.error: Exception | None = None
        self.values = {"work": 1.0, "old": 2.0}

    def __call__(self, path: Path, spec: ModelProfileSpec) -> ModelFeatures:
        self.read += 1
        if self.error is not None:
            raise self.error
        assert path.read_bytes() == DATA
        return ModelFeatures("1", dict(self.values), 2e9, 1e6, 10**6, 2**20, {"Conv": 1}, {})


class Setup:
    """A model in a ConfigMap, and the reconciler that reads it."""

    def __init__(self) -> None:
        self.cluster = config_maps(net=DATA)
        profile = make_model_profile(work=None, uri="configmap://models/net", sha256=digest(DATA))
        self.cluster.put(MODEL_PROFILES, profile)
        self.reader = Reader()
        self.start()

    def start(self, version: str = "1") -> None:
        self.store = ObjectCache()
        self.reconciler = ModelReconciler(
            self.cluster,
            self.store,
            ModelReading(ModelFetcher(self.cluster, 10_000, 30.0), self.reader),
            version,
            OperatorMetrics.on(CollectorRegistry()),
            EventRecorder(self.cluster, "test"),
            default_predictor(),
            Clock(5.0),
        )

    async def reconcile(self) -> ModelProfile:
        for obj in self.cluster.all(MODEL_PROFILES):
            self.store.upsert_model(obj)
        await self.reconciler.reconcile(KEY)
        return self.profile

    @property
    def profile(self) -> ModelProfile:
        return ModelProfile.model_validate(self.cluster.one(MODEL_PROFILES, "model", "default"))

    def reasons(self) -> list[str]:
        return [event["reason"] for event in self.cluster.all(EVENTS)]


async def test_a_model_is_read_once() -> None:
    setup = Setup()

    profile = await setup.reconcile()
    await setup.reconcile()
    setup.start()
    await setup.reconcile()

    assert setup.reader.read == 1
    assert condition_is_true(profile.status.conditions, "Profiled")
    assert profile.status.features == {"work": 1.0, "old": 2.0}
    assert profile.status.text == "2 GFLOP, 1 M parameters"
    assert setup.reasons() == ["Profiled"]


async def test_a_newer_reader_reads_again_and_replaces_all_features() -> None:
    setup = Setup()
    await setup.reconcile()
    setup.reader.values = {"work": 1.0, "new": 3.0}
    setup.start(version="2")

    profile = await setup.reconcile()

    assert profile.status.features == {"work": 1.0, "new": 3.0}


async def test_an_unusable_model_is_reported_and_not_retried() -> None:
    setup = Setup()
    setup.reader.error = InvalidModel("NotOnnx", "model.onnx is no ONNX file")

    profile = await setup.reconcile()
    await setup.reconcile()

    assert setup.reader.read == 1
    assert condition_is_true(profile.status.conditions, "Unsupported")
    found = find_condition(profile.status.conditions, "Profiled")
    assert found is not None
    assert (found.status, found.reason, found.message) == (
        "False",
        "NotOnnx",
        "model.onnx is no ONNX file",
    )
    assert setup.reasons() == ["NotOnnx"]


async def test_a_failed_fetch_is_reported_and_retried() -> None:
    setup = Setup()
    config_map = setup.cluster.one(CONFIG_MAPS, "models", "default")
    setup.cluster.remove(CONFIG_MAPS, "models", "default")

    with pytest.raises(Unavailable):
        await setup.reconcile()
    found = find_condition(setup.profile.status.conditions, "Profiled")
    setup.cluster.put(CONFIG_MAPS, config_map)
    profile = await setup.reconcile()

    assert found is not None
    assert found.reason == "FetchFailed"
    assert condition_is_true(profile.status.conditions, "Profiled")


async def test_the_same_failure_is_written_once() -> None:
    """A write causes an event, and the event a retry that ignores the back-off."""
    setup = Setup()
    setup.cluster.remove(CONFIG_MAPS, "models", "default")

    for _ in range(3):
        with pytest.raises(Unavailable):
            await setup.reconcile()

    assert sum(call.verb == "patch" for call in setup.cluster.calls) == 1


async def test_a_model_whose_deletion_was_missed_is_dropped() -> None:
    setup = Setup()
    setup.store.upsert_model(setup.cluster.one(MODEL_PROFILES, "model", "default"))
    setup.cluster.remove(MODEL_PROFILES, "model", "default")

    await setup.reconciler.reconcile(KEY)

    assert setup.store.models == {}


async def test_a_failed_write_is_retried() -> None:
    setup = Setup()

    def fail(call: Call) -> None:
        if call.verb == "patch":
            raise Unavailable("away")

    setup.cluster.before = fail
    with pytest.raises(Unavailable):
        await setup.reconcile()
    setup.cluster.before = lambda call: None

    assert condition_is_true((await setup.reconcile()).status.conditions, "Profiled")
