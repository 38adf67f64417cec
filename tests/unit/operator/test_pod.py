import copy
from typing import Any

import pytest

from acesniper.api.names import PLAN_GATE, SLOT_RESOURCE
from acesniper.api.v1alpha1 import InferenceTask, ModelSource
from acesniper.domain.errors import InvalidTask
from acesniper.operator.task.pod import pod_name, render_pod
from builders import SHA256, make_itask

SOURCE = ModelSource(uri="https://models.example/m.onnx", sha256=SHA256)


def task(name: str = "t", status: dict[str, Any] | None = None, **spec: Any) -> InferenceTask:  # noqa: ANN401
    return InferenceTask.model_validate(make_itask(name, "ns", status=status, **spec))


def rendered(**spec: Any) -> dict[str, Any]:  # noqa: ANN401
    return render_pod(task(**spec), "model-b4", SOURCE, "runner:1")


def test_a_plain_task_renders_to_this_pod() -> None:
    pod = rendered(batchSize=4, inferences=100, inputShapes={"height": 224, "width": 320})

    assert pod == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": pod_name(task()),
            "namespace": "ns",
            "labels": {
                "acesniper.io/task": "t",
                "acesniper.io/model": "model-b4",
                "acesniper.io/attempt": "0",
            },
            "annotations": {"acesniper.io/model-sha256": SHA256, "acesniper.io/generation": "1"},
            "ownerReferences": [
                {
                    "apiVersion": "acesniper.io/v1alpha1",
                    "kind": "InferenceTask",
                    "name": "t",
                    "uid": "uid-ns-t",
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {
            "schedulerName": "ace-sniper",
            "schedulingGates": [{"name": "acesniper.io/plan"}],
            "restartPolicy": "Never",
            "tolerations": [
                {
                    "key": f"node.kubernetes.io/{taint}",
                    "operator": "Exists",
                    "effect": "NoExecute",
                    "tolerationSeconds": 60,
                }
                for taint in ("not-ready", "unreachable")
            ],
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "runner",
                    "image": "runner:1",
                    "args": [
                        "run",
                        "https://models.example/m.onnx",
                        "--sha256",
                        SHA256,
                        "--inferences",
                        "100",
                        "--batch",
                        "4",
                        "--shape",
                        "height=224",
                        "--shape",
                        "width=320",
                        "--progress-port",
                        "8786",
                    ],
                    "env": [
                        {
                            "name": "ACESNIPER_DEVICE",
                            "valueFrom": {
                                "fieldRef": {
                                    "fieldPath": "metadata.annotations['acesniper.io/device']"
                                }
                            },
                        }
                    ],
                    "ports": [{"name": "progress", "containerPort": 8786}],
                    "resources": {
                        "limits": {"acesniper.io/slot": "1"},
                        "requests": {"cpu": "100m", "memory": "256Mi"},
                    },
                    "terminationMessagePolicy": "FallbackToLogsOnError",
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    "volumeMounts": [{"name": "scratch", "mountPath": "/tmp"}],  # noqa: S108
                }
            ],
            "volumes": [{"name": "scratch", "emptyDir": {"sizeLimit": "8Gi"}}],
        },
    }


def test_a_template_is_kept_and_completed() -> None:
    template = {
        "metadata": {"labels": {"team": "a"}, "annotations": {"note": "b"}},
        "spec": {
            "schedulingGates": [{"name": "own/gate"}],
            "schedulerName": "another",
            "nodeSelector": {"disk": "ssd"},
            "tolerations": [{"key": "x"}],
            "containers": [
                {"name": "sidecar", "image": "s"},
                {"name": "runner", "image": "mine", "resources": {"limits": {"memory": "1Gi"}}},
            ],
        },
    }

    pod = rendered(
        template=template,
        nodeSelector={"zone": "a"},
        tolerations=[{"key": "y"}],
        priorityClassName="urgent",
    )

    spec = pod["spec"]
    assert pod["metadata"]["labels"]["team"] == "a"
    assert pod["metadata"]["annotations"]["note"] == "b"
    assert [gate["name"] for gate in spec["schedulingGates"]] == ["own/gate", PLAN_GATE]
    assert (spec["schedulerName"], spec["restartPolicy"]) == ("ace-sniper", "Never")
    assert spec["nodeSelector"] == {"disk": "ssd", "zone": "a"}
    assert spec["tolerations"][:2] == [{"key": "x"}, {"key": "y"}]
    assert spec["priorityClassName"] == "urgent"
    sidecar, runner = spec["containers"]
    assert "resources" not in sidecar
    assert runner["resources"]["limits"] == {"memory": "1Gi", SLOT_RESOURCE: "1"}


@pytest.mark.parametrize(
    ("tolerations", "left"),
    [
        ([{"key": "node.kubernetes.io/not-ready"}], ["node.kubernetes.io/unreachable"]),
        ([{"operator": "Exists"}], []),
    ],
    ids=["one taint", "all taints"],
)
def test_tolerations_of_unreachable_nodes_in_the_spec_are_kept(
    tolerations: list[dict[str, Any]], left: list[str]
) -> None:
    spec = rendered(tolerations=tolerations)["spec"]

    assert [toleration["key"] for toleration in spec["tolerations"][len(tolerations) :]] == left


def test_other_containers_of_a_template_hold_no_slots() -> None:
    many = {"limits": {"acesniper.io/slot": "7"}, "requests": {"acesniper.io/slot": "7"}}
    names = "other", "runner"
    containers = [{"name": name, "resources": copy.deepcopy(many)} for name in names]

    other, runner = rendered(template={"spec": {"containers": containers}})["spec"]["containers"]

    assert other["resources"] == {"limits": {}, "requests": {}}
    assert runner["resources"]["limits"] == {"acesniper.io/slot": "1"}


def test_without_a_runner_container_the_first_takes_the_slot() -> None:
    template = {"spec": {"containers": [{"name": "own"}, {"name": "other"}]}}

    own, other = rendered(template=template)["spec"]["containers"]

    assert own["resources"]["limits"] == {SLOT_RESOURCE: "1"}
    assert "resources" not in other


def test_rendering_changes_nothing_of_the_task() -> None:
    template = {"spec": {"containers": [{"name": "runner", "resources": {"limits": {}}}]}}
    before = task(template=template, resources={"limits": {"cpu": "1"}})
    text = before.model_dump_json()

    render_pod(before, "m", SOURCE, "i")

    assert before.model_dump_json() == text


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ({"spec": "x"}, "spec.template.spec must be an object"),
        ({"metadata": [], "spec": {}}, "spec.template.metadata must be an object"),
        ({"metadata": {"labels": "x"}, "spec": {}}, "metadata.labels must be an object"),
        ({"spec": {"containers": "x"}}, "spec.template.spec.containers must be a list"),
        ({"spec": {"containers": [None]}}, "containers must be a list of objects"),
        ({"spec": {"schedulingGates": {"a": 1}}}, "schedulingGates must be a list"),
        ({"spec": {"containers": [{"name": "a", "resources": 1}]}}, "resources must be an object"),
        (
            {"spec": {"containers": [{"name": "a", "resources": {"limits": []}}]}},
            "limits must be an object",
        ),
    ],
)
def test_an_invalid_template_is_rejected_and_names_the_field(
    template: dict[str, Any], message: str
) -> None:
    """The schema accepts any JSON there."""
    with pytest.raises(InvalidTask, match=message):
        rendered(template=template)


def test_invalid_limits_are_rejected_and_name_the_field() -> None:
    with pytest.raises(InvalidTask, match=r"^spec\.resources\.limits must be an object"):
        rendered(resources={"limits": "x"})


def test_an_invalid_toleration_is_left_to_the_api_server() -> None:
    assert rendered(tolerations=[{"key": ["x"]}])["spec"]["tolerations"][0] == {"key": ["x"]}


def test_only_labels_annotations_and_finalizers_of_a_template_are_used() -> None:
    metadata = {"labels": {"a": "b"}, "annotations": {"c": "d"}, "finalizers": ["e/f"]}
    others = {"resourceVersion": "5", "uid": "u", "generateName": "g-"}

    pod = rendered(template={"metadata": metadata | others, "spec": {"containers": []}})

    assert not pod["metadata"].keys() & others.keys()
    assert pod["metadata"]["labels"]["a"] == "b"
    assert pod["metadata"]["annotations"]["c"] == "d"
    assert pod["metadata"]["finalizers"] == ["e/f"]


@pytest.mark.parametrize(
    "template",
    [
        {"spec": None},
        {"metadata": None, "spec": {"containers": [{"name": "a", "resources": None}]}},
        {"metadata": {"labels": None}, "spec": {"schedulingGates": None, "nodeSelector": None}},
    ],
)
def test_null_in_a_template_equals_absent(template: dict[str, Any]) -> None:
    pod = rendered(template=template, nodeSelector={"a": "b"})

    assert pod["spec"]["schedulingGates"] == [{"name": PLAN_GATE}]


def test_a_name_is_a_function_of_task_attempt_and_incarnation() -> None:
    names = [
        pod_name(task(status=status))
        for status in ({}, {"attempts": 1}, {"incarnation": 1}, {"attempts": 1, "incarnation": 1})
    ]

    assert len(set(names)) == 4
    assert names[0] == pod_name(task())
    assert all(name.startswith("t-") for name in names)


@pytest.mark.parametrize(
    ("spec", "max_task_s", "expected"),
    [
        ({}, 0.0, None),
        ({"activeDeadline": "90s"}, 0.0, 90),
        ({"activeDeadline": "1500ms"}, 3600.0, 2),
        ({"activeDeadline": "3h"}, 3600.0, 5400),
        ({"template": {"spec": {"activeDeadlineSeconds": 60}}, "activeDeadline": "2m"}, 0.0, 60),
    ],
)
def test_a_pod_is_ended_after_the_shortest_of_its_limits(
    spec: dict[str, Any], max_task_s: float, expected: int | None
) -> None:
    pod = render_pod(task(**spec), "m", SOURCE, "runner:1", max_task_s=max_task_s)

    assert pod["spec"].get("activeDeadlineSeconds") == expected


@pytest.mark.parametrize(
    ("resources", "requests"),
    [
        ({}, {"cpu": "100m", "memory": "256Mi"}),
        ({"limits": {"cpu": "2"}}, {"memory": "256Mi"}),
        ({"requests": {"memory": "1Gi"}}, {"cpu": "100m", "memory": "1Gi"}),
        ({"requests": {"cpu": "1"}, "limits": {"cpu": "50m", "memory": "1Mi"}}, {"cpu": "1"}),
    ],
)
def test_a_runner_requests_what_its_task_leaves_out(
    resources: dict[str, Any], requests: dict[str, str]
) -> None:
    before = copy.deepcopy(resources)

    (container,) = rendered(resources=resources)["spec"]["containers"]

    assert container["resources"]["requests"] == requests
    assert resources == before


def test_a_template_keeps_its_own_resources_and_service_links() -> None:
    template = {"spec": {"containers": [{"name": "runner", "image": "mine"}]}}

    spec = rendered(template=template)["spec"]

    assert "enableServiceLinks" not in spec
    assert spec["containers"][0]["resources"] == {"limits": {SLOT_RESOURCE: "1"}}
