"""Train on the atlas and on what devices ran; the old network stays unless the new is better.

What was observed most recently is held out of the training, and judges. The network that was judged
is the one that is written: nothing is trained again afterwards.
"""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from acesniper.predictor.pcn.compare import MIN_RECENT_RUNS, NetworkComparison, compare_networks
from acesniper.predictor.pcn.dataset import AtlasDataset
from acesniper.predictor.pcn.export import export
from acesniper.predictor.pcn.fleet_runs import FleetRuns
from acesniper.predictor.pcn.network_file import NetworkFile
from acesniper.predictor.pcn.serve import PcnPredictor
from acesniper.predictor.pcn.train import DEFAULT_SETTINGS, TrainingSettings, fit
from acesniper.predictor.probe_matrix import Suite

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
