"""Brings a model's file here: bounded in size and time, and only the bytes that were asked for."""

import base64
import hashlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from acesniper.api.v1alpha1 import ModelSource
from acesniper.domain.errors import InvalidModel, Unavailable
from acesniper.runtime.kube import CONFIG_MAPS, Cluster

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Fetches from http(s) and from ConfigMaps of the model's own namespace."""

    cluster: Cluster
    max_bytes: int
    timeout_s: float

    async def fetch(self, source: ModelSource, namespace: str, target: Path) -> None:
        """Write the file to `target`.

        Raises:
            Unavailable: it cannot be had now.
            InvalidModel: TooLarge, DigestMismatch, NoSuchKey: it will never be what was asked for.
        """
        try:
            found = await self._write(source.uri, namespace, target)
        except OSError as error:
            raise Unavailable(f"{source.uri} cannot be kept here: {error}") from error
        if found != source.sha256:
            text = f"{source.uri} has sha256 {found}, spec.source.sha256 says {source.sha256}"
            raise InvalidModel("DigestMismatch", text)

    async def _write(self, uri: str, namespace: str, target: Path) -> str:
        digest = hashlib.sha256()
        size = 0
        async with aclosing(self._chunks(uri, namespace)) as chunks:
            with target.open("wb") as file:
                async for chunk in chunks:
                    size += len(chunk)
                    if size > self.max_bytes:
                        limit = f"{self.max_bytes / 2**20:.0f} MiB"
                        raise InvalidModel("TooLarge", f"{uri} is larger than {limit}")
                    digest.update(chunk)
                    file.write(chunk)
        return digest.hexdigest()

    async def _chunks(self, uri: str, namespace: str) -> AsyncGenerator[bytes, None]:
        if uri.startswith("configmap://"):
            yield await self._from_config_map(uri, namespace)
            return
        limits = aiohttp.ClientTimeout(total=self.timeout_s)
        try:
            async with (
                aiohttp.ClientSession(timeout=limits) as session,
                session.get(uri, max_redirects=3) as answer,
            ):
                if answer.status != 200:
                    raise Unavailable(f"{uri} answers {answer.status} {answer.reason}")
                async for chunk in answer.content.iter_chunked(CHUNK_BYTES):
                    yield chunk
        except (aiohttp.ClientError, TimeoutError) as error:
            why = str(error) or type(error).__name__
            raise Unavailable(f"{uri} cannot be fetched: {why}") from error

    async def _from_config_map(self, uri: str, namespace: str) -> bytes:
        name, _, key = uri.removeprefix("configmap://").partition("/")
        found = await self.cluster.get(CONFIG_MAPS, name, namespace)
        if found is None:
            raise Unavailable(f"there is no ConfigMap {name!r} in namespace {namespace!r}")
        encoded = (found.get("binaryData") or {}).get(key)
        if encoded is None:
            raise InvalidModel("NoSuchKey", f"ConfigMap {name!r} has no binaryData key {key!r}")
        return base64.b64decode(encoded)
