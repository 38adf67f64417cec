"""Whether every node that could run tasks is measured, lately, and has its slots."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from acesniper.api.names import SLOT_RESOURCE
from acesniper.api.objects import Json
from acesniper.api.units import epoch_s
from acesniper.cli.console import age
from acesniper.cli.doctor.command.finding import Finding, Severity
from acesniper.cli.doctor.command.sight import PART, Sight, label
from acesniper.probe import SUITE, VERSION

OLD_S = 30 * 24 * 3600.0
ARCHITECTURES = ("amd64", "arm64")
CONTROL_PLANE = "node-role.kubernetes.io/"
"""Taints that begin so keep tasks away on purpose."""


def judge(sight: Sight) -> Iterable[Finding]:
    """Devices and nodes of which something is missing."""
    profiles = sight.all("deviceprofiles")
    measured = {each["spec"]["node"] for each in profiles}
    for node in sight.all("nodes"):
        if node["metadata"]["name"] not in measured:
            yield from _unmeasured(node, sight)
    for profile in profiles:
        yield from _profile(profile, sight)
    known = [sight.named("nodes", each["spec"]["node"]) for each in profiles]
    there = [each for each in known if each is not None]
    if there and not any(_ready(each) and not each["spec"].get("unschedulable") for each in there):
        names = sorted({each["metadata"]["name"] for each in there})
        yield Finding(
            f"no device can take a task: all {len(names)} measured nodes are cordoned or not ready",
            f"Node {names[0]}" + (" and others" if len(names) > 1 else ""),
            "bring one back: kubectl get nodes",
        )


def reprobe(name: str, now_s: float) -> str:
    """The command that has a device measured again."""
    when = datetime.fromtimestamp(now_s, UTC).strftime("%Y-%m-%dT%H-%M-%SZ")
    patch = f'{{"spec": {{"reprobe": "{when}"}}}}'
    return f"kubectl patch deviceprofile {name} --type=merge --patch '{patch}'"


def _unmeasured(node: Json, sight: Sight) -> Iterator[Finding]:
    name = node["metadata"]["name"]
    where, taints = f"Node {name}", node["spec"].get("taints") or ()
    if any(each["key"].startswith(CONTROL_PLANE) for each in taints) or not _ready(node):
        return
    if label(node, "kubernetes.io/arch") not in ARCHITECTURES:
        return
    probe = sight.part("probe")
    if probe is None:
        fix = f"probe.enabled=true, or on the node: acesniper probe --publish --node {name}"
        yield Finding("nobody measures it: the probe is off", where, fix, severity=Severity.WARNING)
    elif not _selected(node, probe):
        return  # kept out on purpose
    elif keys := _untolerated(taints, probe):
        yield Finding(
            f"it is not measured, and gets no task: the probe does not tolerate {', '.join(keys)}",
            where,
            "let the probe onto it, if it should take tasks",
            sight.upgrade("probe.tolerations[0].operator=Exists"),
            severity=Severity.WARNING,
        )
    else:
        logs = f"kubectl logs --namespace {sight.namespace} --selector {PART}=probe --prefix"
        fix = f"its probe says why: {logs}"
        yield Finding("it is not measured, and gets no task", where, fix)


def _profile(profile: Json, sight: Sight) -> Iterator[Finding]:
    name, status = profile["metadata"]["name"], profile.get("status") or {}
    where, node = f"DeviceProfile {name}", sight.named("nodes", profile["spec"]["node"])
    again = ("measure it again", reprobe(name, sight.server_s))
    if node is None:
        what = f"its node {profile['spec']['node']} is not there"
        command = f"kubectl delete deviceprofile {name}"
        yield Finding(
            what,
            where,
            "delete it, if the node is gone for good",
            command,
            severity=Severity.WARNING,
        )
        return
    if not status.get("readings"):
        yield Finding("it was not measured yet", where, *again, severity=Severity.WARNING)
        return
    suite = (status.get("suite"), status.get("suiteVersion"))
    if suite != (SUITE, VERSION):
        what = (
            f"it was measured with {' '.join(map(str, suite))}, predictions need {SUITE} {VERSION}"
        )
        yield Finding(what, where, "bring the probe to this version", sight.upgrade("image.tag="))
    measured_at = status.get("measuredAt")
    if measured_at and (old_s := sight.server_s - epoch_s(measured_at)) > OLD_S:
        what = f"it was measured {age(old_s)} ago"
        yield Finding(what, where, *again, severity=Severity.WARNING)
    yield from _conditions(status.get("conditions") or (), where, again)
    if _ready(node) and SLOT_RESOURCE not in node["status"].get("allocatable", {}):
        what = f"its node has no {SLOT_RESOURCE}, which the operator writes: no task fits there"
        logs = f"kubectl logs --namespace {sight.namespace} --selector {PART}=operator"
        yield Finding(what, where, f"the operator says why: {logs}")


def _conditions(
    conditions: Sequence[Json], where: str, again: tuple[str, str]
) -> Iterator[Finding]:
    for each in conditions:
        if each["type"] in ("Noisy", "Drifting") and each["status"] == "True":
            what = f"it is {each['type']}: {each.get('message', '')}"
            yield Finding(what, where, *again, severity=Severity.WARNING)


def _ready(node: Json) -> bool:
    conditions = node.get("status", {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _selected(node: Json, probe: Json) -> bool:
    """Whether the labels of a node are those that the probe is for (`probe.nodeSelector`)."""
    wanted: Json = probe["spec"]["template"]["spec"].get("nodeSelector") or {}
    return all(label(node, name) == value for name, value in wanted.items())


def _untolerated(taints: Sequence[Json], probe: Json) -> list[str]:
    tolerated = probe["spec"]["template"]["spec"].get("tolerations") or ()
    everything = any(each.get("operator") == "Exists" and not each.get("key") for each in tolerated)
    keys = {each.get("key") for each in tolerated}
    return [
        each["key"]
        for each in taints
        if each["effect"] != "PreferNoSchedule" and not everything and each["key"] not in keys
    ]
