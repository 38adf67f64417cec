"""Tiny clusters, beliefs and tasks for the simulator."""

from collections.abc import Sequence

import numpy as np

from acesniper.domain.device import Device, DeviceId, NodeName
from acesniper.domain.task import ModelKey, Task, TaskKey
from acesniper.policies.estimates import PredictionRow
from acesniper.policies.policy import Policy
from acesniper.simulator.cluster import SimulatedCluster
from acesniper.simulator.simulation import DeviceFault, Simulation
from acesniper.simulator.statistics import CompletedTask


def make_cluster(latency_s: Sequence[Sequence[float]]) -> SimulatedCluster:
    """Devices d0, d1, ... that take these seconds for the models m0, m1, ..."""
    cells = np.array(latency_s, float)
    devices, models = cells.shape
    return SimulatedCluster(
        tuple(Device(DeviceId(f"d{i}"), NodeName(f"d{i}"), "table", 1, 0) for i in range(devices)),
        tuple(f"m{i}" for i in range(models)),
        np.arange(devices),
        np.arange(models),
        cells,
    )


def make_rows(latency_s: Sequence[Sequence[float]]) -> dict[ModelKey, PredictionRow]:
    """What is believed, without any doubt."""
    cells = np.array(latency_s, float)
    columns = {ModelKey(f"m{i}"): cells[:, i] for i in range(cells.shape[1])}
    return {model: PredictionRow(each, each, each, "believed") for model, each in columns.items()}


def make_arrivals(*at_s: float, model: int = 0, inferences: int = 1) -> list[Task]:
    """Tasks t0, t1, ... that arrive at these instants."""
    return [
        Task(TaskKey(f"t/{i}"), ModelKey(f"m{model}"), each, inferences)
        for i, each in enumerate(at_s)
    ]


def simulate(
    latency_s: Sequence[Sequence[float]],
    tasks: Sequence[Task],
    *,
    believed_s: Sequence[Sequence[float]] | None = None,
    policy: str = "fcfs-mct",
    faults: Sequence[DeviceFault] = (),
) -> list[CompletedTask]:
    """Play tasks on devices (rows) that take so long for models (columns)."""
    believed = make_rows(latency_s if believed_s is None else believed_s)
    rules = Policy(policy, aging_s=float("inf"))
    return Simulation(make_cluster(latency_s), believed, rules, tasks, faults).run()
