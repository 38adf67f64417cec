"""Validation by the API server: specs are accepted unchanged, or refused with the reason."""

import json
from typing import Any

import pytest
import yaml

from acesniper.api.crd import RESOURCES, Resource
from acesniper.testbed import ControlPlane
from acesniper.testbed.deployment import ROOT, Deployment
from acesniper.testbed.errors import CommandFailed

SHA = "a" * 64
SOURCE = {"uri": "http://models/x.onnx", "sha256": SHA}


def manifest(kind: str, spec: object, name: str = "x") -> str:
    metadata = {"name": name, "namespace": "default"}
    document = {"apiVersion": "acesniper.io/v1alpha1", "kind": kind, "metadata": metadata}
    return json.dumps({**document, "spec": spec})


@pytest.mark.parametrize(
    ("kind", "spec", "message"),
    [
        pytest.param("InferenceTask", {}, "give either spec.model", id="neither model nor source"),
        pytest.param(
            "InferenceTask", {"model": "m", "source": SOURCE}, "give either spec.model", id="both"
        ),
        pytest.param(
            "InferenceTask",
            {"model": "m", "inferences": 0},
            "spec.inferences in body should be greater than or equal to 1",
            id="no inferences",
        ),
        pytest.param(
            "InferenceTask",
            {"model": "m", "deadline": "soon"},
            "spec.deadline in body should match",
            id="deadline is no duration",
        ),
        pytest.param(
            "InferenceTask",
            {"model": "m", "deadline": "0s"},
            "spec.deadline must be longer than 0s",
            id="deadline of zero",
        ),
        pytest.param(
            "InferenceTask",
            {"model": "m", "deadlinePolicy": "Reject"},
            "spec.deadlinePolicy Reject needs spec.deadline",
            id="reject without deadline",
        ),
        pytest.param(
            "InferenceTask",
            {"source": {**SOURCE, "sha256": "abc"}},
            "spec.source.sha256 in body should match",
            id="invalid digest",
        ),
        pytest.param(
            "InferenceTask",
            {"source": {**SOURCE, "uri": "file:///etc/passwd"}},
            "spec.source.uri in body should match",
            id="a file of the host",
        ),
        pytest.param(
            "InferenceTask",
            {"model": "m", "inputShapes": {"sequence": -1}},
            "spec.inputShapes.sequence in body should be greater than or equal to 0",
            id="negative dimension",
        ),
        pytest.param(
            "DeviceProfile", {"node": "n", "slots": 0}, "spec.slots in body", id="no slots"
        ),
        pytest.param("DeviceProfile", {}, "spec.node: Required value", id="no node"),
        pytest.param("ModelProfile", {}, "spec.source: Required value", id="no source"),
        pytest.param(
            "ModelProfile",
            {"source": {**SOURCE, "uri": "https://user:password@host/m.onnx"}},
            "spec.source.uri in body should match",
            id="a password in the address",
        ),
        pytest.param(
            "ModelProfile",
            {"source": {**SOURCE, "uri": "pvc://claim/m.onnx", "secret": "keys"}},
            "spec.source.secret is valid only for http(s)://, s3:// and oci://",
            id="a secret for a volume",
        ),
        pytest.param(
            "InferenceTask",
            {"source": {**SOURCE, "uri": "hostpath:///srv/../etc/shadow"}},
            "spec.source.uri must not leave its volume",
            id="out of the volume",
        ),
        pytest.param(
            "InferenceTask",
            {"model": "m", "input": {"uri": "hostpath:///srv/x.npy"}},
            "spec.input.uri in body should match",
            id="an input on the node",
        ),
        pytest.param(
            "InferenceTask",
            {
                "model": "m",
                "template": {"spec": {"containers": [{"name": "runner"}]}},
                "output": {"uri": "pvc://claim/out"},
            },
            "with spec.template leave them out",
            id="outputs of one's own container",
        ),
    ],
)
def test_an_invalid_spec_is_refused_with_the_reason(
    system: Deployment, kind: str, spec: dict[str, Any], message: str
) -> None:
    with pytest.raises(CommandFailed) as refused:
        system.plane.kubectl("create", "-f", "-", stdin=manifest(kind, spec))

    assert message in str(refused.value)


def test_a_name_too_long_for_a_label_is_refused(system: Deployment) -> None:
    with pytest.raises(CommandFailed, match=r"at most 63 characters"):
        system.plane.kubectl(
            "create", "-f", "-", stdin=manifest("InferenceTask", {"model": "m"}, "x" * 64)
        )


@pytest.mark.parametrize(
    ("uri", "secret"),
    [
        ("s3://bucket/deep/m.onnx?endpoint=https://store:9000", "keys"),
        ("oci+http://registry.local:5000/org/net:v1", "keys"),
        ("pvc://claim/deep/..m.onnx", None),
        ("hostpath:///srv/models/m.onnx", None),
        ("configmap://models/m.onnx", None),
    ],
)
def test_every_kind_of_model_address_is_accepted(
    system: Deployment, uri: str, secret: str | None
) -> None:
    source = {"uri": uri, "sha256": SHA} | ({"secret": secret} if secret else {})
    spec = {"source": source, "input": {"uri": "pvc://claim/in"}, "output": {"uri": "s3://bucket"}}
    asked = manifest("InferenceTask", spec)

    system.plane.kubectl("create", "--dry-run=server", "-f", "-", stdin=asked)


@pytest.mark.parametrize(
    ("field", "value"),
    [("model", "other"), ("inferences", 3), ("batchSize", 2), ("runtime", ["cuda"])],
)
def test_the_model_of_a_task_is_immutable(
    system: Deployment, namespace: str, field: str, value: object
) -> None:
    document = json.loads(manifest("InferenceTask", {"model": "m"}))
    document["metadata"]["namespace"] = namespace
    system.plane.kubectl("create", "-f", "-", stdin=json.dumps(document))

    patch = json.dumps({"spec": {field: value}})
    with pytest.raises(CommandFailed, match=rf"spec\.{field} is immutable"):
        system.plane.kubectl("patch", "itask", "x", "-n", namespace, "--type=merge", "-p", patch)


def test_the_api_server_prunes_no_field_of_a_measured_profile(control_plane: ControlPlane) -> None:
    path = sorted((ROOT / "examples/devices").glob("*.yaml"))[0]
    shipped = yaml.safe_load(path.read_text())
    shipped["metadata"]["name"] = "prune-nothing"
    shipped["spec"]["node"] = "absent"
    text = json.dumps(shipped)

    control_plane.kubectl("apply", "--server-side", "-f", "-", stdin=text)
    control_plane.kubectl("apply", "--server-side", "--subresource=status", "-f", "-", stdin=text)
    kept = json.loads(control_plane.kubectl("get", "dprof", "prune-nothing", "-o", "json"))
    control_plane.kubectl("delete", "dprof", "prune-nothing")

    assert shipped["spec"].items() <= kept["spec"].items()
    measured = {key: value for key, value in shipped["status"].items() if key != "conditions"}
    assert measured == {key: kept["status"][key] for key in measured}


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.kind)
def test_kubectl_explains_every_field(system: Deployment, resource: Resource) -> None:
    for part in ("spec", "status"):
        text = system.plane.kubectl("explain", f"{resource.plural}.{part}", "--recursive=false")

        assert "<no description>" not in text
        assert "FIELDS:" in text
