"""Brings a model's file to the operator: what anyone may read, over the network or as a ConfigMap.

What needs a Secret or a volume is not read here: the operator has no right to see Secrets, and
mounts nothing. A pod beside the task's does (`operator/model_readers.py`).
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
            InvalidModel: TooLarge, DigestMismatch, KeyNotFound; retrying will not help.
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
            raise InvalidModel("KeyNotFound", f"ConfigMap {name!r} has no binaryData key {key!r}")
        return base64.b64decode(encoded)

    def _check(self, content: bytes, source: ModelSource) -> None:
        if len(content) > self.max_bytes:
            limit = f"{self.max_bytes / 2**20:.0f} MiB"
            raise InvalidModel("TooLarge", f"{source.uri} is larger than {limit}")
        found = hashlib.sha256(content).hexdigest()
        if found != source.sha256:
            text = f"{source.uri} has sha256 {found}, not {source.sha256}, which was asked for"
            raise InvalidModel("DigestMismatch", text)


LONGEST_S = 900
"""A pod that reads for longer is ended: its store or its volume does not answer."""
RESOURCES = {
    "requests": {"cpu": "100m", "memory": "256Mi"},
    "limits": {"cpu": "1", "memory": "2Gi"},
}


def needs_pod(source: ModelSource) -> bool:
    """Whether only a pod can get at the model."""
    return bool(source.secret) or source.uri.startswith(("pvc://", "hostpath://"))


@dataclass(frozen=True, slots=True)
class ModelReaderPods:
    """Makes the pods, and reads what they say."""

    cluster: Cluster
    image: str

    async def read(self, profile: ModelProfile) -> ModelFeatures | None:
        """The features; None while the pod is at it.

        Raises:
            InvalidModel: the model cannot be used.
            Unavailable: it cannot be had now, or the pod was lost; the next call tries again.
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
        found = messages.unpack_features(message, FEATURE_NAMES)
        if found is None:
            raise Unavailable(f"the pod that reads it: {failure_message(pod)}")
        return found

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
            raise Unavailable(f"the pod that reads it is refused: {error}") from error


def reader_name(profile: ModelProfile) -> str:
    """A function of the profile: making the pod twice is a conflict."""
    digest = hashlib.sha256(profile.metadata["uid"].encode()).hexdigest()[:10]
    stem = str(profile.metadata["name"]).replace(".", "-")[:40].rstrip("-")
    return f"{stem}-read-{digest}"


def reader_pod(profile: ModelProfile, image: str) -> Json:
    """The pod that reads a profile's model. Raises InvalidInput for an address that is none."""
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
        "spec": {**pod, "restartPolicy": "Never", "activeDeadlineSeconds": LONGEST_S},
    }


def _owner(metadata: Mapping[str, Any]) -> Json:
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelProfile",
        "name": metadata["name"],
        "uid": metadata["uid"],
    }
