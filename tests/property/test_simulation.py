"""Invariants of every simulated run under any policy, predictions and faults."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from acesniper.domain.task import ModelKey, Task, TaskKey
from acesniper.policies.policy import rule_names
from acesniper.simulator.simulation import DeviceFault
from acesniper.simulator.statistics import CompletedTask, run_statistics
from simulated import simulate
from strategies import floats

SECONDS = floats(0.125, 8.0)


class World(NamedTuple):
    latency_s: list[list[float]]
    predicted_s: list[list[float]]


@st.composite
def worlds(draw: st.DrawFn) -> World:
    devices, models = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    cells = st.lists(
        st.lists(SECONDS, min_size=models, max_size=models), min_size=devices, max_size=devices
    )
    return World(draw(cells), draw(cells))


@st.composite
def arrivals(draw: st.DrawFn, models: int) -> list[Task]:
    rows = st.tuples(floats(0.0, 20.0), st.integers(0, models - 1), st.integers(1, 3))
    return [
        Task(TaskKey(f"t/{i}"), ModelKey(f"m{model}"), at_s, inferences)
        for i, (at_s, model, inferences) in enumerate(draw(st.lists(rows, min_size=1, max_size=15)))
    ]


@st.composite
def faults(draw: st.DrawFn, devices: int) -> list[DeviceFault]:
    faulty = draw(st.lists(st.integers(0, devices - 1), unique=True))
    times = st.tuples(floats(0.0, 20.0), floats(0.5, 20.0))
    drawn = []
    for device in faulty:
        from_s, span_s = draw(times)
        factor = draw(st.sampled_from([2.0, 5.0, float("inf")]))
        drawn.append(DeviceFault(device, from_s, from_s + span_s, factor))
    return drawn


def check_conservation(tasks: list[Task], done: list[CompletedTask]) -> None:
    """Check that every task ran once after its arrival, and no device ran two at a time."""
    assert sorted(completed.task.key for completed in done) == sorted(task.key for task in tasks)
    assert [completed.finished_s for completed in done] == sorted(
        completed.finished_s for completed in done
    )
    assert all(completed.started_s >= completed.task.created_s for completed in done)
    for device in {completed.device for completed in done}:
        own = sorted(
            (completed.started_s, completed.finished_s)
            for completed in done
            if completed.device == device
        )
        assert all(end_s <= start_s for (_, end_s), (start_s, _) in pairwise(own))


@settings(max_examples=150)
@given(st.data(), worlds(), st.sampled_from(rule_names()))
def test_no_task_is_lost_or_run_twice(data: st.DataObject, world: World, policy: str) -> None:
    tasks = data.draw(arrivals(len(world.latency_s[0])))

    done = simulate(world.latency_s, tasks, predicted_s=world.predicted_s, policy=policy)

    check_conservation(tasks, done)
    for completed in done:
        latency_s = world.latency_s[completed.device][int(completed.task.model[1:])]
        ran_s = completed.finished_s - completed.started_s
        np.testing.assert_allclose(ran_s, completed.task.inferences * latency_s, rtol=1e-9)


@settings(max_examples=150)
@given(st.data(), worlds(), st.sampled_from(rule_names()))
def test_no_task_is_lost_with_a_device(data: st.DataObject, world: World, policy: str) -> None:
    tasks = data.draw(arrivals(len(world.latency_s[0])))
    broken = data.draw(faults(len(world.latency_s)))

    done = simulate(
        world.latency_s, tasks, predicted_s=world.predicted_s, policy=policy, faults=broken
    )

    check_conservation(tasks, done)
    lost = {fault.device: fault for fault in broken if fault.factor == float("inf")}
    for completed in done:
        if (fault := lost.get(completed.device)) is not None:
            assert completed.finished_s <= fault.from_s or completed.started_s >= fault.to_s


@given(st.data(), worlds())
def test_littles_law_holds(data: st.DataObject, world: World) -> None:
    """The mean number of tasks in the system is the arrival rate times the mean response time."""
    tasks = data.draw(arrivals(len(world.latency_s[0])))

    done = simulate(world.latency_s, tasks, predicted_s=world.predicted_s)

    steps = [(completed.task.created_s, 1) for completed in done] + [
        (completed.finished_s, -1) for completed in done
    ]
    in_system, area, before_s = 0, 0.0, min(steps)[0]
    for at_s, step in sorted(steps):
        area += in_system * (at_s - before_s)
        in_system, before_s = in_system + step, at_s
    span_s = max(steps)[0] - min(steps)[0]
    statistics = run_statistics(done)
    np.testing.assert_allclose(
        area / span_s, statistics.throughput_per_s * statistics.mean_response_s
    )


@given(st.data(), worlds(), st.sampled_from(rule_names()))
def test_the_same_tasks_give_the_same_run(data: st.DataObject, world: World, policy: str) -> None:
    tasks = data.draw(arrivals(len(world.latency_s[0])))

    once, again = (
        simulate(world.latency_s, tasks, predicted_s=world.predicted_s, policy=policy)
        for _ in range(2)
    )

    assert once == again
