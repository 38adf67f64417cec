"""Train on the atlas and on what devices ran; the old network stays unless the new is better.

What was observed most recently is held out of the training, and judges. The network that was judged
is the one that is written: nothing is trained again afterwards.
"""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from acesniper.predictor.pcn.dataset import Dataset
from acesniper.predictor.pcn.export import export
from acesniper.predictor.pcn.exported import Exported
from acesniper.predictor.pcn.fleet import Fleet
from acesniper.predictor.pcn.judging import LEAST, Verdict, judge
from acesniper.predictor.pcn.serving import PcnPredictor
from acesniper.predictor.pcn.training import DEFAULTS, Settings, fit
from acesniper.predictor.workloads import Suite

RECENT = 0.3
"""The share of all runs that judges."""

Progress = Callable[[int, float], None]


def retrain(
    atlas: Callable[[Fleet], Dataset],
    fleet: Fleet,
    baseline: Path,
    target: Path,
    suite: Suite,
    provenance: Mapping[str, object],
    settings: Settings = DEFAULTS,
    progress: Progress = lambda step, loss: None,
) -> Verdict:
    """Write a network to `target` if it is better than the one in the file `baseline`.

    `atlas` is the dataset with what a fleet observed in it. Widths of intervals stay those of the
    baseline: finding them anew takes much longer, and each device adapts its own.
    """
    before, recent = fleet.split(RECENT)
    if sum(len(each.runs) for each in recent.devices) < LEAST:
        return Verdict("too little", recent.runs, 0.0)
    data = atlas(before)
    network = fit(data, settings, progress)
    widths = Exported.load(baseline, suite).calibration
    seen = {"observed": {"devices": len(before.devices), "runs": before.runs}}
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        file = Path(folder) / target.name
        export(network, data, file, suite, widths, {**provenance, **seen})
        old, new = (PcnPredictor.load(each, suite) for each in (baseline, file))
        verdict = judge(old, new, before, recent)
        if verdict.better:
            file.replace(target)
    return verdict
