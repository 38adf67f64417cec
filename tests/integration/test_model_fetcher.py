"""The fetcher of models under many namespaces: real HTTP servers, and its scratch folder."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from ipaddress import ip_network

import pytest
from aiohttp import web

from acesniper.api.v1alpha1 import ModelSource
from acesniper.domain.errors import InvalidModel, Throttled, Unavailable
from acesniper.operator.model_fetcher import ModelFetcher, server_of
from acesniper.runtime.artifacts import Destinations
from builders import digest
from fake_cluster import FakeCluster
from local_server import serving
from virtual_time import Clock

SMALL, LARGE = b"s" * 1_000, b"l" * 5_000


class Store:
    """Serves files of any name, counts requests, and fails while `broken`."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.broken = False
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.requests[request.path] += 1
        if self.broken:
            raise web.HTTPServiceUnavailable
        if request.path.startswith("/missing"):
            raise web.HTTPNotFound
        if request.path.startswith("/chunked"):
            response = web.StreamResponse()
            await response.prepare(request)
            await response.write(LARGE)
            return response
        return web.Response(body=LARGE if "large" in request.path else SMALL)

    def source(self, name: str) -> ModelSource:
        data = LARGE if "large" in name or "chunked" in name else SMALL
        return ModelSource(uri=f"{self.url}/{name}", sha256=digest(data))


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    store = Store()
    async with serving(store.answer) as url:
        store.url = url
        yield store


def make_fetcher(clock: Clock | None = None, cache_bytes: int = 3_000) -> ModelFetcher:
    return ModelFetcher(
        FakeCluster(),
        max_bytes=10_000,
        timeout_s=30.0,
        destinations=Destinations((ip_network("127.0.0.0/8"),)),
        clock=clock or Clock(5.0),
        small_bytes=2_000,
        cache_bytes=cache_bytes,
    )


def kept(fetcher: ModelFetcher) -> int:
    """Bytes in the scratch folder."""
    return sum(file.stat().st_size for file in fetcher._scratch.rglob("*") if file.is_file())


@pytest.mark.parametrize("name", ["small", "large", "chunked"])
async def test_many_profiles_of_one_file_fetch_it_once(store: Store, name: str) -> None:
    fetcher = make_fetcher()
    source = store.source(name)

    for _ in range(300):
        async with fetcher.held(source, "greedy") as path:
            assert digest(path.read_bytes()) == source.sha256

    # A large file is requested a second time, as its size was not known.
    assert store.requests[f"/{name}"] == (1 if name == "small" else 2)


async def test_another_namespace_fetches_the_file_itself(store: Store) -> None:
    fetcher = make_fetcher()

    for namespace in ("a", "b"):
        async with fetcher.held(store.source("small"), namespace):
            pass

    assert store.requests["/small"] == 2


async def test_the_cache_keeps_what_was_used_last_within_its_size(store: Store) -> None:
    fetcher = make_fetcher()

    for name in ("s1", "s2", "s3", "s1", "s4", "s1"):
        async with fetcher.held(store.source(name), "a"):
            assert kept(fetcher) <= 4_000

    assert store.requests == {"/s1": 1, "/s2": 1, "/s3": 1, "/s4": 1}
    assert kept(fetcher) == 3_000


async def test_large_files_are_on_disk_one_at_a_time(store: Store) -> None:
    fetcher = make_fetcher()
    most, held = 0, 0

    async def hold(name: str, namespace: str) -> None:
        nonlocal most, held
        async with fetcher.held(store.source(name), namespace) as path:
            held += 1
            most = max(most, held)
            assert kept(fetcher) <= 10_000
            await asyncio.sleep(0)
            assert path.read_bytes() == LARGE
            held -= 1

    async with asyncio.TaskGroup() as group:
        for number in range(12):
            group.create_task(hold(f"large{number}", f"n{number % 4}"))

    assert most == 1
    assert kept(fetcher) == len(LARGE)


async def test_a_file_in_use_stays_in_its_place(store: Store) -> None:
    fetcher = make_fetcher(cache_bytes=0)

    async with fetcher.held(store.source("s1"), "a") as path:
        async with fetcher.held(store.source("s2"), "a"):
            pass
        assert path.read_bytes() == SMALL

    assert kept(fetcher) == 0


async def test_a_failed_download_leaves_nothing(store: Store) -> None:
    fetcher = make_fetcher()
    source = ModelSource(uri=f"{store.url}/small", sha256="0" * 64)

    with pytest.raises(InvalidModel):
        async with fetcher.held(source, "a"):
            pass

    assert [*fetcher._scratch.iterdir()] == []


async def test_a_server_that_fails_is_left_alone_for_longer_each_time(store: Store) -> None:
    clock = Clock(100.0)
    fetcher = make_fetcher(clock)
    store.broken = True
    waits = []

    async def attempt(name: str, namespace: str = "a") -> None:
        async with fetcher.held(store.source(name), namespace):
            pass

    for number in range(4):
        with pytest.raises(Unavailable, match="503"):
            await attempt(f"s{number}")
        with pytest.raises(Throttled) as caught:
            await attempt("other")
        waits.append(caught.value.retry_after_s)
        clock.now_s += caught.value.retry_after_s
    store.broken = False
    await attempt("other")
    await attempt("s0")

    assert waits == [5.0, 10.0, 20.0, 40.0]


async def test_a_failing_server_is_left_alone_by_one_namespace_only(store: Store) -> None:
    fetcher = make_fetcher()
    store.broken = True
    with pytest.raises(Unavailable):
        async with fetcher.held(store.source("s"), "greedy"):
            pass
    store.broken = False

    async with fetcher.held(store.source("s"), "honest") as path:
        assert path.exists()


async def test_a_missing_file_says_nothing_about_its_server(store: Store) -> None:
    fetcher = make_fetcher()
    with pytest.raises(Unavailable, match="404"):
        async with fetcher.held(store.source("missing"), "a"):
            pass

    async with fetcher.held(store.source("s"), "a") as path:
        assert path.exists()


@pytest.mark.parametrize(
    ("uri", "server"),
    [
        ("https://Models.example:8443/a/b", "models.example:8443"),
        ("oci://r.example/x:1", "r.example"),
        ("s3://bucket/key", "s3://bucket"),
        ("s3://bucket/key?region=x&endpoint=http://nas:9000", "endpoint=http://nas:9000"),
        ("configmap://models/key", "models"),
        ("http://[::1/x", ""),
    ],
)
def test_the_server_of_an_address(uri: str, server: str) -> None:
    assert server_of(uri) == server
