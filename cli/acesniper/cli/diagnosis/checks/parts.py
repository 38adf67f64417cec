"""Whether operator, scheduler and probe run."""

from collections.abc import Iterable, Iterator, Sequence

from acesniper.api.objects import Json
from acesniper.cli.doctor.command.finding import Finding, Severity
from acesniper.cli.doctor.command.sight import PART, Sight, label, place
from acesniper.cli.options import DEFAULT_NAMESPACE

ABSENT = "Ace-Sniper is not installed"
INSTALL = (
    f"helm install acesniper charts/acesniper --namespace {DEFAULT_NAMESPACE} --create-namespace"
    " --set image.registry=REGISTRY"
)
NEEDED = ("operator", "scheduler")


def judge(sight: Sight) -> Iterable[Finding]:
    """Parts that are missing, stopped, or whose pods do not become ready."""
    if not any(sight.parts()):
        return [Finding(ABSENT, "the cluster", "install it (docs/quickstart.md)", INSTALL)]
    found = [
        Finding(
            f"there is no {part}",
            f"namespace {sight.namespace}",
            "install it again",
            sight.restore(),
        )
        for part in NEEDED
        if sight.part(part) is None
    ]
    found += _twice(sight)
    for workload in sight.parts():
        found += _workload(workload, sight)
    return found


def _twice(sight: Sight) -> Iterator[Finding]:
    schedulers = [each for each in sight.parts() if label(each, PART) == "scheduler"]
    if len(schedulers) > 1:
        yield Finding(
            f"there are {len(schedulers)} installations, and both place the same tasks",
            ", ".join(map(place, schedulers)),
            "uninstall all but one (helm list --all-namespaces)",
        )


def _workload(workload: Json, sight: Sight) -> Iterator[Finding]:
    metadata, status = workload["metadata"], workload.get("status", {})
    where, name, namespace = place(workload), metadata["name"], metadata["namespace"]
    if workload["kind"] == "DaemonSet":
        wanted = status.get("desiredNumberScheduled", 0)
        ready = status.get("numberReady", 0)
    else:
        wanted, ready = workload["spec"].get("replicas", 1), status.get("availableReplicas", 0)
        if wanted == 0:
            command = f"kubectl scale deployment {name} --namespace {namespace} --replicas=1"
            yield Finding("it is scaled to nothing", where, "start it", command)
    if ready >= wanted:
        return
    reasons = _reasons(workload, sight)
    why = f": {'; '.join(reasons)}" if reasons else ""
    part = label(workload, PART)
    logs = f"kubectl logs --namespace {namespace} --all-containers --selector {PART}={part}"
    yield Finding(
        f"{ready} of {wanted} pods are ready{why}",
        where,
        f"look at its pods: {logs}",
        severity=Severity.WARNING if ready and part == "probe" else Severity.ERROR,
    )


def _reasons(workload: Json, sight: Sight) -> list[str]:
    """Why pods are not made, or not ready, in the cluster's own words."""
    failures = [
        str(each.get("message", ""))
        for each in workload.get("status", {}).get("conditions") or ()
        if each["type"] == "ReplicaFailure" and each["status"] == "True"
    ]
    part = label(workload, PART)
    pods = [each for each in sight.all("pods") if label(each, PART) == part]
    return sorted({*failures, *(reason for pod in pods for reason in _of_pod(pod))})


def _of_pod(pod: Json) -> Iterator[str]:
    status = pod.get("status", {})
    for each in status.get("conditions") or ():
        if each["type"] == "PodScheduled" and each["status"] == "False":
            yield f"not scheduled: {each.get('message', '')}"
    yield from _of_containers(status.get("containerStatuses") or ())


def _of_containers(statuses: Sequence[Json]) -> Iterator[str]:
    for each in statuses:
        waiting = each.get("state", {}).get("waiting")
        if waiting and waiting.get("reason") != "ContainerCreating":
            said = waiting.get("message") or ""
            yield f"{each['name']} {waiting.get('reason', 'waits')} {said}".strip()
