"""The volumes of a pod: claims, ConfigMaps, host paths, Secrets and the node's model cache.

Secret and ConfigMap volumes are optional: a pod that waits for a missing one would occupy its
device without end. It starts, reports what is missing, and fails.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from acesniper.api.address import Address
from acesniper.api.objects import Json

FILES = "/mnt/acesniper"
SECRETS = "/run/acesniper"
CACHE = "/var/cache/acesniper"


@dataclass(frozen=True, slots=True)
class PodDefaults:
    """What a pod of our runner image gets unless its task says otherwise, as quantities."""

    scratch: str = "8Gi"
    """Size limit of the volume for files that are fetched; the pod is evicted beyond."""
    cpu: str = "100m"
    """Requested cores."""
    memory: str = "256Mi"
    """Requested memory."""

    def requests(self, resources: Mapping[str, Any]) -> Mapping[str, Any]:
        """The requests of a container with these resources; a limit given counts as a request."""
        given = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
        defaults = {"cpu": self.cpu, "memory": self.memory}
        missing = {name: value for name, value in defaults.items() if value and name not in given}
        return {**missing, **(resources.get("requests") or {})}


POD_DEFAULTS = PodDefaults()


@dataclass(frozen=True, slots=True)
class NodeCache:
    """The folder of each node that caches models, and its size limit."""

    folder: str
    max_bytes: int


@dataclass(slots=True)
class PodVolumes:
    """Collects the volumes of a pod and the mounts of its container."""

    volumes: list[Json] = field(default_factory=list)
    mounts: list[Json] = field(default_factory=list)

    def path(self, role: str, address: Address, *, write: bool = False) -> str:
        """The container's argument for an address: a path in a volume, or the address itself."""
        folder = f"{FILES}/{role}"
        match address.scheme:
            case "pvc":
                return f"{self._claim(address.host, write=write)}/{address.path}"
            case "configmap":
                # No `items`: a key missing there is an error even in an optional volume.
                source = {"name": address.host, "optional": True}
                self._add(role, {"configMap": source}, folder)
                return f"{folder}/{address.path}"
            case "hostpath":
                # Mounts the parent: the container runtime would create a folder for a missing file.
                parent, _, name = address.path.rpartition("/")
                self._add(role, {"hostPath": {"path": parent or "/"}}, folder)
                return f"{folder}/{name}"
        return address.uri

    def secret(self, role: str, name: str) -> str:
        """Mount a Secret; returns the folder with its keys."""
        folder = f"{SECRETS}/{role}"
        source = {"secretName": name, "optional": True}
        self._add(f"{role}-secret", {"secret": source}, folder)
        return folder

    def cache(self, cache: NodeCache) -> str:
        """Mount the node's model cache; returns its folder."""
        source = {"path": cache.folder, "type": "DirectoryOrCreate"}
        self._add("cache", {"hostPath": source}, CACHE, write=True)
        return CACHE

    def _claim(self, claim: str, *, write: bool) -> str:
        """Mount a claim, once for all its files; returns its folder."""
        folder = f"{FILES}/claims/{claim}"
        for mount in self.mounts:
            if mount["mountPath"] == folder:
                if write:
                    mount.pop("readOnly", None)
                return folder
        number = sum("persistentVolumeClaim" in volume for volume in self.volumes)
        source = {"persistentVolumeClaim": {"claimName": claim}}
        self._add(f"claim-{number}", source, folder, write=write)
        return folder

    def _add(self, name: str, source: Json, folder: str, *, write: bool = False) -> None:
        self.volumes.append({"name": name, **source})
        self.mounts.append(
            {"name": name, "mountPath": folder, **({} if write else {"readOnly": True})}
        )


def without_cache(pod: Json) -> Json | None:
    """The pod without the volume of the model cache; None if it has none."""
    spec = pod["spec"]
    if not any(volume["name"] == "cache" for volume in spec.get("volumes") or ()):
        return None
    container = spec["containers"][0]
    if "--cache" not in (container.get("args") or ()):
        return None
    arguments = list(container["args"])
    for option in ("--cache", "--cache-bytes"):
        at = arguments.index(option)
        del arguments[at : at + 2]
    mounts = [mount for mount in container["volumeMounts"] if mount["name"] != "cache"]
    container = {**container, "args": arguments, "volumeMounts": mounts}
    volumes = [volume for volume in spec["volumes"] if volume["name"] != "cache"]
    return {**pod, "spec": {**spec, "containers": [container], "volumes": volumes}}
