from pathlib import Path

import numpy as np
import pytest

from acesniper.domain.errors import InvalidInput
from acesniper.simulator.workload import (
    BURST,
    PATTERNS,
    Arrival,
    SimulatedWorkload,
    make_tasks,
    read_trace,
)
from simulated import make_cluster

CLUSTER = make_cluster([[1.0, 3.0], [4.0, 4.0]])
"""Capacity: 0.5 + 0.25 tasks per second."""


@pytest.mark.parametrize("name", PATTERNS)
def test_every_pattern_keeps_its_mean_rate(name: str) -> None:
    at_s = PATTERNS[name](20_000, 4.0, np.random.default_rng(1))

    assert len(at_s) == 20_000
    assert (np.diff(at_s) >= 0).all()
    assert 20_000 / at_s[-1] == pytest.approx(4.0, rel=0.05)


def test_the_tasks_of_a_burst_arrive_at_the_same_time() -> None:
    at_s = PATTERNS["bursts"](10 * BURST, 1.0, np.random.default_rng(1))

    assert len(np.unique(at_s)) == 10


def test_the_diurnal_pattern_has_a_busy_and_a_quiet_half() -> None:
    at_s = PATTERNS["diurnal"](40_000, 1.0, np.random.default_rng(1))

    half, _ = np.histogram(at_s, bins=4)

    assert half[0] > 2 * half[1]
    assert half[2] > 2 * half[3]


def test_the_load_is_the_arrival_rate_divided_by_the_capacity() -> None:
    tasks = make_tasks(SimulatedWorkload(20_000, 0.6, inferences=(5, 15)), CLUSTER, 1)

    rate = len(tasks) / tasks[-1].created_s
    assert rate == pytest.approx(0.6 * 0.75 / 10, rel=0.05)
    assert {task.model for task in tasks} == {"m0", "m1"}
    assert {task.inferences for task in tasks} == set(range(5, 16))


def test_the_load_changes_only_the_arrival_times() -> None:
    light, heavy = (
        make_tasks(SimulatedWorkload(50, load, inferences=(1, 9)), CLUSTER, 3)
        for load in (0.5, 1.0)
    )

    assert [(t.model, t.inferences) for t in light] == [(t.model, t.inferences) for t in heavy]
    np.testing.assert_allclose(
        [t.created_s for t in light], [2 * t.created_s for t in heavy], rtol=1e-9
    )


def test_different_seeds_give_different_arrivals_and_models() -> None:
    one, other = (
        make_tasks(SimulatedWorkload(50, inferences=(1, 9)), CLUSTER, seed) for seed in (1, 2)
    )

    assert [t.created_s for t in one] != [t.created_s for t in other]
    assert [t.model for t in one] != [t.model for t in other]


def test_deadlines_are_multiples_of_the_run_time_on_the_median_device() -> None:
    tasks = make_tasks(SimulatedWorkload(20, inferences=(2, 2), deadlines=(3.0, 3.0)), CLUSTER, 1)

    typical_s = {"m0": 2.5, "m1": 3.5}
    for task in tasks:
        assert task.deadline_s is not None
        due_s = task.deadline_s - task.created_s
        assert due_s == pytest.approx(3.0 * 2 * typical_s[task.model])


def test_a_trace_sets_arrivals_models_and_deadlines(tmp_path: Path) -> None:
    (tmp_path / "trace.csv").write_text(
        "arrival_s,model,inferences,deadline_s\n14,m1,3,9\n10,m0,,\n12,,,\n"
    )
    trace = tuple(read_trace(tmp_path / "trace.csv"))

    tasks = make_tasks(SimulatedWorkload(load=None, trace=trace, inferences=(7, 7)), CLUSTER, 1)

    assert [task.created_s for task in tasks] == [0.0, 2.0, 4.0]
    assert [task.inferences for task in tasks] == [7, 7, 3]
    assert (tasks[0].model, tasks[2].model) == ("m0", "m1")
    assert [task.deadline_s for task in tasks] == [None, None, 13.0]


def test_a_trace_is_scaled_to_the_load() -> None:
    trace = tuple(Arrival(float(at_s)) for at_s in range(4))

    tasks = make_tasks(SimulatedWorkload(load=0.5, trace=trace, inferences=(2, 2)), CLUSTER, 1)

    assert tasks[-1].created_s == pytest.approx(4 / (0.5 * 0.75 / 2))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param("when\n1\n", "arrival_s", id="missing column"),
        pytest.param("arrival_s\nsoon\n", "soon", id="invalid number"),
        pytest.param("arrival_s,inferences\n1,0\n", "'0'", id="zero inferences"),
        pytest.param("arrival_s\n", "no row", id="no rows"),
    ],
)
def test_an_invalid_trace_is_rejected(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "trace.csv").write_text(content)

    with pytest.raises(InvalidInput, match=message):
        read_trace(tmp_path / "trace.csv")


def test_an_unmeasured_model_is_rejected() -> None:
    with pytest.raises(InvalidInput, match="'other'"):
        make_tasks(SimulatedWorkload(trace=(Arrival(0.0, "other"),)), CLUSTER, 1)
