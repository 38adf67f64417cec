"""Index of volume claims, volumes and storage classes: on which nodes each claim can be used.

It follows kube-scheduler's filters VolumeBinding and VolumeZone. The storage capacity that a CSI
driver reports and limits on the number of volumes are not considered.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from acesniper.api.names import PERSISTENT_VOLUMES, STORAGE_CLASSES, VOLUME_CLAIMS, Kind
from acesniper.api.objects import namespaced_key, object_key
from acesniper.api.pod_rules import amount_of, node_selector, topology_selector
from acesniper.domain.scheduling_rules import (
    LabelRequirement,
    NodeSelector,
    NodeSelectorTerm,
    VolumeRule,
)

Object = Mapping[str, Any]
VOLUME_KINDS = (VOLUME_CLAIMS, PERSISTENT_VOLUMES, STORAGE_CLASSES)
BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
NO_PROVISIONER = "kubernetes.io/no-provisioner"
WAITS = "WaitForFirstConsumer"
ZONES = (
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
)
ZONE_SEPARATOR = "__"


@dataclass(slots=True)
class VolumeIndex(Mapping[str, VolumeRule]):
    """The rule of each claim by `namespace/name`, derived again when an object changes.

    A rule is replaced, never modified: other threads may read while events are applied.
    """

    _rules: dict[str, VolumeRule] = field(default_factory=dict)
    _claims: dict[str, Object] = field(default_factory=dict)
    _volumes: dict[str, Object] = field(default_factory=dict)
    _classes: dict[str, Object] = field(default_factory=dict)
    _claims_of: dict[str, set[str]] = field(default_factory=dict)
    """Claims by the volume that they name."""
    _unbound: set[str] = field(default_factory=set)

    def __getitem__(self, claim: str) -> VolumeRule:
        return self._rules[claim]

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._rules))

    def __len__(self) -> int:
        return len(self._rules)

    def apply(self, kind: Kind, obj: Object, *, deleted: bool) -> bool:
        """Apply a watch event of a claim, volume or class; return whether a rule changed."""
        key = object_key(obj)
        kept = None if deleted else obj
        if kind is VOLUME_CLAIMS:
            return self._set_claim(key, kept)
        _set(self._volumes if kind is PERSISTENT_VOLUMES else self._classes, key, kept)
        affected = self._unbound | self._claims_of.get(key, set())
        changed = [self._derive(claim) for claim in affected]
        return any(changed)

    def _set_claim(self, key: str, claim: Object | None) -> bool:
        if (before := self._claims.get(key)) is not None:
            named = before["spec"].get("volumeName") or ""
            self._claims_of.get(named, set()).discard(key)
        _set(self._claims, key, claim)
        self._unbound.discard(key)
        if claim is None:
            return self._rules.pop(key, None) is not None
        if named := claim["spec"].get("volumeName"):
            self._claims_of.setdefault(named, set()).add(key)
        else:
            self._unbound.add(key)
        return self._derive(key)

    def _derive(self, key: str) -> bool:
        before, rule = self._rules.get(key), self._rule(key, self._claims[key])
        self._rules[key] = rule
        return rule != before

    def _rule(self, key: str, claim: Object) -> VolumeRule:
        metadata, spec = claim["metadata"], claim["spec"]
        if metadata.get("deletionTimestamp"):
            return VolumeRule(key, problem=f"volume claim {key} is being deleted")
        if (claim.get("status") or {}).get("phase") == "Lost":
            return VolumeRule(key, problem=f"volume claim {key} has lost its volume")
        if name := spec.get("volumeName"):
            volume = self._volumes.get(name)
            if BIND_COMPLETED not in (metadata.get("annotations") or {}):
                return VolumeRule(key, problem=f"volume claim {key} is not bound yet")
            if volume is None:
                return VolumeRule(key, problem=f"volume {name} of claim {key} does not exist")
            return VolumeRule(key, _bound_selectors(volume))
        name = _class_of(claim)
        storage_class = self._classes.get(name)
        if not name or storage_class is None:
            text = f"storage class {name!r} of volume claim {key} does not exist"
            return VolumeRule(key, problem=text if name else _unbound_text(key))
        if storage_class.get("volumeBindingMode") != WAITS:
            return VolumeRule(key, problem=_unbound_text(key))
        return self._first_consumer(key, claim, storage_class)

    def _first_consumer(self, key: str, claim: Object, storage_class: Object) -> VolumeRule:
        """Where a claim that is bound for its first pod finds a volume, or may be given one."""
        selectors: list[NodeSelector] = []
        for volume in self._volumes.values():
            if _can_bind(volume, claim):
                required = (volume["spec"].get("nodeAffinity") or {}).get("required")
                if required is None:
                    return VolumeRule(key)
                selectors.append(node_selector(required))
        if storage_class.get("provisioner") != NO_PROVISIONER:
            terms = topology_selector(storage_class.get("allowedTopologies") or ())
            if not terms or not all(term.expressions for term in terms):
                return VolumeRule(key)
            selectors.append(terms)
        if not selectors:
            return VolumeRule(key, problem=f"there is no free volume for claim {key}")
        return VolumeRule(key, tuple(selectors))


def _set(objects: dict[str, Object], key: str, obj: Object | None) -> None:
    if obj is None:
        objects.pop(key, None)
    else:
        objects[key] = {name: value for name, value in obj.items() if name != "managedFields"}


def _unbound_text(key: str) -> str:
    return f"volume claim {key} is not bound yet; its class binds at once"


def _class_of(obj: Object) -> str:
    annotations = obj["metadata"].get("annotations") or {}
    return str(annotations.get(CLASS_ANNOTATION) or obj["spec"].get("storageClassName") or "")


def _bound_selectors(volume: Object) -> tuple[NodeSelector, ...] | None:
    """Node affinity and zone labels of a volume, combined into alternatives."""
    required = (volume["spec"].get("nodeAffinity") or {}).get("required")
    zones = tuple(
        LabelRequirement(key, "In", tuple(value.split(ZONE_SEPARATOR)))
        for key, value in sorted((volume["metadata"].get("labels") or {}).items())
        if key in ZONES
    )
    if required is None and not zones:
        return None
    terms = (NodeSelectorTerm(),) if required is None else node_selector(required)
    if not zones:
        return (terms,)
    zoneless = tuple(LabelRequirement(key, "DoesNotExist") for key in ZONES)
    return (
        tuple(
            NodeSelectorTerm((*term.expressions, *extra), term.fields)
            for term in terms
            if required is None or term.expressions or term.fields
            # A node without any zone is not restricted by the volume's zone.
            for extra in (zones, zoneless)
        ),
    )


def _can_bind(volume: Object, claim: Object) -> bool:
    """Whether an unbound claim can be bound to a volume."""
    spec, wanted = volume["spec"], claim["spec"]
    metadata = claim["metadata"]
    reserved = spec.get("claimRef")
    if volume["metadata"].get("deletionTimestamp"):
        return False
    if reserved is not None:
        owner = namespaced_key(reserved.get("namespace"), str(reserved.get("name")))
        uid = reserved.get("uid")
        if owner != object_key(claim) or (uid and uid != metadata.get("uid")):
            return False
    elif (volume.get("status") or {}).get("phase") != "Available":
        return False
    if _class_of(volume) != _class_of(claim):
        return False
    if (spec.get("volumeMode") or "Filesystem") != (wanted.get("volumeMode") or "Filesystem"):
        return False
    if (spec.get("volumeAttributesClassName") or "") != (
        wanted.get("volumeAttributesClassName") or ""
    ):
        return False
    if not set(wanted.get("accessModes") or ()) <= set(spec.get("accessModes") or ()):
        return False
    labels = volume["metadata"].get("labels") or {}
    if reserved is None and not _selected(wanted.get("selector"), labels):
        return False
    asked = ((wanted.get("resources") or {}).get("requests") or {}).get("storage")
    have = amount_of("storage", (spec.get("capacity") or {}).get("storage"))
    return (have or 0) >= (amount_of("storage", asked) or 0)


def _selected(selector: Object | None, labels: Mapping[str, str]) -> bool:
    """Whether a label selector matches; an empty one matches everything."""
    selector = selector or {}
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(
        {
            "In": labels.get(item["key"]) in (item.get("values") or ()),
            "NotIn": labels.get(item["key"]) not in (item.get("values") or ()),
            "Exists": item["key"] in labels,
            "DoesNotExist": item["key"] not in labels,
        }.get(item["operator"], False)
        for item in selector.get("matchExpressions") or ()
    )
