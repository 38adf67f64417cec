"""Latency history of a device: recent runs, outliers, drift and the width of intervals.

Latencies are compared in log seconds, so that an error of 10 % counts the same for all models.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import exp, log
from statistics import median

from acesniper.domain.task import ModelKey

RUNS_PER_MODEL = 5
"""Runs kept per model and device: the median of five is not affected by two outliers."""
MAX_RUNS = 64
"""Runs kept per device."""
RUN_SIGMA = 0.03
"""Default standard deviation of the log latency between runs of one model on one device."""
Z_90 = 1.2816
"""Standard deviations from the median to the 90th percentile of a normal distribution."""
OUTLIER_LOG = 0.3
"""A single run of a model whose log error exceeds that of the device's other runs by more than this
is an outlier: it may have run under contention, throttled or with a cold cache."""
DRIFT_SLACK = 0.1
"""Drift is a shift of the log latency beyond this (10 %) ..."""
DRIFT_THRESHOLD = 0.7
"""... once the excess of consecutive runs adds up to this: two runs at twice the expected time,
where the prediction for the second already contains half of the shift."""
MAX_DRIFT_STEP = 0.5
"""Limit of what one run adds, so that a single run never counts as drift."""


@dataclass(frozen=True, slots=True)
class ObservedRun:
    """One finished task on a device: observed median and 90th percentile, and predicted median.

    Latencies in seconds; `at_s` is the finish in seconds since the epoch. `task` is the UID of the
    task's pod. `missed`: the latency was outside its 90 % interval; set only for new runs.
    """

    task: str
    model: ModelKey
    latency_s: float
    p90_s: float
    expected_s: float
    at_s: float
    missed: bool = field(default=False, compare=False)

    @property
    def log_error(self) -> float:
        """Log of observed over predicted latency."""
        return log(self.latency_s / self.expected_s)


@dataclass(frozen=True, slots=True)
class ObservedLatency:
    """Latency of a model on a device, from its runs; `variance` is in squared log seconds."""

    model: ModelKey
    latency_s: float
    variance: float


def newest_runs(
    earlier: Iterable[ObservedRun], new: Iterable[ObservedRun]
) -> tuple[ObservedRun, ...]:
    """The newest runs, oldest first: at most RUNS_PER_MODEL per model and MAX_RUNS in total."""
    by_task = {run.task: run for run in (*earlier, *new)}
    newest = sorted(by_task.values(), key=lambda run: (run.at_s, run.task), reverse=True)
    kept: list[ObservedRun] = []
    count: dict[ModelKey, int] = defaultdict(int)
    for run in newest:
        if count[run.model] < RUNS_PER_MODEL and len(kept) < MAX_RUNS:
            count[run.model] += 1
            kept.append(run)
    return tuple(reversed(kept))


def observed_latencies(runs: Sequence[ObservedRun]) -> list[ObservedLatency]:
    """One latency per model: the median over its runs.

    The median is robust to single outliers. With only one run, the variance is estimated from the
    spread within it and raised if the run is an outlier; a second run that agrees removes that.
    """
    by_model: dict[ModelKey, list[ObservedRun]] = defaultdict(list)
    for run in runs:
        by_model[run.model].append(run)
    return [_evidence(model, of_model, runs) for model, of_model in by_model.items()]


def is_outlier(run: ObservedRun, runs: Iterable[ObservedRun]) -> bool:
    """Whether a run is the only one of its model and far off compared with the device's other runs.

    `runs` is the latency history of the device.
    """
    others = [other for other in runs if other.task != run.task]
    is_single = all(other.model != run.model for other in others)
    return is_single and _excess(run, others) > 0.0


def _excess(run: ObservedRun, others: Iterable[ObservedRun]) -> float:
    """By how much the log error of a run exceeds that of other runs, beyond OUTLIER_LOG."""
    usual = median([0.0, *(other.log_error for other in others)])
    return max(abs(run.log_error - usual) - OUTLIER_LOG, 0.0)


def _evidence(
    model: ModelKey, runs: Sequence[ObservedRun], on_device: Sequence[ObservedRun]
) -> ObservedLatency:
    logs = [log(run.latency_s) for run in runs]
    middle = median(logs)
    within = median(max(log(run.p90_s / run.latency_s), 0.0) / Z_90 for run in runs)
    between = median(abs(value - middle) for value in logs) / 0.6745
    variance = (RUN_SIGMA**2 + within**2 + between**2) / len(runs)
    if len(runs) == 1:
        others = (run for run in on_device if run.model != model)
        variance += _excess(runs[0], others) ** 2
    return ObservedLatency(model, exp(middle), variance)


def drift_start_s(runs: Sequence[ObservedRun], measured_s: float) -> float | None:
    """Start of a latency drift since the device was measured, in seconds since the epoch.

    Page's CUSUM test (Biometrika 41, 1954) for a shift of the mean in either direction, over the
    log errors of runs after `measured_s`. Returns the end of the first run of the shift; None if
    there is no drift.
    """
    sums, since = {1: 0.0, -1: 0.0}, {1: 0.0, -1: 0.0}
    for run in runs:
        if run.at_s <= measured_s:
            continue
        for sign in (1, -1):
            excess = sign * run.log_error - DRIFT_SLACK
            if sums[sign] == 0.0:
                since[sign] = run.at_s
            sums[sign] = max(sums[sign] + min(excess, MAX_DRIFT_STEP), 0.0)
            if sums[sign] >= DRIFT_THRESHOLD:
                return since[sign]
    return None


TARGET_COVERAGE = 0.9
"""Target share of latencies inside the interval."""
LEARNING_RATE = 0.2
"""A miss widens the interval by 20 %, a hit narrows it by 2 %."""
MIN_FACTOR = 0.5
MAX_FACTOR = 4.0


def adapted_factor(factor: float, missed: Iterable[bool]) -> float:
    """Factor on the width of a device's intervals after more runs.

    Adaptive conformal inference (Gibbs and Candès, 2021), applied to the width: a run outside its
    interval widens it, one inside narrows it a little, so that in the long run `TARGET_COVERAGE` of
    the runs are inside.
    """
    for is_missed in missed:
        step = TARGET_COVERAGE if is_missed else TARGET_COVERAGE - 1.0
        factor = min(max(factor * exp(LEARNING_RATE * step), MIN_FACTOR), MAX_FACTOR)
    return factor
