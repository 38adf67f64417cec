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
"""Fewer recent runs decide nothing."""
MIN_CERTAINTY = 0.95
"""How certain it must be that the new network's mistakes are the smaller ones."""
MAX_COVERAGE_LOSS = 0.05
"""So much less of the runs may end inside the new network's 90 % intervals."""
RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class NetworkAccuracy:
    """Of one network on the recent runs: per cent, and the mean mistake in log seconds."""

    median_error_pct: float
    mean_log_error: float
    coverage90_pct: float


@dataclass(frozen=True, slots=True)
class NetworkComparison:
    """The outcome: better, not better, or too little to tell by. `certainty` is that of better."""

    verdict: str
    held_out: int
    certainty: float
    old: NetworkAccuracy | None = None
    new: NetworkAccuracy | None = None

    @property
    def better(self) -> bool:
        """Whether the new network should take over."""
        return self.verdict == "better"

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def compare_networks(
    old: PcnPredictor, new: PcnPredictor, before: FleetRuns, recent: FleetRuns
) -> NetworkComparison:
    """Compare both on the `recent` runs, each told what its device ran `before`."""
    mistakes = [list(_errors(each, before, recent)) for each in (old, new)]
    wrong, reach = (
        np.array([[row[what] for row in rows] for rows in mistakes], float) for what in (0, 1)
    )
    known = np.isfinite(wrong).all(axis=0)
    wrong, reach = np.abs(wrong[:, known]), reach[:, known]
    count = wrong.shape[1]
    if count < MIN_RECENT_RUNS:
        return NetworkComparison("too little", count, 0.0)
    figures = [
        NetworkAccuracy(
            float(100 * np.median(np.expm1(own))),
            float(own.mean()),
            float(100 * (own <= far).mean()),
        )
        for own, far in zip(wrong, reach, strict=True)
    ]
    certainty = _certainty(wrong[1] - wrong[0])
    covered = figures[1].coverage90_pct >= figures[0].coverage90_pct - 100 * MAX_COVERAGE_LOSS
    verdict = "better" if certainty >= MIN_CERTAINTY and covered else "not better"
    return NetworkComparison(verdict, count, certainty, *figures)


def _errors(
    predictor: PcnPredictor, before: FleetRuns, recent: FleetRuns
) -> Iterator[tuple[float, float]]:
    """Of each recent run: observed less predicted, and the interval's reach (log seconds)."""
    for known, device in zip(before.devices, recent.devices, strict=True):
        models = [recent.models[run.model] for run in device.runs]
        if not models:
            continue
        found = predictor.table(models, [device.vector], [before.observations(known)])
        for run, latency_s, reach in zip(
            device.runs, found.latency[:, 0], found.spread[:, 0], strict=True
        ):
            yield float(np.log(run.latency_s) - np.log(latency_s)), float(reach)


def _certainty(apart: np.ndarray) -> float:
    """The share of resamples in which the new network's mistakes are smaller on average."""
    draw = np.random.default_rng(0)
    chosen = draw.integers(len(apart), size=(RESAMPLES, len(apart)))
    return float((apart[chosen].mean(axis=1) < 0.0).mean())


RECENT_SHARE = 0.3
"""The share of all runs that judges."""

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

    `atlas` is the dataset with what a fleet observed in it. Widths of intervals stay those of the
    baseline: finding them anew takes much longer, and each device adapts its own.
    """
    before, recent = fleet.split(RECENT_SHARE)
    if sum(len(each.runs) for each in recent.devices) < MIN_RECENT_RUNS:
        return NetworkComparison("too little", recent.runs, 0.0)
    data = atlas(before)
    network = fit(data, settings, progress)
    widths = NetworkFile.load(baseline, suite).calibration
    seen = {"observed": {"devices": len(before.devices), "runs": before.runs}}
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        file = Path(folder) / target.name
        export(network, data, file, suite, widths, {**provenance, **seen})
        old, new = (PcnPredictor.load(each, suite) for each in (baseline, file))
        verdict = compare_networks(old, new, before, recent)
        if verdict.better:
            file.replace(target)
    return verdict
