"""Tasks of a simulation: arrival times, models, numbers of inferences and deadlines.

Arrivals are generated at a mean rate or read from a trace file.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from acesniper.domain.errors import InvalidInput
from acesniper.domain.task import ModelKey, Task, TaskKey
from acesniper.predictor.tables.measurements import read_rows
from acesniper.simulator.cluster import SimulatedCluster

BURST = 20
"""Tasks that arrive at one instant in a burst."""
DAYS = 2.0
SWING = 0.8
"""The diurnal rate goes up and down by this share, so many times while the tasks arrive."""

Pattern = Callable[[int, float, np.random.Generator], np.ndarray]


def poisson(count: int, rate_per_s: float, draw: np.random.Generator) -> np.ndarray:
    """A Poisson process: independent single arrivals."""
    return np.asarray(np.cumsum(draw.exponential(1.0 / rate_per_s, count)))


def bursts(count: int, rate_per_s: float, draw: np.random.Generator) -> np.ndarray:
    """A Poisson process of bursts of 20 tasks."""
    instants = poisson(-(-count // BURST), rate_per_s / BURST, draw)
    return np.repeat(instants, BURST)[:count]


def diurnal(count: int, rate_per_s: float, draw: np.random.Generator) -> np.ndarray:
    """Single arrivals at a rate with a daily cycle, over two days.

    Poisson in stretched time: the instants of a steady rate are put where the integral of the
    swinging rate reaches them (Cinlar, "Introduction to Stochastic Processes", 1975, section 4.7).
    """
    steady = poisson(count, rate_per_s, draw)
    day_s = steady[-1] / DAYS
    grid = np.linspace(0.0, 1.2 * steady[-1], 10_000)
    turn = 2 * np.pi / day_s
    reached = grid + SWING / turn * (1.0 - np.cos(turn * grid))
    return np.asarray(np.interp(steady, reached, grid))


PATTERNS: Mapping[str, Pattern] = MappingProxyType(
    {"poisson": poisson, "bursts": bursts, "diurnal": diurnal}
)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A task of a trace; None where a row is empty. `deadline_s` counts from its arrival."""

    at_s: float
    model: str | None = None
    inferences: int | None = None
    deadline_s: float | None = None
    namespace: str | None = None


def read_trace(path: Path) -> list[Arrival]:
    """Read arrivals: the column `arrival_s`, and the other fields of `Arrival` where present.

    Raises:
        InvalidInput: the file is not a trace, or contains an invalid number.
    """
    rows = read_rows(path)
    if not rows or "arrival_s" not in rows[0]:
        raise InvalidInput(f"{path} has no rows or no column arrival_s")
    try:
        arrivals = [_arrival(row) for row in rows]
    except ValueError as error:
        raise InvalidInput(f"{path}: {error}") from error
    return sorted(arrivals, key=lambda arrival: arrival.at_s)


def _arrival(row: Mapping[str, str]) -> Arrival:
    at_s = _number(row["arrival_s"], least=0.0)
    inferences, deadline_s = row.get("inferences"), row.get("deadline_s")
    return Arrival(
        at_s,
        row.get("model") or None,
        int(_number(inferences, least=1.0)) if inferences else None,
        _number(deadline_s, least=0.0) if deadline_s else None,
        row.get("namespace") or None,
    )


def _number(text: str, *, least: float) -> float:
    value = float(text)
    if not math.isfinite(value) or value < least:
        raise ValueError(f"{text!r} is no number of {least:g} or more")
    return value


@dataclass(frozen=True, slots=True)
class SimulatedWorkload:
    """Distribution of simulated tasks; models are drawn uniformly.

    `load` is the arrival rate over what the devices finish together. `inferences` and `deadlines`
    are the ends of an even draw; a deadline in run times on the median device. A `trace` says when
    tasks come; with a load its time is stretched to it. `namespaces` are the shares of the tasks
    that each namespace submits; empty: all are of one namespace.
    """

    tasks: int = 1000
    load: float | None = 0.95
    pattern: str = "poisson"
    inferences: tuple[int, int] = (100, 100)
    deadlines: tuple[float, float] | None = None
    trace: tuple[Arrival, ...] = ()
    namespaces: tuple[tuple[str, float], ...] = ()

    @property
    def mean_inferences(self) -> float:
        """Mean number of inferences of a task."""
        return sum(self.inferences) / 2


def make_tasks(workload: SimulatedWorkload, cluster: SimulatedCluster, seed: int) -> list[Task]:
    """The tasks of a run, in the order of their arrival.

    Raises:
        InvalidInput: the trace names a model that the cluster does not have.
    """
    # Independent generators, so that the load changes only the arrival times.
    arrival_rng, models, sizes, deadline_rng = (
        np.random.default_rng([seed, 2, stream]) for stream in range(4)
    )
    arrivals = workload.trace or (Arrival(0.0),) * workload.tasks
    count = len(arrivals)
    drawn_models = models.integers(len(cluster.models), size=count).tolist()
    drawn_sizes = sizes.integers(workload.inferences[0], workload.inferences[1] + 1, count).tolist()
    slack = deadline_rng.uniform(*(workload.deadlines or (0.0, 0.0)), count).tolist()
    namespaces = _namespaces(workload, count, seed)
    typical_s = dict(zip(cluster.models, np.median(cluster.latency_s, axis=0), strict=True))
    tasks = []
    for number, at_s in enumerate(_instants(workload, cluster, arrival_rng)):
        given = arrivals[number]
        model = given.model or cluster.models[drawn_models[number]]
        if model not in typical_s:
            raise InvalidInput(f"the trace names the model {model!r}, which no device has run")
        inferences = given.inferences or drawn_sizes[number]
        due_s = given.deadline_s
        if due_s is None and workload.deadlines is not None:
            due_s = slack[number] * inferences * float(typical_s[model])
        tasks.append(
            Task(
                TaskKey(f"{given.namespace or namespaces[number]}/{number:06d}"),
                ModelKey(model),
                at_s,
                inferences,
                deadline_s=None if due_s is None else at_s + due_s,
            )
        )
    return tasks


def _namespaces(workload: SimulatedWorkload, count: int, seed: int) -> Sequence[str]:
    """The namespace of each task."""
    if not workload.namespaces:
        return (f"seed-{seed}",) * count
    names, parts = zip(*workload.namespaces, strict=True)
    draw = np.random.default_rng([seed, 2, 4])
    drawn = draw.choice(len(names), count, p=np.array(parts) / sum(parts))
    return [names[number] for number in drawn.tolist()]


def _instants(
    workload: SimulatedWorkload, cluster: SimulatedCluster, draw: np.random.Generator
) -> list[float]:
    capacity = cluster.capacity_per_s(workload.mean_inferences)
    if not workload.trace:
        pattern = PATTERNS[workload.pattern]
        rate = (workload.load or 1.0) * capacity
        return [float(at_s) for at_s in pattern(workload.tasks, rate, draw)]
    return _stretched([arrival.at_s for arrival in workload.trace], workload.load, capacity)


def _stretched(instants: Sequence[float], load: float | None, capacity: float) -> list[float]:
    """Arrival times of a trace, starting at 0 and scaled to the load."""
    first_s, last_s = instants[0], instants[-1]
    stretch = 1.0
    if load is not None and last_s > first_s:
        stretch = len(instants) / (load * capacity) / (last_s - first_s)
    return [(instant_s - first_s) * stretch for instant_s in instants]
