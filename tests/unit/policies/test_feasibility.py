from typing import Any

import pytest

from acesniper.api.names import PERSISTENT_VOLUMES, STORAGE_CLASSES, VOLUME_CLAIMS
from acesniper.api.pod_rules import node_rules, pod_requests, pod_rules
from acesniper.api.volume_rules import BIND_COMPLETED, VolumeIndex
from acesniper.domain.device import NodeName
from acesniper.domain.scheduling_rules import PodRules
from acesniper.policies.feasibility import node_verdict
from acesniper.policies.node_resources import NodeResources
from acesniper.policies.plan import make_plan
from acesniper.policies.policy import Policy
from builders import make_device, make_snapshot, make_task, selecting

NODE = NodeName("node-a")


def rules(**spec: Any) -> PodRules:  # noqa: ANN401 - fields of a pod's spec
    return pod_rules("ns", "pod", {"containers": [{"name": "runner"}], **spec})


def node(**parts: Any) -> dict[str, Any]:  # noqa: ANN401 - spec or status of a node
    return {"metadata": {"name": "n1", "labels": {"zone": "a", "rank": "7"}}, **parts}


def taint(effect: str, value: str = "x") -> dict[str, Any]:
    return {"taints": [{"key": "gpu", "value": value, "effect": effect}]}


@pytest.mark.parametrize(
    ("pod", "at", "reason"),
    [
        pytest.param({}, {}, "", id="nothing"),
        pytest.param(
            {},
            {"spec": taint("NoExecute")},
            "its node has the taint gpu=x:NoExecute, which is not tolerated",
            id="taint",
        ),
        pytest.param({}, {"spec": taint("PreferNoSchedule")}, "", id="soft taint"),
        pytest.param(
            {"tolerations": [{"key": "gpu", "operator": "Exists"}]},
            {"spec": taint("NoSchedule")},
            "",
            id="tolerated",
        ),
        pytest.param({}, {"spec": {"unschedulable": True}}, "its node is cordoned", id="cordon"),
        pytest.param(
            {"tolerations": [{"operator": "Exists"}]},
            {"spec": {"unschedulable": True}},
            "",
            id="tolerated cordon",
        ),
        pytest.param(
            {"containers": [{"name": "c", "resources": {"limits": {"cpu": "64"}}}]},
            {"status": {"allocatable": {"cpu": "4", "pods": "110"}}},
            "the task requests 64 of cpu, its node has 4",
            id="cpu",
        ),
        pytest.param(
            {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "images"}}]},
            {},
            "volume claim ns/images does not exist",
            id="missing claim",
        ),
    ],
)
def test_a_rule_that_a_node_breaks_is_the_reason(
    pod: dict[str, Any], at: dict[str, Any], reason: str
) -> None:
    verdict = node_verdict(rules(**pod), node_rules(node(**at)), VolumeIndex())

    assert verdict.reason == reason
    assert verdict.feasible is (not reason)


@pytest.mark.parametrize(
    ("operator", "values", "expected"),
    [
        ("Gt", ["6"], True),
        ("Gt", ["7"], False),
        ("Lt", ["8"], True),
        ("Lt", ["x"], False),
        ("NotIn", ["7"], False),
        ("Exists", [], True),
    ],
)
def test_each_operator_of_required_affinity(
    operator: str, values: list[str], expected: bool
) -> None:
    expression = {"key": "rank", "operator": operator, "values": values}
    terms = [{"matchFields": []}, {"matchExpressions": [expression]}]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}

    verdict = node_verdict(rules(affinity={"nodeAffinity": required}), node_rules(node()))

    assert verdict.feasible is expected


def test_requests_of_containers_sidecars_and_init_containers() -> None:
    def container(cpu: str, **more: str) -> dict[str, Any]:
        return {"name": cpu, "resources": {"requests": {"cpu": cpu}}, **more}

    spec = {
        "containers": [container("200m"), container("100m")],
        "initContainers": [
            container("300m"),
            container("50m", restartPolicy="Always"),
            container("1"),
        ],
        "overhead": {"cpu": "10m", "memory": "1.5Ki"},
    }

    # The last init container starts while the sidecar runs: 1000 + 50, more than all that runs.
    assert pod_requests(spec) == {"cpu": 1060, "memory": 1536, "pods": 1}
    whole = {**spec, "resources": {"requests": {"cpu": "2"}}}
    assert pod_requests(whole)["cpu"] == 2010


def test_pods_of_one_shape_share_their_rules_and_signature() -> None:
    claim = {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "images"}}]}

    assert rules(nodeSelector={"a": "b"}) is rules(nodeSelector={"a": "b"})
    shapes = [rules(), rules(hostNetwork=True), rules(**claim), rules(nodeSelector={"a": "c"})]
    assert len({shape.signature for shape in shapes}) == len(shapes)


def volumes(zone: str, *, provisioner: str = "kubernetes.io/no-provisioner") -> VolumeIndex:
    """A class for the first consumer, an unbound claim `ns/images`, and a free volume in a zone."""
    index = VolumeIndex()
    affinity = {"matchExpressions": [{"key": "zone", "operator": "In", "values": [zone]}]}
    index.apply(
        STORAGE_CLASSES,
        {
            "metadata": {"name": "local"},
            "provisioner": provisioner,
            "volumeBindingMode": "WaitForFirstConsumer",
            "allowedTopologies": [
                {"matchLabelExpressions": [{"key": "zone", "values": ["elsewhere"]}]}
            ],
        },
        deleted=False,
    )
    index.apply(
        PERSISTENT_VOLUMES,
        {
            "metadata": {"name": "pv"},
            "spec": {
                "storageClassName": "local",
                "capacity": {"storage": "1Gi"},
                "accessModes": ["ReadWriteOnce"],
                "nodeAffinity": {"required": {"nodeSelectorTerms": [affinity]}},
            },
            "status": {"phase": "Available"},
        },
        deleted=False,
    )
    index.apply(VOLUME_CLAIMS, claim_object(), deleted=False)
    return index


def claim_object(**spec: Any) -> dict[str, Any]:  # noqa: ANN401 - fields of the claim's spec
    annotations = {BIND_COMPLETED: "yes"} if spec.get("volumeName") else {}
    return {
        "metadata": {"namespace": "ns", "name": "images", "annotations": annotations},
        "spec": {
            "storageClassName": "local",
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            **spec,
        },
    }


@pytest.mark.parametrize(("zone", "expected"), [("a", True), ("b", False)])
@pytest.mark.parametrize("bound", [True, False])
def test_a_claim_restricts_its_pod_to_the_nodes_of_its_volume(
    zone: str, expected: bool, bound: bool
) -> None:
    index = volumes(zone)
    if bound:
        index.apply(VOLUME_CLAIMS, claim_object(volumeName="pv"), deleted=False)
    pod = rules(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "images"}}])

    assert node_verdict(pod, node_rules(node()), index).feasible is expected


def test_an_unbound_claim_follows_the_topology_of_its_class() -> None:
    pod = rules(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "images"}}])
    index = volumes("b", provisioner="example.com/provisioner")

    here, there = node(), node()
    there["metadata"]["labels"] = {"zone": "elsewhere"}
    assert not node_verdict(pod, node_rules(here), index).feasible
    assert node_verdict(pod, node_rules(there), index).feasible


def test_requests_fit_now_or_after_the_pods_that_hold_slots() -> None:
    resources = NodeResources()
    resources.set_node(NODE, {"cpu": 4000, "pods": 110})
    resources.set_pod("task", NODE, (("cpu", 2000), ("pods", 1)), holds_slot=True)
    resources.set_pod("other", NODE, (("cpu", 1000), ("pods", 1)), holds_slot=False)
    devices = [make_device("d1", NODE, slots=2)]

    free = resources.snapshot(devices)

    assert not resources.fits(NODE, (("cpu", 1500),))
    assert resources.fits(NODE, (("cpu", 3000),), excluded="task")
    now, later = free.fitting((("cpu", 1500),))
    assert (now is not None and now.tolist(), later) == ([False], None)
    assert free.verdict((("cpu", 3500),), 0).reason == (
        "the task requests 3.5 of cpu, its node has 3 left"
    )
    resources.delete_pod("task")
    assert resources.snapshot(devices).fitting((("cpu", 1500),)) == (None, None)


def test_a_task_that_does_not_fit_leaves_the_free_slot_to_another() -> None:
    resources = NodeResources()
    resources.set_node(NODE, {"cpu": 4000})
    resources.set_pod("server", NODE, (("cpu", 3000),), holds_slot=False)
    device = make_device("d1", NODE)
    snapshot = make_snapshot([device], {"m": {"d1": 1.0}})
    snapshot = type(snapshot)(0.0, snapshot.estimates, {}, resources.snapshot([device]))
    big = make_task("ns/big", "default/m", pod_rules=PodRules(requests=(("cpu", 2000),)))
    small = make_task("ns/small", "default/m", pod_rules=PodRules(requests=(("cpu", 1000),)))

    plan = make_plan([big, small], snapshot, Policy())

    assert [planned.task.key for planned in plan.planned] == ["ns/small"]
    reasons = plan.infeasible_devices(big.key, snapshot)
    assert [verdict.reason for verdict in reasons.values()] == [
        "the task requests 2 of cpu, its node has 1 left"
    ]


def test_a_selector_of_rules_is_evaluated_on_the_labels_of_the_node() -> None:
    assert node_verdict(selecting(zone="a"), node_rules(node())).feasible
    assert not node_verdict(selecting(zone="b"), node_rules(node())).feasible
