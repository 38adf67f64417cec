"""Scheduling rules read from pods, nodes, volume claims, volumes and storage classes."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any

from acesniper.api.address import Address
from acesniper.api.objects import Json, namespaced_key
from acesniper.api.units import quantity
from acesniper.api.v1alpha1 import InferenceTask
from acesniper.domain.device import NodeName
from acesniper.domain.errors import InvalidInput
from acesniper.domain.scheduling_rules import (
    CPU,
    NO_RULES,
    PODS_RESOURCE,
    LabelRequirement,
    NodeRules,
    NodeSelector,
    NodeSelectorTerm,
    PodRules,
    Taint,
    Toleration,
)

Object = Mapping[str, Any]
MILLI = Decimal(1000)
MAX_AMOUNT = Decimal(2**62)
"""Amounts are capped: a template may contain 1e999999."""
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
POD_LEVEL = (CPU, "memory")
"""Resources that a pod may request as a whole, as well as `hugepages-*`."""
FILTERED = (
    "affinity",
    "nodeName",
    "nodeSelector",
    "tolerations",
    "topologySpreadConstraints",
    "resourceClaims",
    "hostNetwork",
    "runtimeClassName",
)
"""Fields of a pod that kube-scheduler's filters read, without requests, ports and volumes."""


# --- pods ---------------------------------------------------------------------------------------


def pod_rules(namespace: str, name: str, spec: Object, labels: Object | None = None) -> PodRules:
    """The rules of a pod as the API server has it, with all defaults."""
    requests = dict(pod_requests(spec))
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    return _shared(
        json.dumps(
            {
                "selector": spec.get("nodeSelector") or {},
                "affinity": affinity.get(REQUIRED),
                "tolerations": spec.get("tolerations") or [],
                "requests": requests,
                "claims": list(_claims(namespace, name, spec)),
                "filtered": {field: spec.get(field) for field in FILTERED},
                "ports": list(_host_ports(spec)),
                "volumes": [volume for volume in spec.get("volumes") or () if _filtered(volume)],
                "namespace": namespace,
                "labels": labels if _selected_by_label(spec) else None,
            },
            sort_keys=True,
        )
    )


@lru_cache(maxsize=4096)
def _shared(text: str) -> PodRules:
    """One object for all pods of one shape: most of a cluster's pods have few shapes."""
    fields = json.loads(text)
    affinity = fields["affinity"]
    return PodRules(
        selector=tuple(
            LabelRequirement(key, "In", (value,))
            for key, value in sorted(fields["selector"].items())
        ),
        affinity=None if affinity is None else node_selector(affinity),
        tolerations=tuple(map(_toleration, fields["tolerations"])),
        requests=tuple(sorted(fields["requests"].items())),
        claims=tuple(sorted(set(fields["claims"]))),
        signature=hashlib.sha256(text.encode()).hexdigest()[:16],
    )


def task_rules(resource: InferenceTask) -> PodRules:
    """The rules of a task's pod before it exists; its template may be invalid."""
    spec, namespace = resource.spec, resource.metadata["namespace"]
    template = spec.template or {}
    try:
        pod = dict(template.get("spec") or {})
        pod["nodeSelector"] = {**(pod.get("nodeSelector") or {}), **spec.node_selector}
        pod["tolerations"] = [*(pod.get("tolerations") or ()), *spec.tolerations]
        if not any(item.get("image") for item in pod.get("containers") or ()):
            # The template is merged with our runner.
            given = pod.get("containers") or [_runner(spec.resources)]
            pod |= {"containers": given}
            pod["volumes"] = [*(pod.get("volumes") or ()), *_mounted_claims(resource)]
        return pod_rules(namespace, "", pod)
    except (AttributeError, InvalidInput, KeyError, TypeError, ValueError):
        return NO_RULES  # the operator or the API server refuses such a pod, with the reason


def _runner(resources: Object) -> Json:
    return {"resources": dict(resources)}


def _mounted_claims(resource: InferenceTask) -> Iterator[Json]:
    """Volumes of the claims that hold a task's model, input and output."""
    places = (resource.spec.source, resource.spec.input, resource.spec.output)
    for place in places:
        if place is not None and (address := Address.parse(place.uri)).scheme == "pvc":
            yield {"persistentVolumeClaim": {"claimName": address.host}}


def _selected_by_label(spec: Object) -> bool:
    """Whether the pod's own labels take part in filters, by a spread or pod affinity."""
    affinity = spec.get("affinity") or {}
    between_pods = affinity.get("podAffinity") or affinity.get("podAntiAffinity")
    return bool(spec.get("topologySpreadConstraints") or between_pods)


def _filtered(volume: Object) -> bool:
    """Whether kube-scheduler's filters read more of a volume than its claim."""
    ours = {"name", "configMap", "secret", "emptyDir", "projected", "downwardAPI", "hostPath"}
    return not volume.keys() <= (ours | {"persistentVolumeClaim"}) or "ephemeral" in volume


def _claims(namespace: str, name: str, spec: Object) -> Iterator[str]:
    for volume in spec.get("volumes") or ():
        if claim := (volume.get("persistentVolumeClaim") or {}).get("claimName"):
            yield namespaced_key(namespace, claim)
        elif volume.get("ephemeral") and name:
            yield namespaced_key(namespace, f"{name}-{volume['name']}")


def _host_ports(spec: Object) -> Iterator[list[object]]:
    for container in spec.get("containers") or ():
        for port in container.get("ports") or ():
            if port.get("hostPort"):
                yield [port["hostPort"], port.get("protocol"), port.get("hostIP")]


def pod_requests(spec: Object, status: Object | None = None) -> dict[str, int]:
    """What a pod requests of its node: amounts by resource, one of `pods` included.

    Containers and native sidecars run together; an init container runs with the sidecars that
    started before it. `status` counts while a container is resized in place.
    """
    resized = {
        str(entry.get("name")): entry for entry in (status or {}).get("containerStatuses") or ()
    }
    running: dict[str, int] = {}
    for container in spec.get("containers") or ():
        _add(running, _container_requests(container, resized.get(str(container.get("name")))))
    starting: dict[str, int] = {}
    sidecars: dict[str, int] = {}
    for container in spec.get("initContainers") or ():
        requests = _container_requests(container)
        if container.get("restartPolicy") == "Always":
            _add(running, requests)
            _add(sidecars, requests)
            _raise(starting, sidecars)
        else:
            _add(requests, sidecars)
            _raise(starting, requests)
    _raise(running, starting)
    whole = _amounts(_requests_of(spec.get("resources") or {}))
    running |= {
        resource: amount
        for resource, amount in whole.items()
        if resource in POD_LEVEL or resource.startswith("hugepages-")
    }
    _add(running, _amounts(spec.get("overhead") or {}))
    return {**running, PODS_RESOURCE: 1}


def _container_requests(container: Object, status: Object | None = None) -> dict[str, int]:
    requests = _amounts(_requests_of(container.get("resources") or {}))
    if status is not None:
        _raise(requests, _amounts(status.get("allocatedResources") or {}))
        _raise(requests, _amounts((status.get("resources") or {}).get("requests") or {}))
    return requests


def _requests_of(resources: Object) -> Object:
    """Requests, by default the limits: the API server does the same."""
    return {**(resources.get("limits") or {}), **(resources.get("requests") or {})}


def _amounts(quantities: Object) -> dict[str, int]:
    amounts = {resource: amount_of(resource, text) for resource, text in quantities.items()}
    return {resource: amount for resource, amount in amounts.items() if amount is not None}


def amount_of(resource: str, text: object) -> int | None:
    """A quantity as an amount, rounded up; None if it is malformed."""
    value = quantity(text)
    if value is None:
        return None
    exact = min(value * MILLI if resource == CPU else value, MAX_AMOUNT)
    return int(exact.to_integral_value(rounding="ROUND_CEILING"))


def _add(total: dict[str, int], more: Mapping[str, int]) -> None:
    for resource, amount in more.items():
        total[resource] = total.get(resource, 0) + amount


def _raise(total: dict[str, int], least: Mapping[str, int]) -> None:
    for resource, amount in least.items():
        total[resource] = max(total.get(resource, 0), amount)


# --- nodes --------------------------------------------------------------------------------------


def node_rules(node: Object) -> NodeRules:
    """The rules of a node."""
    metadata, spec, status = node["metadata"], node.get("spec") or {}, node.get("status") or {}
    allocatable = status.get("allocatable")
    return NodeRules(
        name=metadata.get("name") or "",
        labels=metadata.get("labels") or {},
        taints=tuple(
            Taint(taint["key"], taint.get("value") or "", taint.get("effect") or "")
            for taint in spec.get("taints") or ()
        ),
        unschedulable=bool(spec.get("unschedulable")),
        allocatable=_amounts(allocatable) if allocatable else None,
    )


def rules_by_node(nodes: Mapping[str, Object]) -> dict[NodeName, NodeRules]:
    """The rules of nodes by name."""
    return {NodeName(name): node_rules(node) for name, node in nodes.items()}


def node_selector(selector: Object) -> NodeSelector:
    """A NodeSelector, as in required node affinity and in a volume's node affinity."""
    return tuple(
        NodeSelectorTerm(
            tuple(map(_requirement, term.get("matchExpressions") or ())),
            tuple(map(_requirement, term.get("matchFields") or ())),
        )
        for term in selector.get("nodeSelectorTerms") or ()
    )


def topology_selector(terms: Sequence[Object]) -> NodeSelector:
    """The allowedTopologies of a storage class; an empty term matches every node."""
    return tuple(
        NodeSelectorTerm(
            tuple(
                LabelRequirement(item["key"], "In", tuple(item.get("values") or ()))
                for item in term.get("matchLabelExpressions") or ()
            )
        )
        for term in terms
    )


def _requirement(item: Object) -> LabelRequirement:
    return LabelRequirement(item["key"], item["operator"], tuple(item.get("values") or ()))


def _toleration(item: Object) -> Toleration:
    return Toleration(
        item.get("key") or "",
        item.get("operator") or "Equal",
        item.get("value") or "",
        item.get("effect") or "",
    )
