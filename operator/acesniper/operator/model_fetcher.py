"""Fetches models over the network and from ConfigMaps, into a cache of bounded size.

Small files are fetched side by side. A large one needs the only large slot, which namespaces get in
fair turns, so that all files together fit into the scratch volume:

    FETCHES x SMALL_BYTES  +  CACHE_BYTES  +  one file of max_bytes
"""

import asyncio
import atexit
import base64
import hashlib
import shutil
import tempfile
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from acesniper.api.address import Address
from acesniper.api.names import CONFIG_MAPS
from acesniper.api.v1alpha1 import ModelSource
from acesniper.domain.backoff import Backoff
from acesniper.domain.errors import (
    AddressNotAllowed,
    InvalidInput,
    InvalidModel,
    Throttled,
    Unavailable,
)
from acesniper.operator.fairness import FairSlot
from acesniper.runtime.artifacts import Destinations, DownloadLimits, HttpStatusError, download
from acesniper.runtime.client import Cluster

FETCHES = 64
"""Concurrent downloads, on threads of their own: a slow server delays nothing else."""
SMALL_BYTES = 8 << 20
CACHE_BYTES = 256 << 20
MAX_KNOWN = 10_000
"""Servers and sources that are remembered."""
SERVER_BACKOFF = Backoff(first_s=5.0, max_s=300.0)

_K = TypeVar("_K")
_V = TypeVar("_V")
_Source = tuple[str, str, str]
"""Namespace, address and digest: another namespace has to fetch the file itself."""


def server_of(uri: str) -> str:
    """The server of an address, or what else it is fetched from."""
    scheme, _, rest = uri.partition("://")
    if scheme == "s3":
        query = rest.partition("?")[2]
        endpoint = next((p for p in query.split("&") if p.startswith("endpoint=")), "")
        return endpoint or f"s3://{rest.partition('/')[0]}"
    try:
        return urlsplit(uri).netloc.lower()
    except ValueError:
        return ""


@dataclass(slots=True)
class _CachedFile:
    path: Path
    size: int
    users: int = 0


@dataclass(slots=True)
class _ServerState:
    failures: int = 0
    next_s: float = 0.0


def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(FETCHES, thread_name_prefix="fetch")


def _scratch() -> Path:
    folder = tempfile.mkdtemp(prefix="acesniper-models-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


@dataclass(slots=True)
class ModelFetcher:
    """Files of models, each verified by its digest.

    It connects to `destinations` only; `clock` returns seconds.
    """

    cluster: Cluster
    max_bytes: int
    timeout_s: float
    destinations: Destinations = field(default_factory=Destinations)
    clock: Callable[[], float] = time.monotonic
    small_bytes: int = SMALL_BYTES
    cache_bytes: int = CACHE_BYTES
    _pool: ThreadPoolExecutor = field(default_factory=_threads)
    _scratch: Path = field(default_factory=_scratch)
    _cached: OrderedDict[_Source, _CachedFile] = field(default_factory=OrderedDict)
    _large: OrderedDict[_Source, None] = field(default_factory=OrderedDict)
    _servers: OrderedDict[tuple[str, str], _ServerState] = field(default_factory=OrderedDict)
    _large_slot: FairSlot = field(default_factory=FairSlot)
    _fetched: int = 0

    @asynccontextmanager
    async def held(self, source: ModelSource, namespace: str) -> AsyncIterator[Path]:
        """The file, which stays in its place until the end of the block.

        Raises:
            AddressNotAllowed: the server is at an address that the operator does not connect to.
            Unavailable: it cannot be fetched now; Throttled if its server failed before.
            InvalidModel: UnsupportedSource, TooLarge, DigestMismatch or KeyNotFound; not retried.
        """
        key = (namespace, source.uri, source.sha256)
        async with AsyncExitStack() as stack:
            file = None
            if key not in self._large:
                file = self._cached.get(key) or await self._fetch_small(source, key)
            if file is None:
                await stack.enter_async_context(self._large_slot.held(namespace))
                self._drop_large(except_for=key)
                file = self._cached.get(key) or await self._fetch_into_cache(
                    source, key, self.max_bytes
                )
            file.users += 1
            self._cached.move_to_end(key)
            try:
                yield file.path
            finally:
                file.users -= 1
                self._shrink()

    async def fetch(
        self, source: ModelSource, namespace: str, target: Path, max_bytes: int | None = None
    ) -> int:
        """Write the file to `target` and return its size. Raises the same errors as `held`."""
        limit = self.max_bytes if max_bytes is None else max_bytes
        try:
            address = Address.parse(source.uri)
        except InvalidInput as error:
            raise InvalidModel("UnsupportedSource", str(error)) from error
        if address.scheme == "configmap":
            content = await self._from_config_map(address, namespace)
            self._check(content, source)
            await asyncio.to_thread(target.write_bytes, content)
            return len(content)
        await self._download(address, source, namespace, target, limit)
        return _size(target)

    # --- cache -----------------------------------------------------------------------------------

    async def _fetch_small(self, source: ModelSource, key: _Source) -> _CachedFile | None:
        """The file, or None if it is large."""
        limit = min(self.small_bytes, self.max_bytes)
        try:
            return await self._fetch_into_cache(source, key, limit)
        except InvalidModel as error:
            if error.reason != "TooLarge" or limit == self.max_bytes:
                raise
        _remember(self._large, key, None)
        return None

    async def _fetch_into_cache(
        self, source: ModelSource, key: _Source, max_bytes: int
    ) -> _CachedFile:
        self._fetched += 1
        folder = self._scratch / str(self._fetched)
        folder.mkdir()
        try:
            # In a folder of its own: a model's external data may be in its folder only.
            size = await self.fetch(source, key[0], folder / "model.onnx", max_bytes)
        except BaseException:
            _remove(folder / "model.onnx")
            raise
        before = self._cached.pop(key, None)
        if before is not None and not before.users:
            _remove(before.path)
        file = self._cached[key] = _CachedFile(folder / "model.onnx", size)
        return file

    def _drop_large(self, except_for: _Source) -> None:
        for key, file in list(self._cached.items()):
            if file.size > self.small_bytes and key != except_for and not file.users:
                _remove(self._cached.pop(key).path)

    def _shrink(self) -> None:
        """Remove the small files that were used least recently; the large one has its own place."""
        small = {key: f for key, f in self._cached.items() if f.size <= self.small_bytes}
        total = sum(file.size for file in small.values())
        for key, file in small.items():
            if total <= self.cache_bytes:
                return
            if not file.users:
                _remove(self._cached.pop(key).path)
                total -= file.size

    # --- transfer --------------------------------------------------------------------------------

    async def _download(
        self, address: Address, source: ModelSource, namespace: str, target: Path, max_bytes: int
    ) -> None:
        key = (namespace, server_of(source.uri))
        state = self._servers.get(key, _ServerState())
        wait_s = state.next_s - self.clock()
        if wait_s > 0:
            # No time in the text: each change would be written.
            text = f"the server of {address.shown} failed before; it is tried again later"
            raise Throttled(text, wait_s)
        limits = DownloadLimits(max_bytes, self.timeout_s)
        try:
            await asyncio.get_running_loop().run_in_executor(
                self._pool,
                lambda: download(
                    address,
                    target,
                    sha256=source.sha256,
                    limits=limits,
                    destinations=self.destinations,
                ),
            )
        except AddressNotAllowed:
            raise
        except Unavailable as error:
            # An error of the address, such as 404, is none of the server.
            status = error.status if isinstance(error, HttpStatusError) else 500
            if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                failures = state.failures + 1
                next_s = self.clock() + SERVER_BACKOFF.delay_s(failures)
                _remember(self._servers, key, _ServerState(failures, next_s))
            raise
        self._servers.pop(key, None)

    async def _from_config_map(self, address: Address, namespace: str) -> bytes:
        name, key = address.host, address.path
        config_map = await self.cluster.get(CONFIG_MAPS, name, namespace)
        if config_map is None:
            raise Unavailable(f"ConfigMap {name!r} not found in namespace {namespace!r}")
        encoded = (config_map.get("binaryData") or {}).get(key)
        if encoded is None:
            raise InvalidModel("KeyNotFound", f"ConfigMap {name!r} has no binaryData key {key!r}")
        return base64.b64decode(encoded)

    def _check(self, content: bytes, source: ModelSource) -> None:
        if len(content) > self.max_bytes:
            limit = f"{self.max_bytes / 2**20:.0f} MiB"
            raise InvalidModel("TooLarge", f"{source.uri} is larger than {limit}")
        digest = hashlib.sha256(content).hexdigest()
        if digest != source.sha256:
            text = f"{source.uri} has sha256 {digest}, expected {source.sha256}"
            raise InvalidModel("DigestMismatch", text)


def _remember(known: OrderedDict[_K, _V], key: _K, value: _V) -> None:
    known[key] = value
    known.move_to_end(key)
    if len(known) > MAX_KNOWN:
        known.popitem(last=False)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.parent.rmdir()
