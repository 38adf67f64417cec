"""What a device was seen to take: the runs that are remembered, and what they say.

Kept in log seconds where they are compared: an error of 10 % weighs the same for all models.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import exp, log
from statistics import median

from acesniper.domain.task import ModelKey

RUNS_PER_MODEL = 5
"""Runs of one model that a device remembers: the median of five ignores two outliers."""
MAX_RUNS = 64
"""Runs that a device remembers in all; the newest stay."""
RUN_SIGMA = 0.03
"""Log spread of a run around what its device usually takes, where nothing else is known."""
Z_90 = 1.2816
"""Standard deviations from the median to the 90th percentile of a normal distribution."""
OUTLIER_LOG = 0.3
"""A single run of a model that misses by so much more (log) than the device's other runs do is
doubted, the more the further: it may have run beside something else, throttled or uncached."""
DRIFT_SLACK = 0.1
"""A drift is a shift of log latency beyond this (10 %), ..."""
DRIFT_THRESHOLD = 0.7
"""... once the excess of consecutive runs adds up to this: two runs at twice the expected time,
of which the second was half expected after the first."""
MAX_DRIFT_STEP = 0.5
"""What one run adds at most: one alone, however far off, is not a drift."""


@dataclass(frozen=True, slots=True)
class ObservedRun:
    """One finished task on a device: its latency (median, 90th percentile) and what was expected.

    Seconds; `at_s` is when it finished, since the epoch. `task` is the UID of its pod. `missed`:
    it ended outside its 90 % interval; known of runs that are just being learned only.
    """

    task: str
    model: ModelKey
    latency_s: float
    p90_s: float
    expected_s: float
    at_s: float
    missed: bool = field(default=False, compare=False)

    @property
    def surprise(self) -> float:
        """Observed over expected, in log."""
        return log(self.latency_s / self.expected_s)


@dataclass(frozen=True, slots=True)
class ObservedLatency:
    """What a device takes for a model, by its own runs; `variance` is that of log seconds."""

    model: ModelKey
    latency_s: float
    variance: float


def newest_runs(
    known: Iterable[ObservedRun], new: Iterable[ObservedRun]
) -> tuple[ObservedRun, ...]:
    """The newest runs, oldest first: at most PER_MODEL of a model, and MOST in all."""
    by_task = {run.task: run for run in (*known, *new)}
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

    A single run beside something else, throttled or with a cold cache does not move a median; where
    there is only one run, the spread within it and what the device's other runs let expect say how
    far it can be trusted. A second one that agrees ends the doubt.
    """
    by_model: dict[ModelKey, list[ObservedRun]] = defaultdict(list)
    for run in runs:
        by_model[run.model].append(run)
    return [_evidence(model, of_model, runs) for model, of_model in by_model.items()]


def is_outlier(run: ObservedRun, runs: Iterable[ObservedRun]) -> bool:
    """Whether a run is far off what its device's other runs let expect, and no other confirms it.

    `runs` are those the device remembers.
    """
    others = [each for each in runs if each.task != run.task]
    alone = all(each.model != run.model for each in others)
    return alone and _excess(run, others) > 0.0


def _excess(run: ObservedRun, others: Iterable[ObservedRun]) -> float:
    """By how much more than DOUBTED a run misses than runs on its device do."""
    usual = median([0.0, *(each.surprise for each in others)])
    return max(abs(run.surprise - usual) - OUTLIER_LOG, 0.0)


def _evidence(
    model: ModelKey, runs: Sequence[ObservedRun], on_device: Sequence[ObservedRun]
) -> ObservedLatency:
    logs = [log(run.latency_s) for run in runs]
    middle = median(logs)
    within = median(max(log(run.p90_s / run.latency_s), 0.0) / Z_90 for run in runs)
    between = median(abs(each - middle) for each in logs) / 0.6745
    variance = (RUN_SIGMA**2 + within**2 + between**2) / len(runs)
    if len(runs) == 1:
        others = (each for each in on_device if each.model != model)
        variance += _excess(runs[0], others) ** 2
    return ObservedLatency(model, exp(middle), variance)


def drift_start_s(runs: Sequence[ObservedRun], measured_s: float) -> float | None:
    """When the device became another than was measured, by its runs since `measured_s`.

    The test of Page (Biometrika 41, 1954) for a shift of the mean, in both directions: it sums up
    by how much consecutive runs missed what was expected. Returns the end of the first run of the
    shift (seconds since the epoch), None while there is none.
    """
    sums, since = {1: 0.0, -1: 0.0}, {1: 0.0, -1: 0.0}
    for run in runs:
        if run.at_s <= measured_s:
            continue
        for sign in (1, -1):
            excess = sign * run.surprise - DRIFT_SLACK
            if sums[sign] == 0.0:
                since[sign] = run.at_s
            sums[sign] = max(sums[sign] + min(excess, MAX_DRIFT_STEP), 0.0)
            if sums[sign] >= DRIFT_THRESHOLD:
                return since[sign]
    return None


TARGET_COVERAGE = 0.9
"""The share of tasks that is to end inside."""
LEARNING_RATE = 0.2
"""A miss widens by `exp(0.9 PACE)` (20 %), a hit narrows by `exp(0.1 PACE)` (2 %)."""
MIN_FACTOR = 0.5
MAX_FACTOR = 4.0


def adapted_factor(factor: float, missed: Iterable[bool]) -> float:
    """The factor on the widths of a device's intervals after these tasks."""
    for each in missed:
        step = TARGET_COVERAGE if each else TARGET_COVERAGE - 1.0
        factor = min(max(factor * exp(LEARNING_RATE * step), MIN_FACTOR), MAX_FACTOR)
    return factor
