"""Checks of what the release runs: workloads, priority classes, kube-scheduler's configuration."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import yaml

from acesniper.api.names import SCHEDULER_NAME
from acesniper.api.objects import Json
from acesniper.api.scheduler_config import SchedulerConfig
from acesniper.cli.doctor.findings import (
    Finding,
    Severity,
    read_logs,
    restart_scheduler,
    restore_release,
)
from acesniper.cli.doctor.inventory import COMPONENT, Inventory, container, identify, label
from acesniper.cli.options import DEFAULT_NAMESPACE

NOT_INSTALLED = "Ace-Sniper is not installed"
INSTALL = (
    f"helm install acesniper charts/acesniper --namespace {DEFAULT_NAMESPACE} --create-namespace"
    " --set image.registry=REGISTRY"
)
REQUIRED = ("operator", "scheduler")
CONFIGURATION_FILE = "scheduler.yaml"
CONFIGURATION_VOLUME = "config"
PORT_VARIABLE = "ACESNIPER_PORT"


def check_components(inventory: Inventory) -> Iterable[Finding]:
    """Components that are missing, scaled to zero, or whose pods are not ready."""
    if not any(inventory.workloads()):
        return [Finding(NOT_INSTALLED, "the cluster", "install it (docs/quickstart.md)", INSTALL)]
    findings = [
        Finding(
            f"there is no {component}",
            f"namespace {inventory.namespace}",
            "restore the release",
            restore_release(inventory),
        )
        for component in REQUIRED
        if inventory.component(component) is None
    ]
    findings += _duplicate_schedulers(inventory)
    for workload in inventory.workloads():
        findings += _workload(workload, inventory)
    return findings


def check_priority_classes(inventory: Inventory) -> Iterable[Finding]:
    """Priority classes that pod templates name and that do not exist."""
    for workload in inventory.workloads():
        name = workload["spec"]["template"]["spec"].get("priorityClassName")
        if name and inventory.named("priorityclasses", name) is None:
            yield Finding(
                f"PriorityClass {name} does not exist: the API server rejects new pods",
                identify(workload),
                "restore the release",
                restore_release(inventory),
            )


def check_scheduler_configuration(inventory: Inventory) -> Iterable[Finding]:
    """Mistakes in the configuration of our kube-scheduler; an external scheduler is not checked."""
    workload = inventory.component("scheduler")
    if workload is None or not inventory.own_scheduler:
        return
    restart = restart_scheduler(inventory, workload)
    fix = (
        "restore the chart's configuration and restart the scheduler",
        f"{restore_release(inventory)} && {restart}",
    )
    name, namespace = _config_map_name(workload), workload["metadata"]["namespace"]
    config_map = inventory.named("configmaps", name, namespace)
    if config_map is None or CONFIGURATION_FILE not in (config_map.get("data") or {}):
        where = f"ConfigMap {namespace}/{name}"
        yield Finding("the configuration of kube-scheduler is missing", where, *fix)
        return
    for mistake in _configuration_mistakes(config_map["data"][CONFIGURATION_FILE], workload):
        yield Finding(mistake, identify(config_map), *fix)


def _duplicate_schedulers(inventory: Inventory) -> Iterator[Finding]:
    schedulers = [item for item in inventory.workloads() if label(item, COMPONENT) == "scheduler"]
    if len(schedulers) > 1:
        yield Finding(
            f"there are {len(schedulers)} installations, which place the same tasks",
            ", ".join(map(identify, schedulers)),
            "uninstall all but one (helm list --all-namespaces)",
        )


def _workload(workload: Json, inventory: Inventory) -> Iterator[Finding]:
    metadata, status = workload["metadata"], workload.get("status", {})
    where, name, namespace = identify(workload), metadata["name"], metadata["namespace"]
    if workload["kind"] == "DaemonSet":
        desired = status.get("desiredNumberScheduled", 0)
        ready = status.get("numberReady", 0)
    else:
        desired, ready = workload["spec"].get("replicas", 1), status.get("availableReplicas", 0)
        if desired == 0:
            command = f"kubectl scale deployment {name} --namespace {namespace} --replicas=1"
            yield Finding("it is scaled to zero", where, "scale it up", command)
    if ready >= desired:
        return
    reasons = _unready_reasons(workload, inventory)
    detail = f": {'; '.join(reasons)}" if reasons else ""
    component = label(workload, COMPONENT)
    logs = read_logs(inventory, component, "--all-containers")
    yield Finding(
        f"{ready} of {desired} pods are ready{detail}",
        where,
        f"inspect its pods: {logs}",
        severity=Severity.WARNING if ready and component == "probe" else Severity.ERROR,
    )


def _unready_reasons(workload: Json, inventory: Inventory) -> list[str]:
    """Why pods were not created or are not ready, as the cluster reports it."""
    failures = [
        str(entry.get("message", ""))
        for entry in workload.get("status", {}).get("conditions") or ()
        if entry["type"] == "ReplicaFailure" and entry["status"] == "True"
    ]
    component = label(workload, COMPONENT)
    pods = [pod for pod in inventory.all("pods") if label(pod, COMPONENT) == component]
    return sorted({*failures, *(reason for pod in pods for reason in _pod_reasons(pod))})


def _pod_reasons(pod: Json) -> Iterator[str]:
    status = pod.get("status", {})
    for entry in status.get("conditions") or ():
        if entry["type"] == "PodScheduled" and entry["status"] == "False":
            yield f"not scheduled: {entry.get('message', '')}"
    for container_status in status.get("containerStatuses") or ():
        waiting = container_status.get("state", {}).get("waiting")
        if waiting and waiting.get("reason") != "ContainerCreating":
            message = waiting.get("message") or ""
            reason = waiting.get("reason", "waits")
            yield f"{container_status['name']} {reason} {message}".strip()


def _configuration_mistakes(text: str, workload: Json) -> Iterator[str]:
    try:
        configuration = yaml.safe_load(text)
    except yaml.YAMLError as error:
        yield f"{CONFIGURATION_FILE} is not valid YAML: {' '.join(str(error).split())}"
        return
    if not isinstance(configuration, dict):
        yield f"{CONFIGURATION_FILE} is empty or is not a KubeSchedulerConfiguration"
        return
    profiles = {item.get("schedulerName"): item for item in _mappings(configuration, "profiles")}
    if (profile := profiles.get(SCHEDULER_NAME)) is None:
        yield f"there is no profile for pods with schedulerName {SCHEDULER_NAME}"
    elif profile.get("percentageOfNodesToScore") != 100:
        yield "only a sample of the nodes is scored: percentageOfNodesToScore is not 100"
    yield from _extender_mistakes(_mappings(configuration, "extenders"), workload)


def _mappings(configuration: dict[str, Any], field: str) -> list[dict[str, Any]]:
    """The items of a list that are mappings, as all of them should be."""
    items = configuration.get(field)
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _extender_mistakes(extenders: Sequence[dict[str, Any]], workload: Json) -> Iterator[str]:
    if not extenders:
        yield "no extender is configured: tasks are placed by the default plugins only"
        return
    extender, (expected,) = extenders[0], SchedulerConfig().manifest()["extenders"]
    url, port = str(extender.get("urlPrefix", "")), _extender_port(workload)
    if not url.endswith(f":{port}"):
        yield f"extenders[0].urlPrefix is {url!r}, but the extender listens on port {port}"
    for field in ("filterVerb", "prioritizeVerb", "nodeCacheCapable", "ignorable", "weight"):
        if extender.get(field) != expected[field]:
            yield f"extenders[0].{field} is {extender.get(field)!r}, not {expected[field]!r}"


def _config_map_name(workload: Json) -> str:
    for volume in workload["spec"]["template"]["spec"].get("volumes") or ():
        if volume["name"] == CONFIGURATION_VOLUME and "configMap" in volume:
            return str(volume["configMap"]["name"])
    return "acesniper-scheduler"


def _extender_port(workload: Json) -> str:
    variables = (container(workload, "extender") or {}).get("env") or ()
    ports = (str(item["value"]) for item in variables if item["name"] == PORT_VARIABLE)
    return next(ports, "8780")
