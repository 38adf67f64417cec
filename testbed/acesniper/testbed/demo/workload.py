"""The demo's workload: which tasks, in which waves."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

from acesniper.api.names import API_VERSION
from acesniper.testbed.demo.examples import EmulatedDevice

RUN_S = (3.0, 9.0)
"""Run time on the median device that a task's number of inferences aims at, from and to."""
LONGEST_S = 45.0
"""No task runs longer than this on any device: the stock scheduler would be waited for too long."""
LOAD = 0.7
"""Arrival rate over the fleet's capacity (sum over devices of 1 / mean run time)."""


@dataclass(frozen=True, slots=True)
class DemoTask:
    """One task: so many inferences of a model."""

    name: str
    model: str
    inferences: int

    def manifest(self, namespace: str) -> dict[str, Any]:
        """The InferenceTask to apply."""
        return {
            "apiVersion": API_VERSION,
            "kind": "InferenceTask",
            "metadata": {"name": self.name, "namespace": namespace},
            "spec": {"model": self.model, "inferences": self.inferences},
        }


@dataclass(frozen=True, slots=True)
class Workload:
    """Waves of tasks, `spacing_s` apart."""

    waves: Sequence[Sequence[DemoTask]]
    spacing_s: float

    @property
    def tasks(self) -> list[DemoTask]:
        """All tasks, in the order of their arrival."""
        return [task for wave in self.waves for task in wave]


def make_workload(devices: Sequence[EmulatedDevice], tasks: int, waves: int, seed: int) -> Workload:
    """A workload that fits the fleet: every model in turn, run times drawn evenly from RUN_S.

    Raises:
        ValueError: a device has no latency for a model that another has.
    """
    draw = random.Random(seed)  # noqa: S311 - a workload, not a secret
    models = sorted({model for device in devices for model in device.latency_s})
    typical = {model: median(_latencies(devices, model)) for model in models}
    slowest = {model: max(_latencies(devices, model)) for model in models}
    made = []
    for number in range(tasks):
        model = models[number % len(models)]
        inferences = round(min(draw.uniform(*RUN_S) / typical[model], LONGEST_S / slowest[model]))
        made.append(DemoTask(f"{model}-{number:03d}", model, max(1, inferences)))
    draw.shuffle(made)
    size = -(-tasks // waves)
    grouped = [made[start : start + size] for start in range(0, tasks, size)]
    return Workload(grouped, size / (LOAD * capacity(devices, made)))


def capacity(devices: Sequence[EmulatedDevice], tasks: Sequence[DemoTask]) -> float:
    """Tasks per second that the fleet could finish if every task could be spread evenly."""
    return sum(
        1 / fmean(task.inferences * device.latency_s[task.model] for task in tasks)
        for device in devices
    )


def _latencies(devices: Sequence[EmulatedDevice], model: str) -> list[float]:
    missing = [device.node for device in devices if model not in device.latency_s]
    if missing:
        raise ValueError(f"model {model} was not measured on {', '.join(missing)}")
    return [device.latency_s[model] for device in devices]


def latency_table(devices: Sequence[EmulatedDevice]) -> Mapping[tuple[str, str], float]:
    """(node, model) to seconds, for the emulator."""
    return {
        (device.node, model): seconds
        for device in devices
        for model, seconds in device.latency_s.items()
    }
