"""Readers of a model's file: the operator itself, or a pod in the model's namespace.

`ModelFetcher` downloads public URLs and reads ConfigMaps. The operator may not read Secrets and
mounts no volumes: for models that need either, `ModelReaderPods` runs a pod that reports the
features in its termination message.
"""

import asyncio
import base64
import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acesniper.api import messages
from acesniper.api.address import Address
from acesniper.api.messages import terminated_state
from acesniper.api.names import API_VERSION, CONFIG_MAPS, PODS, READS_LABEL
from acesniper.api.objects import Json
from acesniper.api.v1alpha1 import ModelProfile, ModelSource
from acesniper.domain.errors import Conflict, InvalidInput, InvalidModel, Unavailable
from acesniper.domain.model import ModelFeatures
from acesniper.operator.task.pod import model_arguments, pod_spec
from acesniper.operator.task.pod_health import failure_message
from acesniper.operator.task.volumes import PodVolumes
from acesniper.predictor.features import FEATURE_NAMES
from acesniper.runtime.artifacts import DownloadLimits, download
from acesniper.runtime.client import Cluster

FETCHES = 16
"""Concurrent downloads, on threads of their own: a slow server delays nothing else."""


def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(FETCHES, thread_name_prefix="fetch")


@dataclass(frozen=True, slots=True)
class ModelFetcher:
    """Fetches files over the network and from ConfigMaps of the model's namespace."""

    cluster: Cluster
    max_bytes: int
    timeout_s: float
    _pool: ThreadPoolExecutor = field(default_factory=_threads)

    async def fetch(self, source: ModelSource, namespace: str, target: Path) -> None:
        """Write the file to `target`.

        Raises:
            Unavailable: it cannot be fetched now.
            InvalidModel: UnsupportedSource, TooLarge, DigestMismatch or KeyNotFound; not retried.
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


POD_TIMEOUT_S = 900
"""Active deadline of a reader pod: its object store or volume does not respond."""
RESOURCES = {
    "requests": {"cpu": "100m", "memory": "256Mi"},
    "limits": {"cpu": "1", "memory": "2Gi"},
}


def needs_pod(source: ModelSource) -> bool:
    """Whether only a pod can access the model."""
    return bool(source.secret) or source.uri.startswith(("pvc://", "hostpath://"))


@dataclass(frozen=True, slots=True)
class ModelReaderPods:
    """Creates reader pods and parses their termination messages."""

    cluster: Cluster
    image: str

    async def read(self, profile: ModelProfile) -> ModelFeatures | None:
        """The features; None while the pod runs.

        Raises:
            InvalidModel: the model cannot be used.
            Unavailable: it cannot be fetched now, or the pod was lost; the next call retries.
        """
        name, namespace = reader_name(profile), profile.metadata["namespace"]
        pod = await self.cluster.get(PODS, name, namespace)
        if pod is None:
            await self._create(profile)
            return None
        if pod["status"].get("phase") not in ("Succeeded", "Failed"):
            return None
        uid = pod["metadata"]["uid"]
        await self.cluster.delete(PODS, name, namespace, uid=uid)
        message = str(terminated_state(pod).get("message", ""))
        features = messages.unpack_features(message, FEATURE_NAMES)
        if features is None:
            raise Unavailable(f"pod {name} failed to read the model: {failure_message(pod)}")
        return features

    async def _create(self, profile: ModelProfile) -> None:
        try:
            manifest = reader_pod(profile, self.image)
        except InvalidInput as error:
            raise InvalidModel("UnsupportedSource", str(error)) from error
        try:
            await self.cluster.create(PODS, manifest, profile.metadata["namespace"])
        except Conflict:
            return
        except InvalidInput as error:
            raise Unavailable(f"the API server rejected the reader pod: {error}") from error


def reader_name(profile: ModelProfile) -> str:
    """The name of a profile's reader pod: creating it twice is a conflict."""
    digest = hashlib.sha256(profile.metadata["uid"].encode()).hexdigest()[:10]
    stem = str(profile.metadata["name"]).replace(".", "-")[:40].rstrip("-")
    return f"{stem}-read-{digest}"


def reader_pod(profile: ModelProfile, image: str) -> Json:
    """The manifest of a profile's reader pod. Raises InvalidInput for an invalid address."""
    spec, metadata = profile.spec, profile.metadata
    mounts = PodVolumes()
    arguments = ["model", "read", *model_arguments(mounts, spec.source)]
    arguments += ["--batch", str(spec.batch_size)]
    for dimension, size in sorted(spec.input_shapes.items()):
        arguments += ["--shape", f"{dimension}={size}"]
    pod = pod_spec(image, arguments, mounts)
    pod["containers"][0]["resources"] = RESOURCES
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": reader_name(profile),
            "namespace": metadata["namespace"],
            "labels": {READS_LABEL: metadata["name"]},
            "ownerReferences": [_owner(metadata)],
        },
        "spec": {**pod, "restartPolicy": "Never", "activeDeadlineSeconds": POD_TIMEOUT_S},
    }


def _owner(metadata: Mapping[str, Any]) -> Json:
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelProfile",
        "name": metadata["name"],
        "uid": metadata["uid"],
    }
