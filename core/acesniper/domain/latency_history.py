"""Latency history of a device: recent runs, outliers, drift and the width of intervals.

Latencies are compared in log seconds, so that an error of 10 % counts the same for all models.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from math import exp, inf, log
from statistics import median

from acesniper.domain.task import ModelKey

RUNS_PER_MODEL = 5
"""Runs kept per model and device: the median of five is not affected by two outliers."""
MAX_RUNS = 64
"""Runs kept per device and namespace."""
MAX_DEVICE_RUNS = 128
"""Runs kept per device, shared equally between namespaces ..."""
MAX_NAMESPACES = 16
"""... and the number of namespaces: those whose tasks finished last."""
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
CHANGE_VARIANCE = 9.0
"""Variance (log seconds, squared) that a drift adds to latencies from before it: so large that
predictions adapt as fast as without them."""


@dataclass(frozen=True, slots=True)
class ObservedRun:
    """One finished task on a device: observed median and 90th percentile, and predicted median.

    Latencies in seconds; `at_s` is the finish in seconds since the epoch. `task` is the UID of the
    task's pod. `shared`: other namespaces learn from it too, because our runner reported it.
    `missed`: the latency was outside its 90 % interval; set only for new runs.
    """

    task: str
    model: ModelKey
    latency_s: float
    p90_s: float
    expected_s: float
    at_s: float
    shared: bool = True
    missed: bool = field(default=False, compare=False)

    @property
    def log_error(self) -> float:
        """Log of observed over predicted latency."""
        return log(self.latency_s / self.expected_s)

    @property
    def namespace(self) -> str:
        """The namespace of the task and its model."""
        return self.model.partition("/")[0]


@dataclass(frozen=True, slots=True)
class ObservedLatency:
    """Latency of a model on a device, from its runs; `variance` is in squared log seconds."""

    model: ModelKey
    latency_s: float
    variance: float


def newest_runs(
    earlier: Iterable[ObservedRun], new: Iterable[ObservedRun]
) -> tuple[ObservedRun, ...]:
    """The newest runs, oldest first: at most RUNS_PER_MODEL per model and MAX_RUNS per namespace.

    Of MAX_DEVICE_RUNS in total, each namespace has an equal share; what one does not use goes to
    the others.
    """
    by_task = {run.task: run for run in (*earlier, *new)}
    newest = sorted(by_task.values(), key=_age, reverse=True)
    by_namespace: dict[str, list[ObservedRun]] = {}
    count: dict[ModelKey, int] = defaultdict(int)
    for run in newest:
        own = by_namespace.get(run.namespace)
        if own is None:
            if len(by_namespace) == MAX_NAMESPACES:
                continue
            own = by_namespace[run.namespace] = []
        if count[run.model] < RUNS_PER_MODEL and len(own) < MAX_RUNS:
            count[run.model] += 1
            own.append(run)
    in_turn = [run for turn in zip_longest(*by_namespace.values()) for run in turn if run]
    return tuple(sorted(in_turn[:MAX_DEVICE_RUNS], key=_age))


def _age(run: ObservedRun) -> tuple[float, str]:
    return run.at_s, run.task


def observed_latencies(
    runs: Sequence[ObservedRun], changed_s: float | None = None
) -> list[ObservedLatency]:
    """One latency per model: the median over its runs.

    The median is robust to single outliers. With only one run, the variance is estimated from the
    spread within it and raised if the run is an outlier; a second run that agrees removes that.
    Runs from before `changed_s`, when a drift began, count only for models without newer runs, and
    with CHANGE_VARIANCE.
    """
    since_s = -inf if changed_s is None else changed_s
    since = [run for run in runs if run.at_s >= since_s]
    newer, older = _by_model(since), _by_model(run for run in runs if run.at_s < since_s)
    return [
        _evidence(model, newer[model], since)
        if model in newer
        else _discounted(_evidence(model, older[model], runs))
        for model in dict.fromkeys(run.model for run in runs)
    ]


def _by_model(runs: Iterable[ObservedRun]) -> dict[ModelKey, list[ObservedRun]]:
    by_model: dict[ModelKey, list[ObservedRun]] = {}
    for run in runs:
        by_model.setdefault(run.model, []).append(run)
    return by_model


def _discounted(latency: ObservedLatency) -> ObservedLatency:
    return replace(latency, variance=latency.variance + CHANGE_VARIANCE)


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


@dataclass(frozen=True, slots=True)
class Drift:
    """A lasting shift of latencies, since the end of its first run (seconds since the epoch)."""

    since_s: float
    slower: bool


def find_drift(runs: Sequence[ObservedRun], measured_s: float) -> Drift | None:
    """The latency drift since the device was measured, or None.

    Page's CUSUM test (Biometrika 41, 1954) for a shift of the mean in either direction, over the
    log errors of runs after `measured_s`, in seconds since the epoch.
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
                return Drift(since[sign], slower=sign > 0)
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
