"""Reads everything that the checks look at, in one go."""

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime

from acesniper.api import names
from acesniper.api.crd import RESOURCES
from acesniper.api.names import GROUP, Kind
from acesniper.api.objects import Json
from acesniper.cli import extender_client
from acesniper.cli.doctor.command.rights import needed
from acesniper.cli.doctor.command.sight import Right, Sight
from acesniper.domain.errors import AcesniperError, Forbidden, NotFound
from acesniper.runtime.client import Cluster

OURS = "app.kubernetes.io/part-of=acesniper"
PODS_OF_OURS = "app.kubernetes.io/name=acesniper"
AT_ONCE = 16
"""Questions about rights that are open at a time."""

_APPS, _ADMISSION = "/apis/apps/v1", "/apis/admissionregistration.k8s.io/v1"
_REVIEWS = Kind("/apis/authorization.k8s.io/v1", "subjectaccessreviews", namespaced=False)
_LISTED: Mapping[str, tuple[str, Kind, str]] = {
    "deployments": ("Deployment", Kind(_APPS, "deployments"), OURS),
    "daemonsets": ("DaemonSet", Kind(_APPS, "daemonsets"), OURS),
    "pods": ("Pod", names.PODS, PODS_OF_OURS),
    "configmaps": ("ConfigMap", names.CONFIG_MAPS, OURS),
    "serviceaccounts": ("ServiceAccount", Kind("/api/v1", "serviceaccounts"), OURS),
    "leases": ("Lease", names.LEASES, ""),
    "nodes": ("Node", names.NODES, ""),
    "deviceprofiles": ("DeviceProfile", names.DEVICE_PROFILES, ""),
    "modelprofiles": ("ModelProfile", names.MODEL_PROFILES, ""),
    "inferencetasks": ("InferenceTask", names.INFERENCE_TASKS, ""),
    "priorityclasses": ("PriorityClass", names.PRIORITY_CLASSES, ""),
    "validatingadmissionpolicies": (
        "ValidatingAdmissionPolicy",
        Kind(_ADMISSION, "validatingadmissionpolicies", namespaced=False),
        OURS,
    ),
    "validatingadmissionpolicybindings": (
        "ValidatingAdmissionPolicyBinding",
        Kind(_ADMISSION, "validatingadmissionpolicybindings", namespaced=False),
        OURS,
    ),
}
"""What is listed, and the labels it must have. The items of a list do not say their kind."""
DEFINITIONS = "customresourcedefinitions"
_DEFINITIONS = Kind("/apis/apiextensions.k8s.io/v1", DEFINITIONS, namespaced=False)


async def look(cluster: Cluster) -> Sight:
    """Everything as it is now.

    Raises:
        Unavailable: the API server does not answer.
    """
    version = await cluster.fetch("/version")
    local_s = time.time()
    server_s = parsedate_to_datetime(version.date).timestamp() if version.date else local_s
    unseen: dict[str, str] = {}
    found = await asyncio.gather(*(_listed(cluster, name, unseen) for name in _LISTED))
    objects = dict(zip(_LISTED, found, strict=True))
    objects[DEFINITIONS] = await _definitions(cluster, unseen)
    sight = Sight(_git_version(version.text), server_s, local_s, objects, unseen)
    return Sight(
        *(sight.server_version, server_s, local_s, objects, unseen),
        denied=await _denied(cluster, needed(sight)),
        metrics=await _metrics(cluster),
    )


async def _listed(cluster: Cluster, name: str, unseen: dict[str, str]) -> Sequence[Json]:
    singular, kind, labels = _LISTED[name]
    try:
        found, _ = await cluster.list(kind, labels=labels)
    except NotFound:
        return []  # no definition of it: a finding of its own
    except Forbidden as error:
        unseen[name] = str(error)
        return []
    return [{"kind": singular, **each} for each in found]


async def _definitions(cluster: Cluster, unseen: dict[str, str]) -> Sequence[Json]:
    """By name: whoever made them may have left out the labels."""
    names = [f"{each.plural}.{GROUP}" for each in RESOURCES]
    try:
        found = await asyncio.gather(*(cluster.get(_DEFINITIONS, name) for name in names))
    except Forbidden as error:
        unseen[DEFINITIONS] = str(error)
        return []
    return [each for each in found if each is not None]


async def _denied(cluster: Cluster, rights: Sequence[Right]) -> Sequence[Right] | None:
    """Those of the rights that their accounts lack; None if that may not be asked."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def allowed(right: Right) -> bool:
        async with turns:
            answer = await cluster.create(_REVIEWS, _review(right))
        return bool(answer["status"]["allowed"])

    try:
        answers = await asyncio.gather(*map(allowed, rights))
    except Forbidden:
        return None
    return [right for right, yes in zip(rights, answers, strict=True) if not yes]


async def _metrics(cluster: Cluster) -> str | None:
    try:
        return await extender_client.metrics(cluster)
    except AcesniperError:
        return None  # what keeps us from it is seen elsewhere


def _review(right: Right) -> Json:
    resource, _, subresource = right.resource.partition("/")
    attributes = {
        "verb": right.verb,
        "group": right.group,
        "resource": resource,
        "subresource": subresource,
        "namespace": right.namespace,
        "name": right.name,
    }
    _, _, namespace, _ = right.account.split(":")
    groups = [
        "system:authenticated",
        "system:serviceaccounts",
        f"system:serviceaccounts:{namespace}",
    ]
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": right.account, "groups": groups, "resourceAttributes": attributes},
    }


def _git_version(text: str) -> str:
    return str(json.loads(text).get("gitVersion", ""))
