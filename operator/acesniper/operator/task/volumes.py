"""How a pod gets at what an address names: volumes, Secrets, and what its container is told.

Secrets and ConfigMaps are optional volumes: a pod that waits for one that is missing would keep its
device busy for ever; so it starts, says what is missing, and fails.
"""

from dataclasses import dataclass, field

from acesniper.api.address import Address
from acesniper.api.objects import Json

FILES = "/mnt/acesniper"
SECRETS = "/run/acesniper"
CACHE = "/var/cache/acesniper"


@dataclass(frozen=True, slots=True)
class NodeCache:
    """The folder of each node in which models stay, and how much of them at most."""

    folder: str
    most_bytes: int


@dataclass(slots=True)
class PodVolumes:
    """Collects a pod's volumes and where its container has them."""

    volumes: list[Json] = field(default_factory=list)
    mounts: list[Json] = field(default_factory=list)

    def path(self, role: str, address: Address, *, write: bool = False) -> str:
        """What the container is told: a path in a volume, or the address itself."""
        folder = f"{FILES}/{role}"
        match address.scheme:
            case "pvc":
                return f"{self._claim(address.host, write=write)}/{address.path}"
            case "configmap":
                # Not `items`: a key that is missing there is an error, whatever is optional.
                source = {"name": address.host, "optional": True}
                self._add(role, {"configMap": source}, folder)
                return f"{folder}/{address.path}"
            case "hostpath":
                # Its folder: where a file is missing, the runtime would make a folder of its name.
                parent, _, name = address.path.rpartition("/")
                self._add(role, {"hostPath": {"path": parent or "/"}}, folder)
                return f"{folder}/{name}"
        return address.uri

    def secret(self, role: str, name: str) -> str:
        """The folder with a Secret's keys."""
        folder = f"{SECRETS}/{role}"
        source = {"secretName": name, "optional": True}
        self._add(f"{role}-secret", {"secret": source}, folder)
        return folder

    def cache(self, cache: NodeCache) -> str:
        """The folder of the node's cache."""
        source = {"path": cache.folder, "type": "DirectoryOrCreate"}
        self._add("cache", {"hostPath": source}, CACHE, write=True)
        return CACHE

    def _claim(self, claim: str, *, write: bool) -> str:
        """A claim is mounted once, however many files in it are named."""
        folder = f"{FILES}/claims/{claim}"
        for mount in self.mounts:
            if mount["mountPath"] == folder:
                if write:
                    mount.pop("readOnly", None)
                return folder
        number = sum("persistentVolumeClaim" in each for each in self.volumes)
        source = {"persistentVolumeClaim": {"claimName": claim}}
        self._add(f"claim-{number}", source, folder, write=write)
        return folder

    def _add(self, name: str, source: Json, folder: str, *, write: bool = False) -> None:
        self.volumes.append({"name": name, **source})
        self.mounts.append(
            {"name": name, "mountPath": folder, **({} if write else {"readOnly": True})}
        )


def without_cache(pod: Json) -> Json | None:
    """The same pod where the cache's volume is not allowed; None if it has none."""
    spec = pod["spec"]
    if not any(each["name"] == "cache" for each in spec.get("volumes") or ()):
        return None
    container = spec["containers"][0]
    if "--cache" not in (container.get("args") or ()):
        return None
    arguments = list(container["args"])
    for option in ("--cache", "--cache-bytes"):
        at = arguments.index(option)
        del arguments[at : at + 2]
    mounts = [each for each in container["volumeMounts"] if each["name"] != "cache"]
    container = {**container, "args": arguments, "volumeMounts": mounts}
    volumes = [each for each in spec["volumes"] if each["name"] != "cache"]
    return {**pod, "spec": {**spec, "containers": [container], "volumes": volumes}}
