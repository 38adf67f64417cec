import pytest

from acesniper.domain.completion import FEASIBLE, Completion
from acesniper.domain.device import Device
from acesniper.domain.task import Task
from acesniper.policies.feasibility import judge, misses_deadline
from builders import make_device, make_prediction, make_snapshot, make_task

MIB = 2**20


def test_a_plain_task_fits_a_plain_device() -> None:
    device = make_device()

    assert judge(make_task(), device, make_snapshot([device])) == FEASIBLE


@pytest.mark.parametrize(
    ("task", "device", "reason", "lasting"),
    [
        pytest.param(
            make_task(providers=frozenset({"cuda", "openvino"})),
            make_device(provider="cpu"),
            "its provider is cpu, the task asks for cuda, openvino",
            True,
            id="provider",
        ),
        pytest.param(
            make_task(excluded=frozenset({make_device().id})),
            make_device(),
            "kube-scheduler did not bind the task's pod there a moment ago",
            False,
            id="excluded",
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
    verdict = judge(task, device, make_snapshot([device], labels={"d1": {"zone": "b"}}))

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
    snapshot = make_snapshot([device], labels={"d1": {"zone": "b"}})

    assert judge(task, device, snapshot).feasible


@pytest.mark.parametrize(
    ("deadline_s", "reject_late", "late"),
    [
        pytest.param(None, True, False, id="no deadline"),
        pytest.param(1.0, False, False, id="best effort"),
        pytest.param(107.0, True, False, id="the optimistic estimate meets it"),
        pytest.param(106.9, True, True, id="even the optimistic estimate misses it"),
    ],
)
def test_a_deadline_is_missed_when_even_the_optimistic_estimate_is_late(
    deadline_s: float | None, reject_late: bool, late: bool
) -> None:
    # 3 s of backlog, then 4 inferences of 2 s, or 1 s at best.
    completion = Completion(make_device(), make_prediction(2.0, low_s=1.0), 4, backlog_s=3.0)
    task = make_task(deadline_s=deadline_s, reject_late=reject_late)

    assert misses_deadline(task, completion, now_s=100.0) is late
