import pytest

from acesniper.domain.device import Device
from acesniper.domain.prediction import FEASIBLE
from acesniper.domain.task import Task
from acesniper.policies.estimates import check_feasibility
from builders import make_device, make_task

MIB = 2**20


def test_a_plain_task_fits_a_plain_device() -> None:
    device = make_device()

    assert check_feasibility(make_task(), device, {}) == FEASIBLE


@pytest.mark.parametrize(
    ("task", "device", "reason", "lasting"),
    [
        pytest.param(
            make_task(providers=frozenset({"cuda", "openvino"})),
            make_device(provider="cpu"),
            "its provider is cpu, the task requires cuda, openvino",
            True,
            id="provider",
        ),
        pytest.param(
            make_task(),
            make_device(schedulable=False),
            "its node is cordoned or not ready",
            False,
            id="node",
        ),
        pytest.param(
            make_task(node_selector=(("zone", "a"),)),
            make_device(),
            "its node has no label zone=a",
            True,
            id="label",
        ),
        pytest.param(
            make_task(memory_bytes=300 * MIB),
            make_device(memory_bytes=200 * MIB),
            "the model needs 300 MiB, the device has 200",
            True,
            id="memory",
        ),
    ],
)
def test_a_refusal_says_why_and_whether_waiting_helps(
    task: Task, device: Device, reason: str, lasting: bool
) -> None:
    verdict = check_feasibility(task, device, {device.id: {"zone": "b"}})

    assert (verdict.feasible, verdict.reason, verdict.lasting) == (False, reason, lasting)


@pytest.mark.parametrize(
    ("task", "device"),
    [
        pytest.param(make_task(providers=frozenset({"cpu", "x"})), make_device(), id="provider"),
        pytest.param(make_task(node_selector=(("zone", "b"),)), make_device(), id="label"),
        pytest.param(make_task(memory_bytes=MIB), make_device(memory_bytes=MIB), id="just fits"),
        pytest.param(make_task(memory_bytes=MIB), make_device(memory_bytes=0), id="size unknown"),
    ],
)
def test_what_fits_is_not_refused(task: Task, device: Device) -> None:
    assert check_feasibility(task, device, {device.id: {"zone": "b"}}).feasible
