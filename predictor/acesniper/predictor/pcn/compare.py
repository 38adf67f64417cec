"""Retrain on the atlas and a cluster's runs, and keep the new network only if it is better.

The most recent runs are held out of training and used to compare both networks. The compared
network is the one that is written; it is not trained again.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from acesniper.predictor.pcn.dataset import AtlasDataset
from acesniper.predictor.pcn.export import export
from acesniper.predictor.pcn.fleet_runs import FleetRuns
from acesniper.predictor.pcn.network_file import NetworkFile
from acesniper.predictor.pcn.serve import PcnPredictor
from acesniper.predictor.pcn.train import DEFAULT_SETTINGS, TrainingSettings, fit
from acesniper.predictor.probe_matrix import Suite

MIN_RECENT_RUNS = 20
"""Fewer recent runs give no decision."""
MIN_CERTAINTY = 0.95
"""Least certainty that the new network's errors are smaller."""
MAX_COVERAGE_LOSS = 0.05
"""How much smaller the share of runs inside the new network's 90 % intervals may be."""
RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class NetworkAccuracy:
    """Accuracy on the recent runs: per cent, and the mean error in log seconds."""

    median_error_pct: float
    mean_log_error: float
    coverage90_pct: float


@dataclass(frozen=True, slots=True)
class NetworkComparison:
    """The outcome: better, not better, or too little data. `certainty` is that of better."""

    verdict: str
    held_out: int
    certainty: float
    old: NetworkAccuracy | None = None
    new: NetworkAccuracy | None = None

    @property
    def better(self) -> bool:
        """Whether the new network should replace the old one."""
        return self.verdict == "better"

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def compare_networks(
    old: PcnPredictor, new: PcnPredictor, before: FleetRuns, recent: FleetRuns
) -> NetworkComparison:
    """Compare both on the `recent` runs, given what each device ran `before`."""
    rows = [list(_errors(predictor, before, recent)) for predictor in (old, new)]
    errors = np.array([[error for error, _ in network] for network in rows], float)
    half_widths = np.array([[width for _, width in network] for network in rows], float)
    known = np.isfinite(errors).all(axis=0)
    errors, half_widths = np.abs(errors[:, known]), half_widths[:, known]
    count = errors.shape[1]
    if count < MIN_RECENT_RUNS:
        return NetworkComparison("too little", count, 0.0)
    accuracy = [
        NetworkAccuracy(
            median_error_pct=float(100 * np.median(np.expm1(error))),
            mean_log_error=float(error.mean()),
            coverage90_pct=float(100 * (error <= half_width).mean()),
        )
        for error, half_width in zip(errors, half_widths, strict=True)
    ]
    certainty = _certainty(errors[1] - errors[0])
    covered = accuracy[1].coverage90_pct >= accuracy[0].coverage90_pct - 100 * MAX_COVERAGE_LOSS
    verdict = "better" if certainty >= MIN_CERTAINTY and covered else "not better"
    return NetworkComparison(verdict, count, certainty, *accuracy)


def _errors(
    predictor: PcnPredictor, before: FleetRuns, recent: FleetRuns
) -> Iterator[tuple[float, float]]:
    """Log error and half width of the interval (log seconds) for each recent run."""
    for earlier, device in zip(before.devices, recent.devices, strict=True):
        models = [recent.models[run.model] for run in device.runs]
        if not models:
            continue
        table = predictor.table(models, [device.vector], [before.observations(earlier)])
        for run, latency_s, half_width in zip(
            device.runs, table.latency[:, 0], table.spread[:, 0], strict=True
        ):
            yield float(np.log(run.latency_s) - np.log(latency_s)), float(half_width)


def _certainty(apart: np.ndarray) -> float:
    """The share of resamples in which the new network's errors are smaller on average."""
    draw = np.random.default_rng(0)
    chosen = draw.integers(len(apart), size=(RESAMPLES, len(apart)))
    return float((apart[chosen].mean(axis=1) < 0.0).mean())


RECENT_SHARE = 0.3
"""The share of all runs that is held out to compare the networks."""

StepProgress = Callable[[int, float], None]


def retrain(
    atlas: Callable[[FleetRuns], AtlasDataset],
    fleet: FleetRuns,
    baseline: Path,
    target: Path,
    suite: Suite,
    provenance: Mapping[str, object],
    settings: TrainingSettings = DEFAULT_SETTINGS,
    progress: StepProgress = lambda step, loss: None,
) -> NetworkComparison:
    """Write a network to `target` if it is better than the one in the file `baseline`.

    `atlas` builds the dataset from the atlas and a fleet's runs. The widths of intervals are those
    of the baseline: calibrating them takes much longer, and each device adapts its own.
    """
    before, recent = fleet.split(RECENT_SHARE)
    if sum(len(device.runs) for device in recent.devices) < MIN_RECENT_RUNS:
        return NetworkComparison("too little", recent.runs, 0.0)
    data = atlas(before)
    network = fit(data, settings, progress)
    widths = NetworkFile.load(baseline, suite).calibration
    seen = {"observed": {"devices": len(before.devices), "runs": before.runs}}
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        file = Path(folder) / target.name
        export(network, data, file, suite, widths, {**provenance, **seen})
        old, new = (PcnPredictor.load(path, suite) for path in (baseline, file))
        verdict = compare_networks(old, new, before, recent)
        if verdict.better:
            file.replace(target)
    return verdict
