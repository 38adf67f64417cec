"""The pod of one attempt of a task: a pure function of the task and its model."""

import copy
import hashlib
import json
from collections.abc import Iterator, Sequence
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
    RUNNER_CONTAINER,
    SCHEDULER_NAME,
    SLOT_RESOURCE,
    TASK_LABEL,
)
from acesniper.api.objects import Json
from acesniper.api.v1alpha1 import InferenceTask, InferenceTaskSpec, ModelSource
from acesniper.domain.errors import InvalidInput, InvalidTask
from acesniper.operator.task.volumes import NodeCache, PodVolumes

LONGEST_NAME = 63
NODE_SILENT_S = 60
NODE_SILENT_TAINTS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
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
    return name[: LONGEST_NAME - len(suffix)].rstrip("-") + suffix


def render_pod(
    task: InferenceTask, model: str, source: ModelSource, image: str, cache: NodeCache | None = None
) -> Json:
    """The gated pod that runs one attempt of `task`.

    Raises:
        InvalidTask: spec.template has the shape of no pod (the schema lets any JSON through), or an
            address is none.
    """
    pod: Json = copy.deepcopy(task.spec.template) or {
        "spec": runner_spec(task.spec, task.metadata["name"], source, image, cache)
    }
    spec = _object(pod, "spec", TEMPLATE)
    given = _object(pod, "metadata", TEMPLATE)
    # What a Deployment takes of its template; the rest is the API server's to write.
    metadata = {field: given[field] for field in METADATA if field in given}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    metadata["name"] = pod_name(task)
    metadata["namespace"] = task.metadata["namespace"]
    metadata["ownerReferences"] = [_owner(task)]
    metadata["labels"] = {
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
    if task.spec.node_selector:
        selector = _object(spec, "nodeSelector", f"{TEMPLATE}.spec")
        spec["nodeSelector"] = {**selector, **task.spec.node_selector}
    if task.spec.tolerations:
        spec["tolerations"] = [*_list(spec, "tolerations"), *task.spec.tolerations]
    spec["tolerations"] = [*_list(spec, "tolerations"), *_patience(_list(spec, "tolerations"))]
    if task.spec.priority_class_name:
        spec["priorityClassName"] = task.spec.priority_class_name
    _ask_for_slot(spec, f"{TEMPLATE}.spec.containers" if task.spec.template else "spec")
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


def _patience(tolerations: list[Any]) -> Iterator[Json]:
    """How long the pod stays on a node that is silent, unless the task says otherwise.

    The API server would say five minutes; a task can run elsewhere long before.
    """
    named = [each.get("key") or "" for each in tolerations if isinstance(each, dict)]
    for key in NODE_SILENT_TAINTS:
        if key not in named and "" not in named:
            yield {
                "key": key,
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": NODE_SILENT_S,
            }


def _ask_for_slot(spec: Json, where: str) -> None:
    """One slot for the pod, asked for by its runner container (or its first one)."""
    containers = _list(spec, "containers")
    if not all(isinstance(each, dict) for each in containers):
        raise InvalidTask(f"{where} must be a list of objects")
    named = [each for each in containers if each.get("name") == RUNNER_CONTAINER]
    for container in (named or containers)[:1]:
        resources = _object(container, "resources", where)
        resources["limits"] = {
            **_object(resources, "limits", f"{where}.resources"),
            SLOT_RESOURCE: "1",
        }


def _object(parent: Json, field: str, where: str) -> Json:
    """The object in a field, made if there is none."""
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
"""Where a runner says how far it is."""


def runner_spec(
    spec: InferenceTaskSpec, name: str, source: ModelSource, image: str, cache: NodeCache | None
) -> Json:
    """The pod's spec for a task of ours, called `name`.

    Raises:
        InvalidTask: an address of the task is none.
    """
    mounts = PodVolumes()
    try:
        arguments = ["run", *model_arguments(mounts, source)]
        arguments += ["--inferences", str(spec.inferences), "--batch", str(spec.batch_size)]
        for dimension, size in sorted(spec.input_shapes.items()):
            arguments += ["--shape", f"{dimension}={size}"]
        arguments += _input(mounts, spec) + _output(mounts, spec, name)
        if cache is not None and not Address.parse(source.uri).mounted:
            kept = str(cache.most_bytes)
            arguments += ["--cache", mounts.cache(cache), "--cache-bytes", kept]
    except InvalidInput as error:
        raise InvalidTask(str(error)) from error
    arguments += ["--progress-port", str(PORT)]
    device = {"fieldRef": {"fieldPath": f"metadata.annotations['{DEVICE_ANNOTATION}']"}}
    pod = pod_spec(image, arguments, mounts)
    (container,) = pod["containers"]
    container["env"] = [{"name": "ACESNIPER_DEVICE", "valueFrom": device}]
    container["ports"] = [{"name": PROGRESS_PORT, "containerPort": PORT}]
    container["resources"] = copy.deepcopy(spec.resources)
    if spec.output is not None and spec.output.uri.startswith("pvc://"):
        # So that a new volume can be written; one that can already is left as it is.
        pod["securityContext"] |= {"fsGroup": USER, "fsGroupChangePolicy": "OnRootMismatch"}
    return pod


def model_arguments(mounts: PodVolumes, source: ModelSource) -> list[str]:
    """Where the model is, which it must be, and what opens its store. Raises InvalidInput."""
    arguments = [mounts.path("model", Address.parse(source.uri)), "--sha256", source.sha256]
    return arguments + _secret(mounts, "model", "--secret", source.secret)


def pod_spec(image: str, arguments: Sequence[str], mounts: PodVolumes) -> Json:
    """A pod of one container under the restricted standard, without a token for the API server."""
    return {
        "automountServiceAccountToken": False,
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
        "volumes": [{"name": "scratch", "emptyDir": {}}, *mounts.volumes],
    }


def _input(mounts: PodVolumes, spec: InferenceTaskSpec) -> list[str]:
    if spec.input is None:
        return []
    arguments = ["--input", mounts.path("input", Address.parse(spec.input.uri))]
    if spec.input.sha256:
        arguments += ["--input-sha256", spec.input.sha256]
    return arguments + _secret(mounts, "input", "--input-secret", spec.input.secret)


def _output(mounts: PodVolumes, spec: InferenceTaskSpec, name: str) -> list[str]:
    """Below the task's name: two tasks that say the same place do not overwrite each other."""
    if spec.output is None:
        return []
    uri, question, query = spec.output.uri.partition("?")
    address = Address.parse(f"{uri.rstrip('/')}/{name}{question}{query}")
    arguments = ["--output", mounts.path("output", address, write=True)]
    return arguments + _secret(mounts, "output", "--output-secret", spec.output.secret)


def _secret(mounts: PodVolumes, role: str, option: str, name: str | None) -> list[str]:
    return [option, mounts.secret(role, name)] if name else []
