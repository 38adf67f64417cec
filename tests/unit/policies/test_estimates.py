import numpy as np
import pytest

from acesniper.domain.task import ModelKey
from acesniper.policies.estimates import Estimates, StartRow
from builders import make_device, make_row, make_task

FAST, SLOW, ODD = make_device("fast"), make_device("slow"), make_device("odd")
NAN = float("nan")


def misfit(rows: dict[str, list[float]], model: str) -> list[float]:
    known = {ModelKey(f"n/{name}"): make_row(row) for name, row in rows.items()}
    terms = Estimates((FAST, SLOW, ODD), known).terms(make_task(model=f"n/{model}"))
    return [float(each) for each in terms.misfit]


def test_a_device_that_is_slower_with_every_model_suits_all_alike() -> None:
    rows = {"a": [1.0, 3.0, 9.0], "b": [10.0, 30.0, 90.0]}

    assert misfit(rows, "b") == pytest.approx([0.0, 0.0, 0.0], abs=1e-12)


def test_a_device_suits_the_model_that_it_runs_relatively_fast() -> None:
    rows = {"a": [1.0, 1.0, 1.0], "b": [1.0, 1.0, 0.25]}

    assert np.argmin(misfit(rows, "b")) == 2
    assert np.argmax(misfit(rows, "a")) == 2


def test_what_is_not_predicted_neither_suits_nor_misfits() -> None:
    rows = {"a": [1.0, 2.0, 4.0], "b": [1.0, 2.0, NAN]}

    assert misfit(rows, "b") == pytest.approx([0.0, 0.0, 0.0], abs=1e-12)
    assert misfit({}, "c") == [0.0, 0.0, 0.0]


def test_terms_are_worked_out_again_only_when_their_row_or_start_is_replaced() -> None:
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


def test_a_device_with_two_slots_has_two_lanes_beside_each_other() -> None:
    double = make_device("double", slots=2)
    estimates = Estimates((FAST, double, SLOW), {})

    assert [each.id for each in estimates.device_of] == ["fast", "double", "double", "slow"]
    assert estimates.lane_of == {"fast": 0, "double": 1, "slow": 3}
