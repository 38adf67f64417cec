"""Tasks that no device can take say so while they wait."""

from dataclasses import replace
from typing import Any

import pytest

from acesniper.api.objects import PodView
from acesniper.api.v1alpha1 import DeviceProfile, InferenceTask, ModelProfile
from acesniper.operator.task.lifecycle import next_action
from acesniper.operator.task.pending import UNSCHEDULABLE_TTL_S, unschedulable_reason
from acesniper.operator.task.pod import pod_name
from acesniper.operator.task.snapshot import TaskSnapshot
from builders import make_device_profile, make_gated_pod, make_itask, make_model_profile, make_node


def message(*, gated: bool, cordoned: bool = False, **spec: Any) -> str | None:  # noqa: ANN401 - as make_itask
    """What a task says on a fleet of four small processors, of which one is in a rack."""
    names = ("d1", "d2", "d3", "d4")
    nodes = {f"node-{each}": make_node(f"node-{each}", cordoned=cordoned) for each in names}
    nodes["node-d4"]["metadata"]["labels"] = {"rack": "a"}
    profiles = {each: make_device_profile(each) for each in names}
    for each in profiles.values():
        each["status"]["memoryBytes"] = 2**20
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
        devices={name: DeviceProfile.model_validate(each) for name, each in profiles.items()},
    )
    return next_action(snapshot).status.message


@pytest.mark.parametrize("gated", [True, False])
def test_a_task_that_no_device_can_take_says_why(gated: bool) -> None:
    told = message(gated=gated, runtime=["cuda"])

    reason = "its provider is cpu, the task requires cuda"
    devices = "; ".join(f"{name}: {reason}" for name in ("d1", "d2", "d3"))
    assert told == f"no device can run the task: {devices}; and 1 more"


@pytest.mark.parametrize("cordoned", [True, False])
def test_a_task_that_one_device_can_take_waits_for_it(cordoned: bool) -> None:
    told = message(gated=True, cordoned=cordoned, nodeSelector={"rack": "a"})

    assert told == "waits for a device"


def test_tasks_that_ask_for_the_same_are_told_the_same_until_somebody_looks_again() -> None:
    fleet = {each: DeviceProfile.model_validate(make_device_profile(each)) for each in ("d1", "d2")}
    model = ModelProfile.model_validate(make_model_profile())
    task = InferenceTask.model_validate(make_itask(runtime=["cuda"]))
    nodes = {each.spec.node: make_node(each.spec.node) for each in fleet.values()}
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
