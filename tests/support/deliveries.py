"""One example model in every kind of source."""

import base64
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acesniper.testbed import ControlPlane
from acesniper.testbed.stores import ObjectStore, Registry
from real_tasks import MODEL, MODELS, make

CLAIM = "data"


@dataclass(frozen=True, slots=True)
class Delivery:
    """An address, and the Secret with its credentials."""

    uri: str
    secret: str | None = None


@dataclass(frozen=True, slots=True)
class Deliveries:
    """Puts the model into stores on `host`, volumes in `folder`, and objects of the cluster."""

    plane: ControlPlane
    host: str
    folder: Path

    def prepare(self, http: str) -> Mapping[str, Delivery]:
        return {
            "http": Delivery(http),
            "configmap": self._config_map(),
            "hostpath": self._host_path(),
            "pvc": self._claim(),
            "s3": self._bucket(),
            "oci": self._registry(),
        }

    def _config_map(self) -> Delivery:
        content = base64.b64encode((MODELS / MODEL).read_bytes()).decode()
        self._make("v1", "ConfigMap", "models", binaryData={MODEL: content})
        return Delivery(f"configmap://models/{MODEL}")

    def _host_path(self) -> Delivery:
        return Delivery(f"hostpath://{self._copy('host')}")

    def _claim(self) -> Delivery:
        """A writable volume, also for outputs."""
        model = self._copy("volume")
        capacity = {"storage": "1Gi"}
        shared: dict[str, Any] = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
        self._make(
            "v1",
            "PersistentVolume",
            CLAIM,
            spec={**shared, "capacity": capacity, "hostPath": {"path": str(model.parent)}},
        )
        claim = {**shared, "volumeName": CLAIM, "resources": {"requests": capacity}}
        self._make("v1", "PersistentVolumeClaim", CLAIM, spec=claim)
        return Delivery(f"pvc://{CLAIM}/{MODEL}")

    def _bucket(self) -> Delivery:
        model = self._copy("objects/models")
        store = ObjectStore.start(self.plane.children, model.parents[1], self.host)
        self._make("v1", "Secret", "bucket", stringData=store.secret)
        return Delivery(f"s3://models/{MODEL}", "bucket")

    def _registry(self) -> Delivery:
        folder = self.folder / "registry"
        folder.mkdir()
        registry = Registry.start(self.plane.children, folder, self.host)
        registry.push("models/squeezenet", (MODELS / MODEL).read_bytes())
        config = {"auths": {f"{registry.host}:{registry.port}": registry.secret}}
        self._make(
            "v1",
            "Secret",
            "registry",
            type="kubernetes.io/dockerconfigjson",
            stringData={".dockerconfigjson": json.dumps(config)},
        )
        return Delivery(f"{registry.address}/models/squeezenet:v1", "registry")

    def _copy(self, place: str) -> Path:
        folder = self.folder / place
        folder.mkdir(parents=True)
        folder.chmod(0o777)  # pods are not root
        return Path(shutil.copy(MODELS / MODEL, folder))

    def _make(self, version: str, kind: str, name: str, **rest: Any) -> None:  # noqa: ANN401
        make(self.plane, {"apiVersion": version, "kind": kind, "metadata": {"name": name}, **rest})
