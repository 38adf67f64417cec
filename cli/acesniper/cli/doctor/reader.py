"""Reads the inventory of an installation from the API server."""

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from email.utils import parsedate_to_datetime

from acesniper.api import names
from acesniper.api.names import GROUP, Kind
from acesniper.api.objects import Json
from acesniper.api.untrusted_json import UNREADABLE
from acesniper.cli import extender_client
from acesniper.cli.doctor.inventory import Inventory, Permission
from acesniper.cli.doctor.permissions import access_review, required_permissions
from acesniper.domain.errors import AcesniperError, Forbidden, NotFound
from acesniper.runtime.client import Cluster

RELEASE_LABEL = "app.kubernetes.io/part-of=acesniper"
POD_LABEL = "app.kubernetes.io/name=acesniper"
MAX_CONCURRENT_REVIEWS = 16

_APPS, _ADMISSION = "/apis/apps/v1", "/apis/admissionregistration.k8s.io/v1"
_REVIEWS = Kind("/apis/authorization.k8s.io/v1", "subjectaccessreviews", namespaced=False)
_LISTED: Mapping[str, tuple[str, Kind, str]] = {
    "deployments": ("Deployment", Kind(_APPS, "deployments"), RELEASE_LABEL),
    "daemonsets": ("DaemonSet", Kind(_APPS, "daemonsets"), RELEASE_LABEL),
    "pods": ("Pod", names.PODS, POD_LABEL),
    "configmaps": ("ConfigMap", names.CONFIG_MAPS, RELEASE_LABEL),
    "serviceaccounts": ("ServiceAccount", Kind("/api/v1", "serviceaccounts"), RELEASE_LABEL),
    "leases": ("Lease", names.LEASES, ""),
    "nodes": ("Node", names.NODES, ""),
    "deviceprofiles": ("DeviceProfile", names.DEVICE_PROFILES, ""),
    "modelprofiles": ("ModelProfile", names.MODEL_PROFILES, ""),
    "inferencetasks": ("InferenceTask", names.INFERENCE_TASKS, ""),
    "priorityclasses": ("PriorityClass", names.PRIORITY_CLASSES, ""),
    "validatingadmissionpolicies": (
        "ValidatingAdmissionPolicy",
        Kind(_ADMISSION, "validatingadmissionpolicies", namespaced=False),
        RELEASE_LABEL,
    ),
    "validatingadmissionpolicybindings": (
        "ValidatingAdmissionPolicyBinding",
        Kind(_ADMISSION, "validatingadmissionpolicybindings", namespaced=False),
        RELEASE_LABEL,
    ),
}
"""Kinds to list: the kind's name, which items of a list lack, and the label selector."""
CRDS = "customresourcedefinitions"
_CRDS = Kind("/apis/apiextensions.k8s.io/v1", CRDS, namespaced=False)


async def read_inventory(cluster: Cluster) -> Inventory:
    """Read everything that the checks need.

    Raises:
        Unavailable: the API server does not respond.
    """
    version = await cluster.fetch("/version")
    local_s = time.time()
    server_s = parsedate_to_datetime(version.date).timestamp() if version.date else local_s
    unlisted: dict[str, str] = {}
    lists = await asyncio.gather(*(_list(cluster, kind, unlisted) for kind in _LISTED))
    objects: dict[str, Sequence[Json]] = {
        kind: [item for item in items if UNREADABLE not in item]
        for kind, items in zip(_LISTED, lists, strict=True)
    }
    objects[CRDS] = await _crds(cluster, unlisted)
    server_version = str(json.loads(version.text).get("gitVersion", ""))
    inventory = Inventory(server_version, server_s, local_s, objects, unlisted)
    return replace(
        inventory,
        unreadable=[item for items in lists for item in items if UNREADABLE in item],
        denied=await _denied(cluster, required_permissions(inventory)),
        metrics=await _metrics(cluster),
    )


async def _list(cluster: Cluster, plural: str, unlisted: dict[str, str]) -> Sequence[Json]:
    singular, kind, labels = _LISTED[plural]
    try:
        items = [item async for page, _ in cluster.pages(kind, labels=labels) for item in page]
    except NotFound:
        return []  # its definition is missing, which is a finding of its own
    except Forbidden as error:
        unlisted[plural] = str(error)
        return []
    return [{"kind": singular, **item} for item in items]


async def _crds(cluster: Cluster, unlisted: dict[str, str]) -> Sequence[Json]:
    """Our CustomResourceDefinitions, by name: those installed by hand may lack our labels."""
    kinds = (names.DEVICE_PROFILES, names.MODEL_PROFILES, names.INFERENCE_TASKS)
    crd_names = [f"{kind.plural}.{GROUP}" for kind in kinds]
    try:
        crds = await asyncio.gather(*(cluster.get(_CRDS, name) for name in crd_names))
    except Forbidden as error:
        unlisted[CRDS] = str(error)
        return []
    return [crd for crd in crds if crd is not None]


async def _denied(
    cluster: Cluster, permissions: Sequence[Permission]
) -> Sequence[Permission] | None:
    """The permissions that their accounts lack; None if this user may not ask."""
    limit = asyncio.Semaphore(MAX_CONCURRENT_REVIEWS)

    async def allowed(permission: Permission) -> bool:
        async with limit:
            review = await cluster.create(_REVIEWS, access_review(permission))
        return bool(review["status"]["allowed"])

    try:
        answers = await asyncio.gather(*map(allowed, permissions))
    except Forbidden:
        return None
    return [
        permission for permission, granted in zip(permissions, answers, strict=True) if not granted
    ]


async def _metrics(cluster: Cluster) -> str | None:
    try:
        return await extender_client.fetch_metrics(cluster)
    except AcesniperError:
        return None  # other checks report why the extender cannot be reached
