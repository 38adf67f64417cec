"""The operator's mirror of the cluster: tasks, their pods, models, devices and nodes.

What we wrote ourselves is taken at once from the server's answer; an older version that a watch
brings later is ignored.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from acesniper.api import convert
from acesniper.api.names import DECISION_ANNOTATION, TASK_LABEL
from acesniper.api.objects import PodView, namespaced_key
from acesniper.api.reasons import ConditionType
from acesniper.api.v1alpha1 import FINISHED, ApiType, DeviceProfile, InferenceTask, ModelProfile
from acesniper.operator.hearing import Hearing

FIELDS = "managedFields"
"""Who wrote which field: half of an object, and of no use to us."""
OWNED = ("name", "namespace", "uid", "resourceVersion", "ownerReferences")
"""What is asked of the pods of a task that has finished."""


def object_key(obj: Mapping[str, Any]) -> str:
    """`namespace/name`, or just the name of a cluster object."""
    metadata = obj["metadata"]
    namespace = metadata.get("namespace")
    return f"{namespace}/{metadata['name']}" if namespace else str(metadata["name"])


@dataclass(slots=True)
class ObjectCache:
    """Objects by key. Pods are kept by the key of their task, then by name."""

    tasks: dict[str, InferenceTask] = field(default_factory=dict)
    models: dict[str, ModelProfile] = field(default_factory=dict)
    devices: dict[str, DeviceProfile] = field(default_factory=dict)
    nodes: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    pods: dict[str, dict[str, tuple[PodView, Mapping[str, Any]]]] = field(default_factory=dict)
    priorities: dict[str, int] = field(default_factory=dict)
    """Values of PriorityClasses by name."""
    hearing: Hearing = field(default_factory=Hearing)

    def take_task(self, obj: Mapping[str, Any]) -> str:
        """Keep a task; returns its key."""
        return self._take(self.tasks, obj, InferenceTask)

    def settle_task(self, key: str) -> None:
        """Keep little of a task that has finished: thousands of them stay, and nothing changes."""
        task = self.tasks[key]
        told = {"decision": None, "predicted": None, "observed": None, "message": None}
        ended = [each for each in task.status.conditions if each.type == ConditionType.FINISHED]
        settled = task.status.model_copy(update={**told, "conditions": ended})
        self.tasks[key] = task.model_copy(update={"status": settled})
        for name, (view, pod) in self.pods.get(key, {}).items():
            bare = replace(view, decision=None, affinity={})
            owned = {each: pod["metadata"].get(each) for each in OWNED}
            self.pods[key][name] = bare, {"metadata": owned, "spec": {}, "status": {}}

    def take_model(self, obj: Mapping[str, Any]) -> str:
        """Keep a model profile; returns its key."""
        return self._take(self.models, obj, ModelProfile)

    def take_device(self, obj: Mapping[str, Any]) -> str:
        """Keep a device profile; returns its key."""
        return self._take(self.devices, obj, DeviceProfile)

    def take_node(self, obj: Mapping[str, Any]) -> None:
        """Keep what decisions ask of a node; whole ones are large."""
        metadata, spec = obj["metadata"], obj.get("spec") or {}
        self.nodes[str(metadata["name"])] = {
            "metadata": {"labels": metadata.get("labels") or {}},
            "spec": {"unschedulable": spec.get("unschedulable")},
            "status": obj.get("status", {}),
        }

    def drop_task(self, obj: Mapping[str, Any]) -> None:
        """Forget a task that is gone."""
        _drop(self.tasks, obj)

    def drop_model(self, obj: Mapping[str, Any]) -> None:
        """Forget a model profile that is gone."""
        _drop(self.models, obj)

    def drop_device(self, obj: Mapping[str, Any]) -> None:
        """Forget a device profile that is gone."""
        _drop(self.devices, obj)

    def take_pod(self, obj: Mapping[str, Any]) -> str | None:
        """Keep a pod; returns the key of its task, None for a pod that belongs to none."""
        view = PodView.of(obj)
        if view.task is None:
            return None
        task = namespaced_key(view.namespace, str(view.task))
        pods = self.pods.setdefault(task, {})
        known = pods.get(view.name)
        if known is None or known[0].uid != view.uid or not _older(obj, known[1]):
            pods[view.name] = (view, _slim(obj))
        return task

    def drop_pod(self, obj: Mapping[str, Any]) -> str | None:
        """Forget a pod that is gone; returns the key of its task."""
        metadata = obj["metadata"]
        uid, name = metadata["uid"], metadata["name"]
        told = f"{metadata['namespace']}/{(metadata.get('labels') or {}).get(TASK_LABEL)}"
        # Somebody may have changed its label: then it is looked for everywhere.
        for task in [told] if name in self.pods.get(told, {}) else self.pods:
            pods = self.pods[task]
            if (known := pods.get(name)) is not None and known[0].uid == uid:
                del pods[name]
                if not pods:
                    del self.pods[task]
                return task
        return None

    def pods_of(self, key: str, uid: str) -> dict[str, tuple[PodView, Mapping[str, Any]]]:
        """The pods that a task owns, by name."""
        return {
            name: (view, obj)
            for name, (view, obj) in self.pods.get(key, {}).items()
            if any(owner["uid"] == uid for owner in obj["metadata"].get("ownerReferences") or ())
        }

    def models_in(self, namespace: str) -> "NamespaceModels":
        """The model profiles of a namespace, by name."""
        return NamespaceModels(self.models, namespace)

    def tasks_of_model(self, model: str) -> list[str]:
        """Keys of unfinished tasks that name a profile or were resolved to it."""
        namespace, _, name = model.partition("/")
        return [
            key
            for key, task in self.tasks.items()
            if task.metadata["namespace"] == namespace
            and task.status.phase not in FINISHED
            and (task.spec.model is None or name.startswith(task.spec.model[:40].rstrip("-.")))
        ]

    def tasks_on(self, node: str) -> list[str]:
        """Keys of the tasks that have a pod on a node."""
        return [
            task
            for task, pods in self.pods.items()
            if any(view.node == node and not view.finished for view, _ in pods.values())
        ]

    def slots_of(self, node: str) -> int:
        """How many tasks the devices of a node run at a time."""
        return sum(each.spec.slots for each in self.devices.values() if each.spec.node == node)

    def _take(self, kept: dict[str, Any], obj: Mapping[str, Any], model: type[ApiType]) -> str:
        key = object_key(obj)
        known = kept.get(key)
        same = known is not None and known.metadata["uid"] == obj["metadata"]["uid"]
        if known is None or not same or not _older(obj, {"metadata": known.metadata}):
            kept[key] = convert.parse_resource(model, {**obj, "metadata": _metadata(obj)})
        return key


@dataclass(frozen=True, slots=True)
class NamespaceModels(Mapping[str, ModelProfile]):
    """The model profiles of one namespace by name, without copying them."""

    models: Mapping[str, ModelProfile]
    namespace: str

    def __getitem__(self, name: str) -> ModelProfile:
        return self.models[namespaced_key(self.namespace, name)]

    def __iter__(self) -> Any:  # noqa: ANN401 - an iterator of names
        prefix = f"{self.namespace}/"
        return (key[len(prefix) :] for key in self.models if key.startswith(prefix))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _slim(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    """A pod without its fat: thousands of whole ones would fill the memory.

    What is left out of its annotations is in its view; of its spec, only containers are asked for.
    """
    metadata = _metadata(pod)
    annotations = metadata.get("annotations") or {}
    if DECISION_ANNOTATION in annotations:
        kept = {name: value for name, value in annotations.items() if name != DECISION_ANNOTATION}
        metadata["annotations"] = kept
    spec = {"containers": pod["spec"].get("containers") or []}
    return {"metadata": metadata, "spec": spec, "status": pod.get("status", {})}


def _metadata(obj: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in obj["metadata"].items() if name != FIELDS}


def _drop(kept: dict[str, Any], obj: Mapping[str, Any]) -> None:
    """Forget an object, but not another of the same name that has taken its place already."""
    key = object_key(obj)
    if (known := kept.get(key)) is not None and known.metadata["uid"] == obj["metadata"]["uid"]:
        del kept[key]


def _older(left: Mapping[str, Any], right: Mapping[str, Any]) -> bool:
    """Whether `left` is an older version of the same object (versions are comparable numbers)."""
    versions: Iterable[str] = (
        each["metadata"].get("resourceVersion") or "0" for each in (left, right)
    )
    first, second = map(int, versions)
    return first < second
