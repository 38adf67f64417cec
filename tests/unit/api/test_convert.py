from typing import Any

import pytest

from acesniper.api import convert
from acesniper.api.v1alpha1 import DeviceProfile, InferenceTask
from acesniper.domain.device import HardwareVector, ProbeResult, Reading
from acesniper.domain.model import ModelFeatures
from acesniper.domain.task import Task
from builders import EPOCH, make_device_profile, make_itask, make_prediction, selecting

RESULT = ProbeResult(
    vector=HardwareVector("hrm", "3", {"gemm": Reading(0.25, 0.01), "copy": Reading(1e-6, 0.2)}),
    provider="cpu",
    runtime="onnxruntime",
    runtime_version="1.23",
    architecture="x86_64",
    cpu_model="Some CPU",
    cores=8,
    threads=4,
    cpu_quota=1.5,
    memory_bytes=8 * 2**30,
    measured_at="2026-01-02T03:04:05Z",
    duration_s=12.5,
    missing=("int8",),
)
FEATURES = ModelFeatures("1", {"work": 2.0}, 3e9, 1e6, 1000, 2**20, {"Conv": 3}, {"resnet": 0.9})


def parsed(**spec: Any) -> Task:  # noqa: ANN401 - fields of the spec
    return convert.to_task(InferenceTask.model_validate(make_itask("t", "ns", **spec)), "profile")


def test_a_task_has_a_namespaced_key_and_a_model_key() -> None:
    task = parsed(inferences=5, runtime=["cuda", "cpu"], nodeSelector={"b": "2", "a": "1"})

    assert (task.key, task.model, task.created_s) == ("ns/t", "ns/profile", 0.0)
    assert task.inferences == 5
    assert task.providers == {"cuda", "cpu"}
    assert task.pod_rules.selector == selecting(a="1", b="2").selector


def test_a_deadline_counts_from_the_creation_time() -> None:
    task = parsed(deadline="1m30s", deadlinePolicy="Reject")

    assert (task.deadline_s, task.reject_late) == (90.0, True)


def test_a_task_without_a_deadline_has_none_and_is_not_rejected() -> None:
    task = parsed()

    assert (task.deadline_s, task.reject_late) == (None, False)


def test_a_device_is_converted_from_its_profile() -> None:
    profile = DeviceProfile.model_validate(
        make_device_profile("d", "n", provider="cuda", slots=3, threads=2)
    )

    device = convert.to_device(profile, schedulable=False)

    assert (device.id, device.node, device.provider, device.slots) == ("d", "n", "cuda", 3)
    assert not device.schedulable


def test_a_probe_result_round_trips_through_its_manifest() -> None:
    manifest = convert.to_device_profile_manifest("d", "n", RESULT)

    assert convert.to_probe_result(manifest) == RESULT


def test_a_manifest_has_a_short_text_about_the_device() -> None:
    manifest = convert.to_device_profile_manifest("d", "n", RESULT)

    shown = DeviceProfile.model_validate(manifest).status.text
    assert shown == "Some CPU, 4 threads, onnxruntime, 1.5 cores allowed"


def test_an_unmeasured_profile_has_no_hardware_vector() -> None:
    manifest = make_device_profile("d", pace=None)

    assert convert.to_hardware_vector(DeviceProfile.model_validate(manifest).status) is None
    with pytest.raises(ValueError, match="DeviceProfile d was not measured"):
        convert.to_probe_result(manifest)


def test_features_round_trip_through_the_status() -> None:
    assert convert.to_model_features(convert.to_model_status(FEATURES)) == FEATURES


def test_the_text_of_a_model_has_its_flops_and_parameters() -> None:
    assert convert.to_model_status(FEATURES).text == "3 GFLOP, 0.001 M parameters"


def test_the_text_of_a_prediction_has_its_interval() -> None:
    assert convert.prediction_text(make_prediction(0.0123)) == "12.3 ms (6.15 ms to 24.6 ms)"


def test_the_creation_time_is_in_seconds_since_the_epoch() -> None:
    manifest = make_itask(metadata={"creationTimestamp": "1970-01-01T00:01:00Z"})

    task = convert.to_task(InferenceTask.model_validate(manifest), "m")

    assert manifest["metadata"]["creationTimestamp"] != EPOCH
    assert task.created_s == 60.0
