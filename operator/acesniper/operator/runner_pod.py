"""What a pod of our own image looks like: the runner of a task, the reader of a model."""

import copy
from collections.abc import Sequence
from typing import Any

from acesniper.api.address import Address
from acesniper.api.names import DEVICE_ANNOTATION, PROGRESS_PORT, RUNNER_CONTAINER
from acesniper.api.v1alpha1 import InferenceTaskSpec, ModelSource
from acesniper.domain.errors import InvalidInput, InvalidTask
from acesniper.operator.task.volumes import NodeCache, PodVolumes

Json = dict[str, Any]

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
