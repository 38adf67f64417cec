"""The array types that policies are written in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from acesniper.domain.device import Device, DeviceId
from acesniper.domain.prediction import FEASIBLE, Feasibility, FinishEstimate, Prediction
from acesniper.domain.reservations import slots_free_s
from acesniper.domain.task import ModelKey, Task

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Integers = NDArray[np.int64]


# TODO merge docstring of acesniper.policies.estimates:
# Whether a device can take a task at all, apart from how well.

EXCLUDED = Feasibility(False, "kube-scheduler did not bind the task's pod there a moment ago")


def check_feasibility(
    task: Task, device: Device, labels: Mapping[DeviceId, Mapping[str, str]]
) -> Feasibility:
    """Say whether `device` can run `task`, whenever it may be free.

    `labels[device]` are the labels of its node. What the task avoids for a while is not judged.
    """
    if task.providers and device.provider not in task.providers:
        wanted = ", ".join(sorted(task.providers))
        return Feasibility(
            False, f"its provider is {device.provider}, the task asks for {wanted}", True
        )
    if not device.schedulable:
        return Feasibility(False, "its node is cordoned or not ready")
    on_node = labels.get(device.id, {})
    for name, value in task.node_selector:
        if on_node.get(name) != value:
            return Feasibility(False, f"its node has no label {name}={value}", True)
    if device.memory_bytes and task.memory_bytes > device.memory_bytes:
        need, have = task.memory_bytes / 2**20, device.memory_bytes / 2**20
        return Feasibility(
            False, f"the model needs {need:.0f} MiB, the device has {have:.0f}", True
        )
    return FEASIBLE


# TODO merge docstring of acesniper.policies.estimates:
# What every task would take on every device: arrays, so that a plan over thousands is quick.
#
# A *lane* is one slot of a device; a device with two slots has two lanes beside each other. Arrays
# over devices have shape (devices,), arrays over lanes (lanes,), both in the order of `devices`.

NEUTRAL_SPREAD = 10.0
"""Half-width, as a factor, of the interval of a prediction nobody could make."""
NEUTRAL_S = 1.0
"""What a model is expected to take that no device has a prediction for."""
NEUTRAL = "neutral"
TYPICAL_MODELS = 64
"""Models that say how fast each device typically is; more would not say it better."""

Demand = tuple[ModelKey, frozenset[str], tuple[tuple[str, str], ...], int]


@dataclass(frozen=True, slots=True, eq=False)
class PredictionRow:
    """One inference of a model on every device, in seconds: median and central 90 % interval.

    Arrays over devices; NaN where nothing is predicted. `source` names the predictor.
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
    """The terms of a demand's completion on every lane; infinite where it cannot run.

    `neutral` marks lanes whose latency nobody predicted.
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
    """How badly each lane suits the model, in log: what it takes there against what the speed of
    the lane and the size of the model let expect. 0 where nothing is predicted or nothing runs."""
    _fastest: dict[int, float] = field(default_factory=dict)

    def busy_s(self, inferences: int) -> Floats:
        """How long a task of so many inferences occupies each lane."""
        return self.start_s + inferences * self.latency_s

    def fastest_s(self, inferences: int) -> float:
        """The shortest time that a task of so many inferences takes anywhere; worked out once."""
        if (known := self._fastest.get(inferences)) is None:
            known = self._fastest[inferences] = float(self.busy_s(inferences).min(initial=np.inf))
        return known

    def late_s(self, inferences: int, reach: float) -> Floats:
        """The same at a quantile: `reach` is 0 at the median, 1 at the interval's upper end."""
        return self.start_s + inferences * self.latency_s ** (1 - reach) * self.high_s**reach

    def early_s(self, inferences: int) -> Floats:
        """The same at the interval's lower end."""
        return self.start_s + inferences * self.low_s


@dataclass(slots=True, eq=False)
class Estimates:
    """Who can run what, and how long it would take; valid while the devices are what they are.

    `rows` and `starts` may be live mappings whose entries are replaced, never written into.
    `labels[device]` are the labels of its node. A model without a row is expected to take the
    median of the known everywhere, with a very wide interval; one without a start, no time.
    """

    devices: Sequence[Device]
    rows: Mapping[ModelKey, PredictionRow]
    labels: Mapping[DeviceId, Mapping[str, str]] = field(default_factory=dict)
    starts: Mapping[ModelKey, StartRow] = field(default_factory=dict)
    lane_of: Mapping[DeviceId, int] = field(init=False)
    """A device's first lane."""
    device_of: Sequence[Device] = field(init=False)
    """A lane's device."""
    _places: Integers = field(init=False)
    _known: dict[Demand, tuple[PredictionRow | None, StartRow | None, LaneTerms]] = field(
        default_factory=dict
    )
    _typical: Floats | None = None

    def __post_init__(self) -> None:
        slots = [each.slots for each in self.devices]
        first = np.cumsum([0, *slots])[:-1].tolist()
        self.lane_of = {each.id: lane for each, lane in zip(self.devices, first, strict=True)}
        self._places = np.repeat(np.arange(len(slots)), slots).astype(np.int64)
        self.device_of = [self.devices[place] for place in self._places.tolist()]

    def terms(self, task: Task) -> LaneTerms:
        """The terms of a task; those of the same demand are worked out once."""
        demand = (task.model, task.providers, task.node_selector, task.memory_bytes)
        row, start = self.rows.get(task.model), self.starts.get(task.model)
        known = self._known.get(demand)
        if known is not None and known[0] is row and known[1] is start:
            return known[2]
        terms = self._terms(task, row, start)
        self._known[demand] = row, start, terms
        return terms

    def completion(self, task: Task, lane: int, backlog_s: float) -> FinishEstimate:
        """The terms of one lane as a candidate."""
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

    def _terms(self, task: Task, row: PredictionRow | None, start: StartRow | None) -> LaneTerms:
        count = len(self.devices)
        cold_s = np.zeros(count) if start is None else start.cold_s
        transfer_s = np.zeros(count) if start is None else start.transfer_s
        latency_s, low_s, high_s, unknown = _without_gaps(row, count)
        able = [check_feasibility(task, each, self.labels).feasible for each in self.devices]
        out_of_reach = np.where(able, 0.0, np.inf)
        latency_s, low_s, high_s = (each + out_of_reach for each in (latency_s, low_s, high_s))
        over_lanes = self._places
        compared = np.array(able, bool) & ~unknown
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
        )

    def _misfit(self, latency_s: Floats, compared: Bools) -> Floats:
        """Log latency less the typical of each device and of the model, on compared devices."""
        found = np.zeros(len(latency_s))
        if compared.any():
            found[compared] = np.log(latency_s[compared]) - self._typical_log_s()[compared]
            found[compared] -= found[compared].mean()
        return found

    def _typical_log_s(self) -> Floats:
        """The mean log latency of the known models on each device, over devices.

        Models count as differences from their own mean, so that gaps shift nothing.
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
    """At most so many, evenly spread."""
    return models[:: -(-len(models) // most)] if models else ()


def _without_gaps(row: PredictionRow | None, count: int) -> tuple[Floats, Floats, Floats, Bools]:
    """A row without gaps, and where they were."""
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


# TODO merge docstring of acesniper.policies.estimates:
# One frozen view of the fleet, for one plan.


@dataclass(frozen=True, slots=True, eq=False)
class FleetSnapshot:
    """The fleet at `now_s`; `busy_s[device]` holds the remaining seconds of each pod on it."""

    now_s: float
    estimates: Estimates
    busy_s: Mapping[DeviceId, tuple[float, ...]]

    def free_s(self) -> Floats:
        """Seconds until each lane is free; a device's lanes soonest first."""
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
