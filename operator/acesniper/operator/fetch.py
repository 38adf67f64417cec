"""Brings a model's file to the operator: what anyone may read, over the network or as a ConfigMap.

What needs a Secret or a volume is not read here: the operator has no right to see Secrets, and
mounts nothing. A pod beside the task's does (`operator/model_readers.py`).
"""

import asyncio
import base64
import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from acesniper.api.address import Address
from acesniper.api.names import CONFIG_MAPS
from acesniper.api.v1alpha1 import ModelSource
from acesniper.domain.errors import InvalidInput, InvalidModel, Unavailable
from acesniper.runtime.artifacts import DownloadLimits, download
from acesniper.runtime.client import Cluster

FETCHES = 16
"""At a time; they have threads of their own, so that slow servers hold nothing else up."""


def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(FETCHES, thread_name_prefix="fetch")


@dataclass(frozen=True, slots=True)
class ModelFetcher:
    """Fetches from the network and from ConfigMaps of the model's own namespace."""

    cluster: Cluster
    max_bytes: int
    timeout_s: float
    _pool: ThreadPoolExecutor = field(default_factory=_threads)

    async def fetch(self, source: ModelSource, namespace: str, target: Path) -> None:
        """Write the file to `target`.

        Raises:
            Unavailable: it cannot be had now.
            InvalidModel: TooLarge, DigestMismatch, NoSuchKey: it will never be what was asked for.
        """
        try:
            address = Address.parse(source.uri)
        except InvalidInput as error:
            raise InvalidModel("UnsupportedSource", str(error)) from error
        if address.scheme == "configmap":
            content = await self._from_config_map(address, namespace)
            self._check(content, source)
            await asyncio.to_thread(target.write_bytes, content)
            return
        limits = DownloadLimits(self.max_bytes, self.timeout_s)
        await asyncio.get_running_loop().run_in_executor(
            self._pool, lambda: download(address, target, sha256=source.sha256, limits=limits)
        )

    async def _from_config_map(self, address: Address, namespace: str) -> bytes:
        name, key = address.host, address.path
        found = await self.cluster.get(CONFIG_MAPS, name, namespace)
        if found is None:
            raise Unavailable(f"there is no ConfigMap {name!r} in namespace {namespace!r}")
        encoded = (found.get("binaryData") or {}).get(key)
        if encoded is None:
            raise InvalidModel("NoSuchKey", f"ConfigMap {name!r} has no binaryData key {key!r}")
        return base64.b64decode(encoded)

    def _check(self, content: bytes, source: ModelSource) -> None:
        if len(content) > self.max_bytes:
            limit = f"{self.max_bytes / 2**20:.0f} MiB"
            raise InvalidModel("TooLarge", f"{source.uri} is larger than {limit}")
        found = hashlib.sha256(content).hexdigest()
        if found != source.sha256:
            text = f"{source.uri} has sha256 {found}, not {source.sha256}, which was asked for"
            raise InvalidModel("DigestMismatch", text)
