"""The pod of one attempt of a task: a pure function of the task and its model."""

import copy
import hashlib
import json
from collections.abc import Iterator, Sequence
from math import ceil
from typing import Any

from acesniper.api.address import Address
from acesniper.api.names import (
    API_VERSION,
    ATTEMPT_LABEL,
    DEVICE_ANNOTATION,
    GENERATION_ANNOTATION,
    MODEL_DIGEST_ANNOTATION,
    MODEL_LABEL,
    PLAN_GATE,
    PROGRESS_PORT,
    QUEUE_LABELS,
    RUNNER_CONTAINER,
    SCHEDULER_NAME,
    SLOT_RESOURCE,
    TASK_LABEL,
)
from acesniper.api.objects import Json
from acesniper.api.units import duration_s
from acesniper.api.v1alpha1 import InferenceTask, InferenceTaskSpec, ModelSource
from acesniper.domain.errors import InvalidInput, InvalidTask
from acesniper.operator.task.volumes import POD_DEFAULTS, NodeCache, PodDefaults, PodVolumes

MAX_NAME_LENGTH = 63
RUN_TOLERANCE = 1.5
"""How much longer than the longest predicted run a pod may be active, its start included."""
NODE_DOWN_SECONDS = 60
NODE_DOWN_TAINTS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
TEMPLATE = "spec.template"
METADATA = ("labels", "annotations", "finalizers")


def pod_name(task: InferenceTask) -> str:
    """The name of the current attempt's pod: a function of the task's UID, attempt, incarnation.

    Creating it twice is therefore a conflict, never a second pod.
    """
    digest = hashlib.sha256(task.metadata["uid"].encode()).hexdigest()[:10]
    suffix = f"-{digest}-{task.status.attempts}"
    if task.status.incarnation:
        suffix += f"-{task.status.incarnation}"
    # A pod's name is its host name: no dots.
    name = str(task.metadata["name"]).replace(".", "-")
    return name[: MAX_NAME_LENGTH - len(suffix)].rstrip("-") + suffix


def render_pod(
    task: InferenceTask,
    model: str,
    source: ModelSource,
    image: str,
    cache: NodeCache | None = None,
    max_task_s: float = 0.0,
    defaults: PodDefaults = POD_DEFAULTS,
) -> Json:
    """The gated pod that runs one attempt of `task`.

    It is ended after spec.activeDeadline, and after 1.5 times `max_task_s`, so that a wrong
    prediction or a run that hangs does not hold a device forever; 0: never.

    Raises:
        InvalidTask: spec.template is not a valid pod (its schema accepts any JSON), or an address
            is invalid.
    """
    pod: Json = copy.deepcopy(task.spec.template) or {
        "spec": runner_spec(task.spec, task.metadata["name"], source, image, cache, defaults)
    }
    spec = _object(pod, "spec", TEMPLATE)
    given = _object(pod, "metadata", TEMPLATE)
    # The same fields that a Deployment takes from its template.
    metadata = {field: given[field] for field in METADATA if field in given}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    metadata["name"] = pod_name(task)
    metadata["namespace"] = task.metadata["namespace"]
    metadata["ownerReferences"] = [_owner(task)]
    own_labels = task.metadata.get("labels") or {}
    metadata["labels"] = {
        **{label: own_labels[label] for label in QUEUE_LABELS if label in own_labels},
        **_object(metadata, "labels", f"{TEMPLATE}.metadata"),
        TASK_LABEL: task.metadata["name"],
        MODEL_LABEL: model,
        ATTEMPT_LABEL: str(task.status.attempts),
    }
    metadata["annotations"] = {
        **_object(metadata, "annotations", f"{TEMPLATE}.metadata"),
        MODEL_DIGEST_ANNOTATION: source.sha256,
        GENERATION_ANNOTATION: str(task.metadata.get("generation")),
    }
    spec["schedulerName"] = SCHEDULER_NAME
    spec["schedulingGates"] = [*_list(spec, "schedulingGates"), {"name": PLAN_GATE}]
    spec["restartPolicy"] = "Never"
    given_s = spec.get("activeDeadlineSeconds") or 0
    if not isinstance(given_s, int):
        text = json.dumps(given_s)[:40]
        raise InvalidTask(f"{TEMPLATE}.spec.activeDeadlineSeconds must be an integer, not {text}")
    limits_s = [RUN_TOLERANCE * max_task_s, float(given_s)]
    if task.spec.active_deadline:
        limits_s.append(duration_s(task.spec.active_deadline))
    if any(limits_s):
        spec["activeDeadlineSeconds"] = ceil(min(limit_s for limit_s in limits_s if limit_s))
    if task.spec.node_selector:
        selector = _object(spec, "nodeSelector", f"{TEMPLATE}.spec")
        spec["nodeSelector"] = {**selector, **task.spec.node_selector}
    if task.spec.tolerations:
        spec["tolerations"] = [*_list(spec, "tolerations"), *task.spec.tolerations]
    spec["tolerations"] = [
        *_list(spec, "tolerations"),
        *_node_down_tolerations(_list(spec, "tolerations")),
    ]
    if task.spec.priority_class_name:
        spec["priorityClassName"] = task.spec.priority_class_name
    _request_slot(spec, f"{TEMPLATE}.spec.containers" if task.spec.template else "spec")
    return pod


def _owner(task: InferenceTask) -> Json:
    return {
        "apiVersion": API_VERSION,
        "kind": "InferenceTask",
        "name": task.metadata["name"],
        "uid": task.metadata["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _node_down_tolerations(tolerations: list[Any]) -> Iterator[Json]:
    """Tolerations that evict the pod from an unreachable node, unless the task sets its own.

    The API server's default is five minutes; the task can run elsewhere much earlier.
    """
    keys = [
        toleration.get("key") or "" for toleration in tolerations if isinstance(toleration, dict)
    ]
    for key in NODE_DOWN_TAINTS:
        if key not in keys and "" not in keys:
            yield {
                "key": key,
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": NODE_DOWN_SECONDS,
            }


def _request_slot(spec: Json, where: str) -> None:
    """Request one slot for the pod, in its runner container or else its first one.

    The planner reserves one: a template that asks for more would hold slots of others.
    """
    containers = _list(spec, "containers")
    if not all(isinstance(container, dict) for container in containers):
        raise InvalidTask(f"{where} must be a list of objects")
    runners = [container for container in containers if container.get("name") == RUNNER_CONTAINER]
    for container in containers:
        _without_slot(container)
    for container in (runners or containers)[:1]:
        resources = _object(container, "resources", where)
        resources["limits"] = {
            **_object(resources, "limits", f"{where}.resources"),
            SLOT_RESOURCE: "1",
        }


def _without_slot(container: Json) -> None:
    resources = container.get("resources")
    for amounts in resources.values() if isinstance(resources, dict) else ():
        if isinstance(amounts, dict):
            amounts.pop(SLOT_RESOURCE, None)


def _object(parent: Json, field: str, where: str) -> Json:
    """The object in a field, which is created if it is missing. Raises InvalidTask."""
    if parent.get(field) is None:
        parent[field] = {}
    value = parent[field]
    if not isinstance(value, dict):
        raise InvalidTask(f"{where}.{field} must be an object, not {json.dumps(value)[:40]}")
    return value


def _list(spec: Json, field: str) -> list[Any]:
    value = spec.get(field) or []
    if not isinstance(value, list):
        text = json.dumps(value)[:40]
        raise InvalidTask(f"{TEMPLATE}.spec.{field} must be a list, not {text}")
    return value


USER = 65532
PORT = 8786
"""Port on which a runner reports its progress."""


def runner_spec(
    spec: InferenceTaskSpec,
    name: str,
    source: ModelSource,
    image: str,
    cache: NodeCache | None,
    defaults: PodDefaults,
) -> Json:
    """The pod spec of a task that has no template; `name` is the task's.

    Raises:
        InvalidTask: an address of the task is invalid.
    """
    mounts = PodVolumes()
    try:
        arguments = ["run", *model_arguments(mounts, source)]
        arguments += ["--inferences", str(spec.inferences), "--batch", str(spec.batch_size)]
        for dimension, size in sorted(spec.input_shapes.items()):
            arguments += ["--shape", f"{dimension}={size}"]
        arguments += _input(mounts, spec) + _output(mounts, spec, name)
        if cache is not None and not Address.parse(source.uri).mounted:
            max_bytes = str(cache.max_bytes)
            arguments += ["--cache", mounts.cache(cache), "--cache-bytes", max_bytes]
    except InvalidInput as error:
        raise InvalidTask(str(error)) from error
    arguments += ["--progress-port", str(PORT)]
    device = {"fieldRef": {"fieldPath": f"metadata.annotations['{DEVICE_ANNOTATION}']"}}
    pod = pod_spec(image, arguments, mounts, defaults.scratch)
    (container,) = pod["containers"]
    container["env"] = [{"name": "ACESNIPER_DEVICE", "valueFrom": device}]
    container["ports"] = [{"name": PROGRESS_PORT, "containerPort": PORT}]
    resources = container["resources"] = copy.deepcopy(spec.resources)
    _object(resources, "limits", "spec.resources")
    requests = _object(resources, "requests", "spec.resources")
    requests |= defaults.requests(resources)
    if spec.output is not None and spec.output.uri.startswith("pvc://"):
        # Makes a new volume writable; a volume that is writable already stays as it is.
        pod["securityContext"] |= {"fsGroup": USER, "fsGroupChangePolicy": "OnRootMismatch"}
    return pod


def model_arguments(mounts: PodVolumes, source: ModelSource) -> list[str]:
    """Arguments with the model's path or URL, digest and Secret. Raises InvalidInput."""
    arguments = [mounts.path("model", Address.parse(source.uri)), "--sha256", source.sha256]
    return arguments + _secret(mounts, "model", "--secret", source.secret)


def pod_spec(image: str, arguments: Sequence[str], mounts: PodVolumes, scratch: str) -> Json:
    """A pod spec of one container that meets the restricted standard, without an API token.

    `scratch` is the size limit of its temporary files, a quantity.
    """
    return {
        "automountServiceAccountToken": False,
        # Thousands of Services in a namespace would fill the environment.
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": RUNNER_CONTAINER,
                "image": image,
                "args": list(arguments),
                "terminationMessagePolicy": "FallbackToLogsOnError",
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                "volumeMounts": [
                    {"name": "scratch", "mountPath": "/tmp"},  # noqa: S108 - a volume
                    *mounts.mounts,
                ],
            }
        ],
        "volumes": [{"name": "scratch", "emptyDir": {"sizeLimit": scratch}}, *mounts.volumes],
    }


def _input(mounts: PodVolumes, spec: InferenceTaskSpec) -> list[str]:
    if spec.input is None:
        return []
    arguments = ["--input", mounts.path("input", Address.parse(spec.input.uri))]
    if spec.input.sha256:
        arguments += ["--input-sha256", spec.input.sha256]
    return arguments + _secret(mounts, "input", "--input-secret", spec.input.secret)


def _output(mounts: PodVolumes, spec: InferenceTaskSpec, name: str) -> list[str]:
    """Output arguments; the task's name is appended, so that tasks can share one address."""
    if spec.output is None:
        return []
    uri, question, query = spec.output.uri.partition("?")
    address = Address.parse(f"{uri.rstrip('/')}/{name}{question}{query}")
    arguments = ["--output", mounts.path("output", address, write=True)]
    return arguments + _secret(mounts, "output", "--output-secret", spec.output.secret)


def _secret(mounts: PodVolumes, role: str, option: str, name: str | None) -> list[str]:
    return [option, mounts.secret(role, name)] if name else []
