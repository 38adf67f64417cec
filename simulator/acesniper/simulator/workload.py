"""The tasks of one run: when they come, which models they run, how often, by when."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from acesniper.domain.errors import InvalidInput
from acesniper.domain.task import ModelKey, Task, TaskKey
from acesniper.simulator.cluster import SimulatedCluster


@dataclass(frozen=True, slots=True)
class SimulatedWorkload:
    """What tasks are drawn from; models are drawn alike.

    `load` is the arrival rate over what the devices finish together. `inferences` and `deadlines`
    are the ends of an even draw; a deadline in run times on the median device. A `trace` says when
    tasks come; with a load its time is stretched to it.
    """

    tasks: int = 1000
    load: float | None = 0.95
    pattern: str = "poisson"
    inferences: tuple[int, int] = (100, 100)
    deadlines: tuple[float, float] | None = None
    trace: tuple[Arrival, ...] = ()

    @property
    def mean_inferences(self) -> float:
        """Of a drawn task."""
        return sum(self.inferences) / 2


def make_tasks(workload: SimulatedWorkload, cluster: SimulatedCluster, seed: int) -> list[Task]:
    """The tasks of a run, in the order of their arrival.

    Raises:
        InvalidInput: the trace names a model that the cluster does not have.
    """
    # A draw of its own for each question: another load moves arrivals, and nothing else.
    whens, models, sizes, dues = (np.random.default_rng([seed, 2, each]) for each in range(4))
    arrivals = workload.trace or (Arrival(0.0),) * workload.tasks
    count = len(arrivals)
    drawn_models = models.integers(len(cluster.models), size=count).tolist()
    drawn_sizes = sizes.integers(workload.inferences[0], workload.inferences[1] + 1, count).tolist()
    slack = dues.uniform(*(workload.deadlines or (0.0, 0.0)), count).tolist()
    typical_s = dict(zip(cluster.models, np.median(cluster.latency_s, axis=0), strict=True))
    found = []
    for number, at_s in enumerate(_instants(workload, cluster, whens)):
        given = arrivals[number]
        model = given.model or cluster.models[drawn_models[number]]
        if model not in typical_s:
            raise InvalidInput(f"the trace names the model {model!r}, which no device has run")
        inferences = given.inferences or drawn_sizes[number]
        due_s = given.deadline_s
        if due_s is None and workload.deadlines is not None:
            due_s = slack[number] * inferences * float(typical_s[model])
        found.append(
            Task(
                TaskKey(f"seed-{seed}/{number:06d}"),
                ModelKey(model),
                at_s,
                inferences,
                deadline_s=None if due_s is None else at_s + due_s,
            )
        )
    return found


def _instants(
    workload: SimulatedWorkload, cluster: SimulatedCluster, draw: np.random.Generator
) -> list[float]:
    capacity = cluster.capacity_per_s(workload.mean_inferences)
    if not workload.trace:
        pattern = PATTERNS[workload.pattern]
        rate = (workload.load or 1.0) * capacity
        return [float(at_s) for at_s in pattern(workload.tasks, rate, draw)]
    return _stretched([each.at_s for each in workload.trace], workload.load, capacity)


def _stretched(instants: Sequence[float], load: float | None, capacity: float) -> list[float]:
    """A trace's instants, from 0, at the asked load."""
    first_s, last_s = instants[0], instants[-1]
    stretch = 1.0
    if load is not None and last_s > first_s:
        stretch = len(instants) / (load * capacity) / (last_s - first_s)
    return [(each - first_s) * stretch for each in instants]
