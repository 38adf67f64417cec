import numpy as np
import pytest

from acesniper.domain.device import Device
from acesniper.domain.prediction import FEASIBLE, FinishEstimate
from acesniper.domain.scheduling_rules import NodeRules
from acesniper.domain.task import ModelKey, Task
from acesniper.policies.estimates import Estimates, StartRow
from acesniper.policies.feasibility import check_feasibility
from builders import make_device, make_prediction, make_row, make_snapshot, make_task, selecting

FAST, SLOW, ODD = make_device("fast"), make_device("slow"), make_device("odd")
NAN = float("nan")


def misfit(rows: dict[str, list[float]], model: str) -> list[float]:
    predictions = {ModelKey(f"n/{name}"): make_row(row) for name, row in rows.items()}
    terms = Estimates((FAST, SLOW, ODD), predictions).terms(make_task(model=f"n/{model}"))
    return [float(value) for value in terms.misfit]


def test_a_uniformly_slower_device_has_no_misfit() -> None:
    rows = {"a": [1.0, 3.0, 9.0], "b": [10.0, 30.0, 90.0]}

    assert misfit(rows, "b") == pytest.approx([0.0, 0.0, 0.0], abs=1e-12)


def test_misfit_is_lowest_where_the_model_is_relatively_fast() -> None:
    rows = {"a": [1.0, 1.0, 1.0], "b": [1.0, 1.0, 0.25]}

    assert np.argmin(misfit(rows, "b")) == 2
    assert np.argmax(misfit(rows, "a")) == 2


def test_a_missing_prediction_has_no_misfit() -> None:
    rows = {"a": [1.0, 2.0, 4.0], "b": [1.0, 2.0, NAN]}

    assert misfit(rows, "b") == pytest.approx([0.0, 0.0, 0.0], abs=1e-12)
    assert misfit({}, "c") == [0.0, 0.0, 0.0]


def test_terms_are_cached_until_their_row_or_start_is_replaced() -> None:
    rows = {ModelKey("n/a"): make_row([1.0]), ModelKey("n/b"): make_row([1.0])}
    starts: dict[ModelKey, StartRow] = {}
    estimates = Estimates((FAST,), rows, starts=starts)
    task = make_task(model="n/a")
    first = estimates.terms(task)

    assert estimates.terms(make_task("n/other", model="n/a", inferences=7)) is first
    rows[task.model] = make_row([2.0])
    second = estimates.terms(task)
    starts[task.model] = StartRow(np.array([3.0]), np.array([0.5]))

    assert second.busy_s(2).tolist() == [4.0]
    assert estimates.terms(task).busy_s(2).tolist() == [7.5]


def test_a_device_with_two_slots_has_two_adjacent_lanes() -> None:
    double = make_device("double", slots=2)
    estimates = Estimates((FAST, double, SLOW), {})

    assert [device.id for device in estimates.device_of] == ["fast", "double", "double", "slow"]
    assert estimates.lane_of == {"fast": 0, "double": 1, "slow": 3}


MIB = 2**20


def test_a_task_without_requirements_is_feasible() -> None:
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
            make_task(pod_rules=selecting(zone="a")),
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
def test_an_infeasible_verdict_has_a_reason_and_a_lasting_flag(
    task: Task, device: Device, reason: str, lasting: bool
) -> None:
    verdict = check_feasibility(task, device, {device.node: NodeRules(labels={"zone": "b"})})

    assert (verdict.feasible, verdict.reason, verdict.lasting) == (False, reason, lasting)


@pytest.mark.parametrize(
    ("task", "device"),
    [
        pytest.param(make_task(providers=frozenset({"cpu", "x"})), make_device(), id="provider"),
        pytest.param(make_task(pod_rules=selecting(zone="b")), make_device(), id="label"),
        pytest.param(make_task(memory_bytes=MIB), make_device(memory_bytes=MIB), id="exact size"),
        pytest.param(make_task(memory_bytes=MIB), make_device(memory_bytes=0), id="unknown size"),
    ],
)
def test_a_matching_device_is_feasible(task: Task, device: Device) -> None:
    assert check_feasibility(task, device, {device.node: NodeRules(labels={"zone": "b"})}).feasible


@pytest.mark.parametrize(
    ("slots", "busy_s", "free_s"),
    [
        pytest.param(1, [], [0.0], id="idle"),
        pytest.param(1, [5.0], [5.0], id="busy"),
        pytest.param(2, [5.0], [0.0, 5.0], id="one of two is free"),
        pytest.param(2, [5.0, 2.0], [2.0, 5.0], id="earliest first"),
        pytest.param(1, [5.0, 2.0], [7.0], id="more pods than slots queue"),
        pytest.param(2, [1.0, 2.0, 3.0], [2.0, 4.0], id="the third waits for the first"),
        pytest.param(4, [1.0], [0.0, 0.0, 0.0, 1.0], id="three of four are free"),
    ],
)
def test_a_slot_is_free_when_its_queue_is_finished(
    slots: int, busy_s: list[float], free_s: list[float]
) -> None:
    device = make_device("d1", slots=slots)
    snapshot = make_snapshot([make_device("d0"), device], busy={"d1": busy_s})

    assert snapshot.free_s().tolist() == [0.0, *free_s]


def test_a_finish_is_the_sum_of_its_terms() -> None:
    estimate = FinishEstimate(
        make_device(),
        make_prediction(0.5),
        inferences=10,
        backlog_s=3.0,
        cold_start_s=2.0,
        transfer_s=1.0,
    )

    assert estimate.run_s == 5.0
    assert estimate.busy_s == 8.0
    assert estimate.finish_s == 11.0
