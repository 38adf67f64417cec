"""Letting a gated pod go: the one PATCH that opens the gate and names the node."""

from collections.abc import Mapping
from typing import Any

from acesniper.api.objects import PodView
from acesniper.domain.device import Device


def admission_patch(pod: PodView, device: Device, annotations: Mapping[str, str]) -> dict[str, Any]:
    """A merge patch for a gated pod: gate gone, affinity narrowed, reasons written.

    The node's name is ANDed into every term of the pod's own required affinity, which is all the
    API server allows for a gated pod, and not at all later; the resource version makes a pod that
    changed meanwhile a conflict.
    """
    affinity = dict(pod.affinity)
    node_affinity = dict(affinity.get("nodeAffinity") or {})
    required = node_affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    here = {"key": "metadata.name", "operator": "In", "values": [device.node]}
    terms = [
        {**term, "matchFields": [*term.get("matchFields", ()), here]}
        for term in required.get("nodeSelectorTerms") or [{}]
    ]
    node_affinity["requiredDuringSchedulingIgnoredDuringExecution"] = {"nodeSelectorTerms": terms}
    return {
        "metadata": {"resourceVersion": pod.resource_version, "annotations": dict(annotations)},
        "spec": {
            "schedulingGates": [{"name": name} for name in pod.other_gates],
            "affinity": {**affinity, "nodeAffinity": node_affinity},
        },
    }
