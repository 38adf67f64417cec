"""Volumes and arguments for a task's model, input and outputs."""

from typing import Any

import pytest

from acesniper.api.objects import Json
from acesniper.api.v1alpha1 import InferenceTask, ModelSource
from acesniper.domain.errors import InvalidTask
from acesniper.operator.task.pod import render_pod
from acesniper.operator.task.volumes import NodeCache, without_cache
from builders import SHA256, make_itask

CACHE = NodeCache("/var/lib/models", 1000)


def rendered(
    uri: str,
    secret: str | None = None,
    cache: NodeCache | None = None,
    **spec: Any,  # noqa: ANN401
) -> Json:
    task = InferenceTask.model_validate(make_itask("t", "ns", **spec))
    return render_pod(task, "m", ModelSource(uri=uri, sha256=SHA256, secret=secret), "r", cache)


def container(pod: Json) -> Json:
    found: Json = pod["spec"]["containers"][0]
    return found


def after(pod: Json, option: str) -> str:
    arguments: list[str] = container(pod)["args"]
    return arguments[arguments.index(option) + 1]


def mounted(pod: Json, path: str) -> tuple[Json, bool]:
    """The volume at a path, and whether it can be written."""
    (mount,) = (
        candidate for candidate in container(pod)["volumeMounts"] if candidate["mountPath"] == path
    )
    (volume,) = (
        candidate for candidate in pod["spec"]["volumes"] if candidate["name"] == mount["name"]
    )
    return {key: value for key, value in volume.items() if key != "name"}, "readOnly" not in mount


@pytest.mark.parametrize(
    ("uri", "file", "folder", "volume"),
    [
        (
            "pvc://claim/deep/m.onnx",
            "/mnt/acesniper/claims/claim/deep/m.onnx",
            "/mnt/acesniper/claims/claim",
            {"persistentVolumeClaim": {"claimName": "claim"}},
        ),
        (
            "configmap://models/m.onnx",
            "/mnt/acesniper/model/m.onnx",
            "/mnt/acesniper/model",
            {"configMap": {"name": "models", "optional": True}},
        ),
        (
            "hostpath:///srv/models/m.onnx",
            "/mnt/acesniper/model/m.onnx",
            "/mnt/acesniper/model",
            {"hostPath": {"path": "/srv/models"}},
        ),
    ],
    ids=["pvc", "configmap", "hostpath"],
)
def test_a_model_in_a_volume_is_mounted(uri: str, file: str, folder: str, volume: Json) -> None:
    pod = rendered(uri, cache=CACHE)

    assert container(pod)["args"][:2] == ["run", file]
    assert mounted(pod, folder) == (volume, False)
    assert "--cache" not in container(pod)["args"]


def test_a_secret_is_mounted_and_not_in_the_environment_or_arguments() -> None:
    pod = rendered("s3://bucket/m.onnx", secret="keys")

    assert after(pod, "--secret") == "/run/acesniper/model"
    volume = {"secret": {"secretName": "keys", "optional": True}}
    assert mounted(pod, "/run/acesniper/model") == (volume, False)


def test_a_downloaded_model_uses_the_nodes_cache() -> None:
    pod = rendered("https://host/m.onnx", cache=CACHE)

    volume, writable = mounted(pod, after(pod, "--cache"))
    assert volume["hostPath"]["path"] == "/var/lib/models"
    assert writable
    assert after(pod, "--cache-bytes") == "1000"


def test_without_a_cache_no_host_path_is_mounted() -> None:
    pod = rendered("https://host/m.onnx", cache=CACHE)

    assert without_cache(pod) == rendered("https://host/m.onnx")
    assert without_cache(rendered("https://host/m.onnx")) is None


def test_outputs_go_below_the_tasks_name_into_a_writable_claim() -> None:
    pod = rendered("pvc://data/m.onnx", output={"uri": "pvc://data/out/"})

    assert after(pod, "--output") == "/mnt/acesniper/claims/data/out/t"
    assert mounted(pod, "/mnt/acesniper/claims/data")[1]
    assert len(pod["spec"]["volumes"]) == 2
    assert pod["spec"]["securityContext"]["fsGroup"] == 65532


def test_outputs_go_below_the_tasks_name_in_a_bucket() -> None:
    pod = rendered(
        "https://host/m.onnx",
        output={"uri": "s3://results?endpoint=http://store:9", "secret": "keys"},
    )

    assert after(pod, "--output") == "s3://results/t?endpoint=http://store:9"
    assert after(pod, "--output-secret") == "/run/acesniper/output"


def test_an_input_has_arguments_for_its_digest_and_secret() -> None:
    given = {"uri": "https://host/x.npy", "sha256": SHA256, "secret": "keys"}
    pod = rendered("https://host/m.onnx", input=given)

    assert after(pod, "--input") == "https://host/x.npy"
    assert after(pod, "--input-sha256") == SHA256
    assert after(pod, "--input-secret") == "/run/acesniper/input"


def test_an_address_outside_its_volume_is_rejected() -> None:
    with pytest.raises(InvalidTask, match="must not leave its volume"):
        rendered("pvc://claim/../m.onnx")
