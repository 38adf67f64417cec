"""Pods that read models in the model's namespace.

The operator may not read Secrets, mounts no volumes, and connects to addresses of the public
internet and of named networks only. For models that need anything else, `ModelReaderPods` runs a
pod that reports the features in its termination message.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from acesniper.api import messages
from acesniper.api.messages import terminated_state
from acesniper.api.names import API_VERSION, PODS, READS_LABEL
from acesniper.api.objects import Json
from acesniper.api.v1alpha1 import ModelProfile, ModelSource, ReaderPod
from acesniper.domain.errors import InvalidInput, InvalidModel, Unavailable
from acesniper.domain.model import ModelFeatures
from acesniper.operator.task.pod import model_arguments, pod_spec
from acesniper.operator.task.pod_failure import failure_message
from acesniper.operator.task.volumes import PodVolumes
from acesniper.predictor.features import FEATURE_NAMES, FEATURES_VERSION
from acesniper.runtime.client import Cluster

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
    scratch: str = "8Gi"
    """Size limit of a reader pod's temporary files."""
    features_version: str = FEATURES_VERSION
    _created: dict[str, ReaderPod] = field(default_factory=dict)
    """By the UID of a profile: the pod that reads it, also if its status was not written."""

    async def read(self, profile: ModelProfile) -> ModelFeatures | ReaderPod:
        """The features, or the pod while it runs.

        Only the pod that this operator created counts, by its UID: another one of its name may
        report anything.

        Raises:
            InvalidModel: the model cannot be used.
            Unavailable: it cannot be fetched now, or the pod was lost; the next call retries.
        """
        uid, namespace = str(profile.metadata["uid"]), profile.metadata["namespace"]
        reader = self._created.get(uid) or profile.status.reader_pod
        pod = reader and await self.cluster.get(PODS, reader.name, namespace)
        if not reader or not pod or pod["metadata"]["uid"] != reader.uid:
            self._created[uid] = created = await self._create(profile)
            return created
        if pod["status"].get("phase") not in ("Succeeded", "Failed"):
            return reader
        await self.cluster.delete(PODS, reader.name, namespace, uid=reader.uid)
        self._created.pop(uid, None)
        message = str(terminated_state(pod).get("message", ""))
        features = messages.unpack_features(message, FEATURE_NAMES)
        if features is None:
            raise Unavailable(f"the pod failed to read the model: {failure_message(pod)}")
        if features.version != self.features_version:
            raise Unavailable(
                f"the reader's image has version {features.version} of the features, the operator"
                f" version {self.features_version}; use images of one release"
            )
        return features

    async def _create(self, profile: ModelProfile) -> ReaderPod:
        try:
            manifest = reader_pod(profile, self.image, self.scratch)
        except InvalidInput as error:
            raise InvalidModel("UnsupportedSource", str(error)) from error
        try:
            created = await self.cluster.create(PODS, manifest, profile.metadata["namespace"])
        except InvalidInput as error:
            raise Unavailable(f"the API server rejected the reader pod: {error}") from error
        return ReaderPod(name=created["metadata"]["name"], uid=created["metadata"]["uid"])


def reader_name(profile: ModelProfile) -> str:
    """A name for a reader pod that cannot be known before it is created."""
    stem = str(profile.metadata["name"]).replace(".", "-")[:40].rstrip("-")
    return f"{stem}-read-{secrets.token_hex(5)}"


def reader_pod(profile: ModelProfile, image: str, scratch: str) -> Json:
    """The manifest of a profile's reader pod. Raises InvalidInput for an invalid address."""
    spec, metadata = profile.spec, profile.metadata
    mounts = PodVolumes()
    arguments = ["model", "read", *model_arguments(mounts, spec.source)]
    arguments += ["--batch", str(spec.batch_size)]
    for dimension, size in sorted(spec.input_shapes.items()):
        arguments += ["--shape", f"{dimension}={size}"]
    pod = pod_spec(image, arguments, mounts, scratch)
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
