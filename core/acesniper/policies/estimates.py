"""Estimates for a plan: feasibility, occupancy of each lane by each task, and the fleet's state.

A *lane* is one slot of a device; a device with two slots has two adjacent lanes. Arrays over
devices have shape (devices,) and arrays over lanes (lanes,), both in the order of `devices`. Arrays
make plans over thousands of tasks fast.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from acesniper.domain.device import Device, DeviceId
from acesniper.domain.prediction import Feasibility, FinishEstimate, Prediction
from acesniper.domain.reservations import slots_free_s
from acesniper.domain.scheduling_rules import PodRules, VolumeRule
from acesniper.domain.task import ModelKey, Task
from acesniper.policies.feasibility import NodeRulesByName, VolumeRules, check_feasibility
from acesniper.policies.node_resources import FreeResources

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Integers = NDArray[np.int64]


LIMIT_TEXT = "the limit of a task's run time"
EXCLUDED = Feasibility(False, "the task's pod recently failed to bind there")

NEUTRAL_SPREAD = 10.0
"""Half-width of the interval around a neutral latency, as a factor."""
NEUTRAL_S = 1.0
"""Latency assumed for a model that has no prediction on any device."""
NEUTRAL = "neutral"
TYPICAL_MODELS = 64
"""Number of models sampled to estimate the typical speed of each device."""

Shape = tuple[frozenset[str], int, PodRules, tuple[VolumeRule | None, ...]]
"""What the feasibility of a task depends on, apart from the devices."""
Demand = tuple[ModelKey, Shape]
MAX_CACHED_DEMANDS = 2000
"""Demands whose terms are kept: each needs some bytes per lane."""


@dataclass(frozen=True, slots=True, eq=False)
class PredictionRow:
    """One inference of a model on every device, in seconds: median and central 90 % interval.

    Arrays over devices; NaN where there is no prediction. `source` names the predictor.
    """

    latency_s: Floats
    low_s: Floats
    high_s: Floats
    source: str


@dataclass(frozen=True, slots=True, eq=False)
class StartRow:
    """Seconds from binding to the first inference of a model, over devices."""

    cold_s: Floats
    transfer_s: Floats


@dataclass(frozen=True, slots=True, eq=False)
class LaneTerms:
    """Terms of the finish estimate of equal tasks on every lane; infinite where infeasible.

    `neutral` marks lanes without a prediction.
    """

    latency_s: Floats
    low_s: Floats
    high_s: Floats
    cold_s: Floats
    transfer_s: Floats
    neutral: Bools
    source: str
    start_s: Floats
    """Cold start and transfer, summed."""
    misfit: Floats
    """Misfit of the model on each lane: its log latency minus the value expected from the typical
    speed of the lane and the size of the model. 0 without a prediction or where infeasible."""
    lanes_key: int = 0
    """Equal for tasks that can run on the same lanes."""
    slowest_s: float = 0.0
    """Largest finite latency of one inference."""
    _fastest: dict[int, float] = field(default_factory=dict)

    def busy_s(self, inferences: int) -> Floats:
        """How long a task with this many inferences occupies each lane."""
        return self.start_s + inferences * self.latency_s

    def fastest_s(self, inferences: int) -> float:
        """The shortest time a task with this many inferences takes on any lane; cached."""
        if (fastest_s := self._fastest.get(inferences)) is None:
            fastest_s = self._fastest[inferences] = float(
                self.busy_s(inferences).min(initial=np.inf)
            )
        return fastest_s

    def late_s(self, inferences: int, reach: float) -> Floats:
        """Occupancy at a quantile: `reach` is 0 at the median, 1 at the interval's upper end."""
        return self.start_s + inferences * self.latency_s ** (1 - reach) * self.high_s**reach

    def early_s(self, inferences: int) -> Floats:
        """Occupancy at the interval's lower end."""
        return self.start_s + inferences * self.low_s


@dataclass(slots=True, eq=False)
class Estimates:
    """Which lanes can run a task and for how long it occupies them; valid for one set of devices.

    `rows` and `starts` may be live mappings whose entries are replaced but never modified.
    `nodes` and `volumes` are what kube-scheduler's filters read. A gap in a row is filled with the
    median of the predicted latencies and a very wide interval; a model without a start row has no
    cold start.
    """

    devices: Sequence[Device]
    rows: Mapping[ModelKey, PredictionRow]
    nodes: NodeRulesByName = field(default_factory=dict)
    starts: Mapping[ModelKey, StartRow] = field(default_factory=dict)
    volumes: VolumeRules | None = None
    lane_of: Mapping[DeviceId, int] = field(init=False)
    """The first lane of each device."""
    device_of: Sequence[Device] = field(init=False)
    """The device of each lane."""
    places: Integers = field(init=False)
    """The place of each lane's device in `devices`."""
    _cache: dict[Demand, tuple[PredictionRow | None, StartRow | None, LaneTerms]] = field(
        default_factory=dict
    )
    _feasible_cache: dict[Shape, Bools] = field(default_factory=dict)
    _typical: Floats | None = None

    def __post_init__(self) -> None:
        slots = [device.slots for device in self.devices]
        first = np.cumsum([0, *slots])[:-1].tolist()
        self.lane_of = {device.id: lane for device, lane in zip(self.devices, first, strict=True)}
        self.places = np.repeat(np.arange(len(slots)), slots).astype(np.int64)
        self.device_of = [self.devices[place] for place in self.places.tolist()]

    def terms(self, task: Task) -> LaneTerms:
        """The terms of a task; cached for tasks with the same demand."""
        shape = self.shape(task)
        demand = (task.model, shape)
        row, start = self.rows.get(task.model), self.starts.get(task.model)
        cached = self._cache.get(demand)
        if cached is not None and cached[0] is row and cached[1] is start:
            return cached[2]
        terms = self._terms(task, shape, row, start)
        if len(self._cache) >= MAX_CACHED_DEMANDS:
            self._cache.clear()
        self._cache[demand] = row, start, terms
        return terms

    def shape(self, task: Task) -> Shape:
        """What the feasibility of a task depends on."""
        claims = task.pod_rules.claims
        volumes = self.volumes
        rules = () if volumes is None or not claims else tuple(map(volumes.get, claims))
        return task.providers, task.memory_bytes, task.pod_rules, rules

    def finish_estimate(self, task: Task, lane: int, backlog_s: float) -> FinishEstimate:
        """The finish estimate of a task on one lane."""
        terms = self.terms(task)
        source = NEUTRAL if terms.neutral[lane] else terms.source
        return FinishEstimate(
            self.device_of[lane],
            Prediction(
                float(terms.latency_s[lane]),
                float(terms.low_s[lane]),
                float(terms.high_s[lane]),
                source,
            ),
            task.inferences,
            backlog_s,
            float(terms.cold_s[lane]),
            float(terms.transfer_s[lane]),
        )

    def _feasible(self, task: Task, shape: Shape) -> Bools:
        """Which devices can run a task; evaluated once for all tasks of a shape."""
        if (feasible := self._feasible_cache.get(shape)) is None:
            verdicts = [
                check_feasibility(task, device, self.nodes, self.volumes).feasible
                for device in self.devices
            ]
            if len(self._feasible_cache) >= MAX_CACHED_DEMANDS:
                self._feasible_cache.clear()
            feasible = self._feasible_cache[shape] = np.array(verdicts, bool)
        return feasible

    def _terms(
        self, task: Task, shape: Shape, row: PredictionRow | None, start: StartRow | None
    ) -> LaneTerms:
        count = len(self.devices)
        cold_s = np.zeros(count) if start is None else start.cold_s
        transfer_s = np.zeros(count) if start is None else start.transfer_s
        latency_s, low_s, high_s, unknown = _without_gaps(row, count)
        feasible = self._feasible(task, shape)
        penalty_s = np.where(feasible, 0.0, np.inf)
        latency_s, low_s, high_s = (array + penalty_s for array in (latency_s, low_s, high_s))
        over_lanes = self.places
        compared = feasible & ~unknown
        misfit = self._misfit(latency_s, compared)
        return LaneTerms(
            latency_s[over_lanes],
            low_s[over_lanes],
            high_s[over_lanes],
            cold_s[over_lanes],
            transfer_s[over_lanes],
            unknown[over_lanes],
            NEUTRAL if row is None else row.source,
            (cold_s + transfer_s)[over_lanes],
            misfit[over_lanes],
            hash(feasible.tobytes()),
            float(latency_s.max(initial=0.0, where=feasible)),
        )

    def _misfit(self, latency_s: Floats, compared: Bools) -> Floats:
        """Log latency minus the typical value of the device and of the model; 0 if not compared."""
        misfit = np.zeros(len(latency_s))
        if compared.any():
            misfit[compared] = np.log(latency_s[compared]) - self._typical_log_s()[compared]
            misfit[compared] -= misfit[compared].mean()
        return misfit

    def _typical_log_s(self) -> Floats:
        """Mean log latency of the sampled models on each device.

        Each model counts relative to its own mean, so that gaps cause no bias.
        """
        if self._typical is None:
            total, count = np.zeros(len(self.devices)), np.zeros(len(self.devices))
            for model in _evenly_spaced(sorted(self.rows), TYPICAL_MODELS):
                latency_s = self.rows[model].latency_s
                known = ~np.isnan(latency_s)
                if known.any():
                    log_s = np.log(latency_s[known])
                    total[known] += log_s - log_s.mean()
                    count[known] += 1
            self._typical = total / np.maximum(count, 1)
        return self._typical


def _evenly_spaced(models: Sequence[ModelKey], most: int) -> Sequence[ModelKey]:
    """At most `most` models, evenly spaced."""
    return models[:: -(-len(models) // most)] if models else ()


def _without_gaps(row: PredictionRow | None, count: int) -> tuple[Floats, Floats, Floats, Bools]:
    """The arrays of a row with gaps filled, and where the gaps were."""
    if row is None:
        gaps = np.full(count, np.nan)
        row = PredictionRow(gaps, gaps, gaps, NEUTRAL)
    unknown = np.isnan(row.latency_s)
    middle_s = NEUTRAL_S if unknown.all() else float(np.median(row.latency_s[~unknown]))
    return (
        np.where(unknown, middle_s, row.latency_s),
        np.where(unknown, middle_s / NEUTRAL_SPREAD, row.low_s),
        np.where(unknown, middle_s * NEUTRAL_SPREAD, row.high_s),
        unknown,
    )


@dataclass(frozen=True, slots=True, eq=False)
class FleetSnapshot:
    """The state of the fleet at `now_s`; `busy_s[device]` are the remaining seconds of its pods.

    `resources` is what the pods leave of the nodes' resources; empty if that is unknown.
    """

    now_s: float
    estimates: Estimates
    busy_s: Mapping[DeviceId, tuple[float, ...]]
    resources: FreeResources = field(default_factory=FreeResources)

    def free_s(self) -> Floats:
        """Seconds until each lane is free; the lanes of a device are sorted, soonest first."""
        lane_of, devices = self.estimates.lane_of, self.estimates.device_of
        free_s = np.zeros(len(devices))
        for device, busy_s in self.busy_s.items():
            lane = lane_of.get(device)
            if lane is None or not busy_s:
                continue
            slots = devices[lane].slots
            if slots == 1:
                free_s[lane] = sum(busy_s)
            else:
                free_s[lane : lane + slots] = slots_free_s(busy_s, slots)
        return free_s
