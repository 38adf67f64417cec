"""Generated pods and nodes, and what kube-scheduler decides about them.

Each pair has a node of its own: the pod selects it by a label that no other node has. All pairs of
a run are created together, so that one scheduler decides about hundreds of them in seconds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from acesniper.api.names import PERSISTENT_VOLUMES, STORAGE_CLASSES, VOLUME_CLAIMS, Kind
from acesniper.api.objects import Json
from acesniper.testbed.kwok import make_node

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PAIR = "agreement.acesniper.io/pair"
LABELS: Mapping[str, Sequence[str]] = {
    "zone": ("a", "b"),
    "disk": ("ssd", "hdd", ""),
    "rank": ("3", "10", "0", "x", "007"),
}
EFFECTS = ("NoSchedule", "NoExecute", "PreferNoSchedule")
UNBOUND_CLASSES = {"topology": "agreement-topology", "immediate": "agreement-immediate"}
"""Storage classes of claims that stay unbound: by zone for the first pod, and at once."""
OVERHEAD_CLASS = "agreement-overhead"
TOPOLOGY = "topology.kubernetes.io/zone"
TOPICS = ("taints", "cordon", "selector", "affinity", "resources", "volume")


@dataclass(frozen=True, slots=True)
class Pair:
    """A generated node and pod, with the node's other pod and the pod's volumes."""

    number: int
    topics: tuple[str, ...]
    node: Json
    pod: Json
    other: Json | None
    objects: tuple[tuple[Kind, Json], ...]


@dataclass(slots=True)
class PairGenerator:
    """Generates pairs from a seed: the same ones for the same seed and namespace."""

    seed: int
    namespace: str
    _random: Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = Random(self.seed)  # noqa: S311 - reproducible, not secret

    def pair(self, number: int) -> Pair:
        """The next pair. Few topics each, so that both answers are frequent."""
        draw = self._random
        topics = tuple(draw.sample(TOPICS, draw.choice((1, 1, 1, 2))))
        name = f"{self.namespace}-{number}"
        node = make_node(name, labels={PAIR: name, **self._labels()})
        if draw.random() < 0.5:
            node["metadata"]["labels"][TOPOLOGY] = draw.choice("ab")
        node["spec"] = {}
        container: Json = {"name": "main", "image": "example", "resources": {}}
        spec: Json = {
            "schedulerName": "default-scheduler",
            "containers": [container],
            "nodeSelector": {PAIR: name},
            "terminationGracePeriodSeconds": 0,
        }
        other: Json | None = None
        objects: tuple[tuple[Kind, Json], ...] = ()
        if "taints" in topics:
            node["spec"]["taints"] = self._taints()
        if "cordon" in topics:
            node["spec"]["unschedulable"] = draw.random() < 0.7
        if draw.random() < 0.6:
            spec["tolerations"] = self._tolerations()
        if "selector" in topics:
            key = draw.choice([*LABELS, "kubernetes.io/hostname"])
            spec["nodeSelector"][key] = draw.choice([*LABELS.get(key, ()), name])
        if "affinity" in topics:
            spec["affinity"] = {"nodeAffinity": {REQUIRED: self._selector(name)}}
        if "resources" in topics:
            other = self._shape_resources(name, node, spec)
        if "volume" in topics:
            objects = tuple(self._volume(name, spec))
        metadata = {"name": name, "namespace": self.namespace}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
        return Pair(number, topics, node, pod, other, objects)

    def _labels(self) -> dict[str, str]:
        draw = self._random
        return {key: draw.choice(values) for key, values in LABELS.items() if draw.random() < 0.7}

    def _taints(self) -> list[Json]:
        draw = self._random
        taints = {}
        for _ in range(draw.choice((1, 1, 2))):
            key, effect = draw.choice(("gpu", "team", "level")), draw.choice(EFFECTS)
            value = draw.choice(("5", "20")) if key == "level" else draw.choice(("", "a", "b"))
            taints[key, effect] = {"key": key, "effect": effect, "value": value}
        return list(taints.values())

    def _tolerations(self) -> list[Json]:
        draw = self._random
        choices: list[Json] = [
            {"operator": "Exists"},
            {"operator": "Exists", "effect": "NoSchedule"},
            {"key": "gpu", "operator": "Exists"},
            {"key": "gpu", "operator": "Equal", "value": draw.choice(("", "a", "b"))},
            {"key": "gpu", "value": "a", "effect": draw.choice(EFFECTS)},
            {"key": "team", "value": draw.choice("ab")},
            {"key": "team", "operator": "Exists", "effect": draw.choice(EFFECTS)},
            {"key": "level", "value": "5"},
            {"key": "node.kubernetes.io/unschedulable", "operator": "Exists"},
            {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"},
        ]
        return draw.sample(choices, draw.choice((1, 1, 2, 3)))

    def _selector(self, name: str) -> Json:
        draw = self._random
        return {"nodeSelectorTerms": [self._term(name) for _ in range(draw.choice((1, 1, 2)))]}

    def _term(self, name: str) -> Json:
        draw = self._random
        term: Json = {
            "matchExpressions": [self._expression() for _ in range(draw.choice((0, 1, 1, 2)))]
        }
        if draw.random() < 0.3:
            operator, named = draw.choice(("In", "In", "NotIn")), draw.choice((name, "another"))
            term["matchFields"] = [
                {"key": "metadata.name", "operator": operator, "values": [named]}
            ]
        return term

    def _expression(self) -> Json:
        draw = self._random
        key = draw.choice(list(LABELS))
        operator = draw.choice(("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"))
        expression: Json = {"key": key, "operator": operator}
        if operator in ("Gt", "Lt"):
            expression |= {"key": "rank", "values": [draw.choice(("3", "5", "9"))]}
        elif operator in ("In", "NotIn"):
            expression["values"] = draw.sample(LABELS[key], draw.choice((1, 2)))
        return expression

    def _shape_resources(self, name: str, node: Json, spec: Json) -> Json | None:
        """Give node and pod resources; returns another pod that runs on the node."""
        draw = self._random
        amounts = {
            "cpu": draw.choice(("1", "2", "1500m")),
            "memory": draw.choice(("1Gi", "2G", "3000000k")),
            "ephemeral-storage": draw.choice(("1Gi", "10Gi")),
            "pods": draw.choice(("1", "110", "110")),
        }
        if draw.random() < 0.5:
            amounts["example.com/fpga"] = draw.choice(("0", "1", "2"))
        node["status"]["allocatable"] = node["status"]["capacity"] = amounts
        self._request(spec)
        if draw.random() < 0.4:
            return None
        other: Json = {"containers": [{"name": "main", "image": "example", "resources": {}}]}
        self._request(other)
        other |= {"nodeName": name, "terminationGracePeriodSeconds": 0}
        metadata = {"name": f"{name}-other", "namespace": self.namespace}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": other}

    def _request(self, spec: Json) -> None:
        draw = self._random
        spec["containers"][0]["resources"] = self._resources(extended=True)
        if draw.random() < 0.3:
            more = {"name": "more", "image": "example", "resources": self._resources()}
            spec["containers"].append(more)
        for number in range(draw.choice((0, 0, 1, 2, 3))):
            container: Json = {"name": f"init-{number}", "image": "example"}
            container["resources"] = self._resources()
            if draw.random() < 0.5:
                container["restartPolicy"] = "Always"
            spec.setdefault("initContainers", []).append(container)
        if draw.random() < 0.2:
            spec["runtimeClassName"] = OVERHEAD_CLASS
        if draw.random() < 0.2:
            spec["resources"] = {"requests": {"cpu": "1800m"}, "limits": {"cpu": "3"}}
            for container in [*spec["containers"], *spec.get("initContainers", ())]:
                # The whole must be at least the sum of its parts.
                container["resources"] = {"requests": {"cpu": "100m"}}

    def _resources(self, *, extended: bool = False) -> Json:
        draw = self._random
        requests = {}
        if draw.random() < 0.8:
            requests["cpu"] = draw.choice(("100m", "0.5", "1", "999m", "1001m"))
        if draw.random() < 0.5:
            requests["memory"] = draw.choice(("100Mi", "1Gi", "1e9", "2000000000500m"))
        if draw.random() < 0.3:
            requests["ephemeral-storage"] = draw.choice(("500Mi", "2Gi"))
        resources: Json = {draw.choice(("requests", "requests", "limits")): requests}
        if extended and draw.random() < 0.3:
            fpga = {"example.com/fpga": "1"}
            resources["limits"] = {**resources.get("limits", {}), **fpga}
        return resources

    def _volume(self, name: str, spec: Json) -> list[tuple[Kind, Json]]:
        draw = self._random
        spec["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": name}}]
        kind = draw.choice(("bound", "bound", "zone", "missing", "first", "topology", "immediate"))
        storage_class = UNBOUND_CLASSES.get(kind, name)
        if kind == "missing":
            return []
        claim: Json = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": storage_class,
                "resources": {"requests": {"storage": draw.choice(("1Gi", "3Gi"))}},
            },
        }
        objects: list[tuple[Kind, Json]] = [(VOLUME_CLAIMS, claim)]
        if kind == "topology":
            claim["spec"]["storageClassName"] = f"{storage_class}-{draw.choice('ab')}"
        elif kind in ("bound", "zone", "first"):
            volume = self._persistent_volume(name, storage_class, kind)
            objects.insert(0, (PERSISTENT_VOLUMES, volume))
            if kind == "first":
                objects.insert(0, (STORAGE_CLASSES, storage_class_manifest(storage_class)))
            else:
                claim["spec"] |= {"volumeName": name, "storageClassName": "agreement-none"}
                claim["spec"]["resources"] = {"requests": {"storage": "1Gi"}}
                volume["spec"]["storageClassName"] = "agreement-none"
        return objects

    def _persistent_volume(self, name: str, storage_class: str, kind: str) -> Json:
        draw = self._random
        labels = {TOPOLOGY: draw.choice(("a", "b", "a__b"))} if kind == "zone" else {}
        affinity = {} if kind == "zone" else {"nodeAffinity": {"required": self._zones()}}
        return {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": name, "labels": labels},
            "spec": {
                "capacity": {"storage": "2Gi"},
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": storage_class,
                "persistentVolumeReclaimPolicy": "Retain",
                **({"csi": {"driver": "example", "volumeHandle": name}} if kind == "zone" else {}),
                **({} if kind == "zone" else {"local": {"path": "/data"}}),
                **affinity,
            },
        }

    def _zones(self) -> Json:
        expressions = [self._expression() for _ in range(self._random.choice((1, 1, 2)))]
        return {"nodeSelectorTerms": [{"matchExpressions": expressions}]}


def storage_class_manifest(
    name: str, *, provisioner: str = "kubernetes.io/no-provisioner", zone: str = "", mode: str = ""
) -> Json:
    """A storage class that binds claims for their first pod, unless `mode` says otherwise."""
    expressions = [{"key": TOPOLOGY, "values": [zone]}]
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name},
        "provisioner": provisioner,
        "volumeBindingMode": mode or "WaitForFirstConsumer",
        **({"allowedTopologies": [{"matchLabelExpressions": expressions}]} if zone else {}),
    }
