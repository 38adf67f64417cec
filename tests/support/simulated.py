"""Small clusters, predictions and tasks for tests of the simulator."""

from collections.abc import Sequence

import numpy as np

from acesniper.domain.device import Device, DeviceId, NodeName
from acesniper.domain.task import ModelKey, Task, TaskKey
from acesniper.policies.estimates import PredictionRow
from acesniper.policies.policy import Policy
from acesniper.policies.shares import Shares
from acesniper.simulator.cluster import SimulatedCluster
from acesniper.simulator.simulation import DeviceFault, Simulation
from acesniper.simulator.statistics import CompletedTask


def make_cluster(latency_s: Sequence[Sequence[float]]) -> SimulatedCluster:
    """Devices d0, d1, ... with these latencies of the models m0, m1, ..."""
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
    """Predictions of these latencies with intervals of zero width."""
    cells = np.array(latency_s, float)
    columns = {ModelKey(f"m{i}"): cells[:, i] for i in range(cells.shape[1])}
    return {model: PredictionRow(row, row, row, "assumed") for model, row in columns.items()}


def make_arrivals(*at_s: float, model: int = 0, inferences: int = 1) -> list[Task]:
    """Tasks t0, t1, ... that arrive at these instants."""
    return [
        Task(TaskKey(f"t/{i}"), ModelKey(f"m{model}"), instant_s, inferences)
        for i, instant_s in enumerate(at_s)
    ]


def simulate(
    latency_s: Sequence[Sequence[float]],
    tasks: Sequence[Task],
    *,
    predicted_s: Sequence[Sequence[float]] | None = None,
    policy: str = "fcfs-mct",
    faults: Sequence[DeviceFault] = (),
    shares: Shares | None = None,
) -> list[CompletedTask]:
    """Simulate tasks; `latency_s` has one row per device and one column per model."""
    predicted = make_rows(latency_s if predicted_s is None else predicted_s)
    rules = Policy(policy, aging_s=float("inf"))
    cluster = make_cluster(latency_s)
    return Simulation(cluster, predicted, rules, tasks, faults, shares=shares).run()
