"""Pending tasks: reasons why no device can run them, and variants of ModelProfiles."""

from dataclasses import replace
from typing import Any

import pytest

from acesniper.api.objects import PodView
from acesniper.api.v1alpha1 import DeviceProfile, InferenceTask, InferenceTaskSpec, ModelProfile
from acesniper.operator.task.lifecycle import next_action
from acesniper.operator.task.pending import (
    UNSCHEDULABLE_TTL_S,
    unschedulable_reason,
    variant_manifest,
    variant_name,
)
from acesniper.operator.task.pod import pod_name
from acesniper.operator.task.snapshot import TaskSnapshot
from builders import (
    SHA256,
    make_device_profile,
    make_gated_pod,
    make_itask,
    make_model_profile,
    make_node,
)


def message(*, gated: bool, cordoned: bool = False, **spec: Any) -> str | None:  # noqa: ANN401 - as make_itask
    """What a task says on a fleet of four small processors, of which one is in a rack."""
    names = ("d1", "d2", "d3", "d4")
    nodes = {
        f"node-{device_name}": make_node(f"node-{device_name}", cordoned=cordoned)
        for device_name in names
    }
    nodes["node-d4"]["metadata"]["labels"] = {"rack": "a"}
    profiles = {device_name: make_device_profile(device_name) for device_name in names}
    for profile in profiles.values():
        profile["status"]["memoryBytes"] = 2**20
    task = InferenceTask.model_validate(make_itask(status={"phase": "Queued"}, **spec))
    name = pod_name(task)
    pod = make_gated_pod(name)
    model = make_model_profile()
    model["status"]["peakMemoryBytes"] = 2**20
    snapshot = TaskSnapshot(
        task=task,
        pods={name: (PodView.of(pod), pod)} if gated else {},
        models={"model": ModelProfile.model_validate(model)},
        may_queue=True,
        now_s=0.0,
        image="runner:1",
        nodes=nodes,
        devices={name: DeviceProfile.model_validate(profile) for name, profile in profiles.items()},
    )
    return next_action(snapshot).status.message


@pytest.mark.parametrize("gated", [True, False])
def test_a_task_that_no_device_can_run_reports_why(gated: bool) -> None:
    text = message(gated=gated, runtime=["cuda"])

    reason = "its provider is cpu, the task requires cuda"
    assert text == f"no device can run the task: d1, d2, d3 and 1 more: {reason}"


def test_a_task_that_one_device_can_run_waits_without_a_reason() -> None:
    assert message(gated=True, nodeSelector={"rack": "a"}) == "waits for a device"


def test_each_reason_names_its_devices() -> None:
    text = message(gated=True, cordoned=True, nodeSelector={"rack": "a"})

    assert text == "no device can run the task: d1, d2, d3 and 1 more: its node is cordoned"


def test_tasks_with_equal_requests_share_an_unschedulable_reason_until_it_expires() -> None:
    fleet = {
        device_name: DeviceProfile.model_validate(make_device_profile(device_name))
        for device_name in ("d1", "d2")
    }
    model = ModelProfile.model_validate(make_model_profile())
    task = InferenceTask.model_validate(make_itask(runtime=["cuda"]))
    nodes = {profile.spec.node: make_node(profile.spec.node) for profile in fleet.values()}
    seen = TaskSnapshot(
        task, {}, {}, may_queue=True, now_s=0.0, image="", nodes=nodes, devices=fleet
    )
    at_first = unschedulable_reason(seen, "model", model)
    fleet.pop("d2")

    soon = unschedulable_reason(replace(seen, now_s=UNSCHEDULABLE_TTL_S / 2), "model", model)
    later = unschedulable_reason(replace(seen, now_s=UNSCHEDULABLE_TTL_S), "model", model)
    before = unschedulable_reason(replace(seen, now_s=-UNSCHEDULABLE_TTL_S), "model", model)

    assert at_first is not None
    assert "d2" in at_first
    assert soon == at_first
    assert (
        later
        == before
        == "no device can run the task: d1: its provider is cpu, the task requires cuda"
    )


OWN = {"uri": "https://models.example/own.onnx", "sha256": SHA256}


def spec(**fields: Any) -> InferenceTaskSpec:  # noqa: ANN401
    model = None if "source" in fields else "model"
    return InferenceTask.model_validate(make_itask(model=model, **fields)).spec


def base(name: str = "model", **fields: Any) -> ModelProfile:  # noqa: ANN401
    return ModelProfile.model_validate(make_model_profile(name, **fields))


def test_a_profile_that_fits_is_used_as_it_is() -> None:
    assert variant_name(spec(), base()) == "model"
    assert variant_name(spec(batchSize=4), base(batchSize=4)) == "model"


def test_shapes_that_the_profile_has_anyway_fit() -> None:
    profile = base(inputShapes={"height": 224, "width": 224})

    assert variant_name(spec(inputShapes={"height": 224}), profile) == "model"


def test_another_batch_or_shape_needs_its_own_profile() -> None:
    profile = base(inputShapes={"height": 224})

    names = {
        variant_name(spec(), profile),
        variant_name(spec(batchSize=4), profile),
        variant_name(spec(inputShapes={"height": 512}), profile),
        variant_name(spec(batchSize=4, inputShapes={"height": 512}), profile),
    }

    assert len(names) == 4


def test_tasks_that_ask_for_the_same_share_a_profile() -> None:
    first = variant_name(spec(source=OWN, inputShapes={"a": 1, "b": 2}), None)
    second = variant_name(spec(source=OWN, inputShapes={"b": 2, "a": 1}), None)

    assert first == second


def test_another_file_is_another_profile() -> None:
    other = OWN | {"sha256": "b" * 64}

    assert variant_name(spec(source=OWN), None) != variant_name(spec(source=other), None)


def test_a_long_name_still_fits_a_label() -> None:
    profile = base("m" * 63)

    name = variant_name(
        InferenceTask.model_validate(make_itask(model="m" * 63, batchSize=65536)).spec, profile
    )

    assert len(name) <= 63


def test_a_variant_has_the_source_of_its_base_and_both_shapes() -> None:
    profile = base(inputShapes={"height": 224, "width": 224})
    wanted = spec(batchSize=4, inputShapes={"height": 512})

    manifest = ModelProfile.model_validate(
        variant_manifest("v", "ns", profile.spec.source, wanted, profile)
    )

    labels = {"acesniper.io/derived": "true"}
    assert manifest.metadata == {"name": "v", "namespace": "ns", "labels": labels}
    assert manifest.spec.source == profile.spec.source
    assert manifest.spec.batch_size == 4
    assert manifest.spec.input_shapes == {"height": 512, "width": 224}
