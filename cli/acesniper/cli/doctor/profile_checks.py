"""Checks of objects: nodes without a recent probe, unusable models, and unreadable objects."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from acesniper.api.convert import parse_resource
from acesniper.api.names import SLOT_RESOURCE
from acesniper.api.objects import Json
from acesniper.api.reasons import ConditionType
from acesniper.api.units import epoch_s
from acesniper.api.untrusted_json import UNREADABLE
from acesniper.api.v1alpha1 import ApiType, DeviceProfile, InferenceTask, ModelProfile
from acesniper.cli.console import age_text
from acesniper.cli.doctor.findings import (
    Finding,
    Severity,
    read_logs,
    reprobe_device,
    upgrade_release,
)
from acesniper.cli.doctor.inventory import Inventory, condition, label
from acesniper.domain.errors import InvalidInput
from acesniper.probe import SUITE, VERSION

RESOURCES: Mapping[str, type[ApiType]] = {
    "deviceprofiles": DeviceProfile,
    "modelprofiles": ModelProfile,
    "inferencetasks": InferenceTask,
}
EXPIRED_S = 30 * 24 * 3600.0
ARCHITECTURES = ("amd64", "arm64")
CONTROL_PLANE_TAINT = "node-role.kubernetes.io/"
UNREAD_MODEL_S = 180.0
"""Downloading a large model takes time."""


def check_devices(inventory: Inventory) -> Iterable[Finding]:
    """Nodes without a device profile, and profiles that are outdated or incomplete."""
    profiles = inventory.all("deviceprofiles")
    probed = {profile["spec"]["node"] for profile in profiles}
    for node in inventory.all("nodes"):
        if node["metadata"]["name"] not in probed:
            yield from _node_without_profile(node, inventory)
    for profile in profiles:
        yield from _device_profile(profile, inventory)
    yield from _all_nodes_unschedulable(profiles, inventory)


def check_objects(inventory: Inventory) -> Iterable[Finding]:
    """Objects that operator and extender skip, as they cannot be read or violate their schema."""
    for obj in inventory.unreadable:
        yield _skipped(obj, str(obj[UNREADABLE]))
    for plural, kind in RESOURCES.items():
        for obj in inventory.all(plural):
            try:
                parse_resource(kind, obj)
            except InvalidInput as error:
                yield _skipped(obj, str(error))


def _skipped(obj: Json, reason: str) -> Finding:
    metadata, kind = obj["metadata"], str(obj.get("kind") or "object")
    namespace = metadata.get("namespace")
    path = f"{namespace}/{metadata['name']}" if namespace else str(metadata["name"])
    scope = f" --namespace {namespace}" if namespace else ""
    return Finding(
        f"operator and extender skip it, because it cannot be read: {reason}",
        f"{kind} {path}",
        "correct it, or delete it",
        f"kubectl delete {kind.lower()} {metadata['name']}{scope}",
        severity=Severity.WARNING,
    )


def check_models(inventory: Inventory) -> Iterable[Finding]:
    """Models that were rejected, or that the operator did not read."""
    for profile in inventory.all("modelprofiles"):
        metadata = profile["metadata"]
        where = f"ModelProfile {metadata['namespace']}/{metadata['name']}"
        profiled = condition(profile, ConditionType.PROFILED)
        if profiled is not None and profiled["status"] == "False":
            yield Finding(
                f"it cannot be used ({profiled['reason']}): {profiled.get('message', '')}",
                where,
                "correct the file or its digest, and create the ModelProfile again",
                severity=Severity.WARNING,
            )
        elif profiled is None and inventory.age_s(profile) > UNREAD_MODEL_S:
            logs = read_logs(inventory, "operator")
            yield Finding("the operator did not read it", where, f"read its log: {logs}")


def _all_nodes_unschedulable(profiles: Sequence[Json], inventory: Inventory) -> Iterator[Finding]:
    listed = [inventory.named("nodes", profile["spec"]["node"]) for profile in profiles]
    nodes = [node for node in listed if node is not None]
    if nodes and not any(_ready(node) and not node["spec"].get("unschedulable") for node in nodes):
        names = sorted({node["metadata"]["name"] for node in nodes})
        yield Finding(
            f"no device can take a task: all {len(names)} probed nodes are cordoned or not ready",
            f"Node {names[0]}" + (" and others" if len(names) > 1 else ""),
            "uncordon or repair a node: kubectl get nodes",
        )


def _node_without_profile(node: Json, inventory: Inventory) -> Iterator[Finding]:
    """A node on which the probe should run; one that is excluded on purpose is not reported."""
    name = node["metadata"]["name"]
    where, taints = f"Node {name}", node["spec"].get("taints") or ()
    control_plane = any(taint["key"].startswith(CONTROL_PLANE_TAINT) for taint in taints)
    if control_plane or not _ready(node) or label(node, "kubernetes.io/arch") not in ARCHITECTURES:
        return
    probe = inventory.component("probe")
    if probe is None:
        fix = f"set probe.enabled=true, or run on the node: acesniper probe --publish --node {name}"
        disabled = "it has no device profile: the probe is disabled"
        yield Finding(disabled, where, fix, severity=Severity.WARNING)
    elif not _selected(node, probe):
        return
    elif keys := _untolerated_taints(taints, probe):
        yield Finding(
            "it has no device profile and gets no tasks: the probe does not tolerate"
            f" {', '.join(keys)}",
            where,
            "add a toleration to the probe if the node should run tasks",
            upgrade_release(inventory, "probe.tolerations[0].operator=Exists"),
            severity=Severity.WARNING,
        )
    else:
        logs = read_logs(inventory, "probe", "--prefix")
        missing = "it has no device profile and gets no tasks"
        yield Finding(missing, where, f"read the log of its probe: {logs}")


def _device_profile(profile: Json, inventory: Inventory) -> Iterator[Finding]:
    name, status = profile["metadata"]["name"], profile.get("status") or {}
    where, node_name = f"DeviceProfile {name}", profile["spec"]["node"]
    node = inventory.named("nodes", node_name)
    reprobe = ("probe the device again", reprobe_device(name, inventory.server_s))
    if node is None:
        yield Finding(
            f"its node {node_name} does not exist",
            where,
            "delete the profile if the node was removed permanently",
            f"kubectl delete deviceprofile {name}",
            severity=Severity.WARNING,
        )
        return
    if not status.get("readings"):
        yield Finding("it has no readings yet", where, *reprobe, severity=Severity.WARNING)
        return
    yield from _measurement(status, where, reprobe, inventory)
    if _ready(node) and SLOT_RESOURCE not in node["status"].get("allocatable", {}):
        missing = f"its node lacks the resource {SLOT_RESOURCE}, which the operator adds"
        logs = read_logs(inventory, "operator")
        yield Finding(f"{missing}: no task fits there", where, f"read the operator's log: {logs}")


def _measurement(
    status: Json, where: str, reprobe: tuple[str, str], inventory: Inventory
) -> Iterator[Finding]:
    """A measurement by another suite, an old one, and one that its conditions call unusable."""
    suite = (status.get("suite"), status.get("suiteVersion"))
    if suite != (SUITE, VERSION):
        used = " ".join(map(str, suite))
        yield Finding(
            f"it was measured with {used}, predictions need {SUITE} {VERSION}",
            where,
            "upgrade the probe to this version",
            upgrade_release(inventory, "image.tag="),
        )
    measured_at = status.get("measuredAt")
    if measured_at and (age_s := inventory.server_s - epoch_s(measured_at)) > EXPIRED_S:
        expired = f"it was measured {age_text(age_s)} ago"
        yield Finding(expired, where, *reprobe, severity=Severity.WARNING)
    for entry in status.get("conditions") or ():
        negative = entry["type"] in (ConditionType.NOISY, ConditionType.DRIFTING)
        if negative and entry["status"] == "True":
            degraded = f"it is {entry['type']}: {entry.get('message', '')}"
            yield Finding(degraded, where, *reprobe, severity=Severity.WARNING)


def _ready(node: Json) -> bool:
    ready = condition(node, "Ready")
    return ready is not None and bool(ready["status"] == "True")


def _selected(node: Json, probe: Json) -> bool:
    """Whether a node has the labels of the probe's node selector."""
    selector: Json = probe["spec"]["template"]["spec"].get("nodeSelector") or {}
    return all(label(node, name) == value for name, value in selector.items())


def _untolerated_taints(taints: Sequence[Json], probe: Json) -> list[str]:
    tolerations = probe["spec"]["template"]["spec"].get("tolerations") or ()
    if any(item.get("operator") == "Exists" and not item.get("key") for item in tolerations):
        return []
    tolerated = {item.get("key") for item in tolerations}
    return [
        taint["key"]
        for taint in taints
        if taint["effect"] != "PreferNoSchedule" and taint["key"] not in tolerated
    ]
