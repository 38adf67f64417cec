"""How predictions for a device improve with every task that runs there.

    python benchmarks/selfupdate.py [--tasks N] [--seeds N] [--json FILE]

Each runtime of the atlas is hidden in turn, with a fifth of the model families; a network is
trained on the rest (torch is needed) and exported. On each hidden device tasks run one after
another, of POOL models drawn from some list, with the platform's own noise. Before each task its
latency is predicted from the probe and from what is remembered of the tasks before, by the code
that the operator and the extender run. The cases:

    unseen device       models of known families
    and unseen family   models of the hidden families
    twice as slow       models of known families; since its probe the device became half as fast

The error of the n-th task is the relative error of the prediction made before it; the table has its
median over devices and seeds.
"""

import argparse
import json
import random
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import exp, inf
from pathlib import Path
from statistics import median

import numpy as np
from rich.console import Console
from rich.table import Table

from acesniper.domain.device import HardwareVector
from acesniper.domain.latency_history import (
    ObservedRun,
    drift_start_s,
    newest_runs,
    observed_latencies,
)
from acesniper.domain.model import ModelFeatures
from acesniper.domain.task import ModelKey
from acesniper.predictor.atlas.latencies import read_platforms
from acesniper.predictor.base import DRIFTED_SHIFT, PRIOR_SHIFT, Observation
from acesniper.predictor.pcn.conformal import Calibration
from acesniper.predictor.pcn.dataset import AtlasDataset, atlas_dataset
from acesniper.predictor.pcn.evaluation.cross_validation import hidden_groups
from acesniper.predictor.pcn.export import export
from acesniper.predictor.pcn.serve import PcnPredictor
from acesniper.predictor.pcn.train import fit
from acesniper.predictor.probe_matrix import known_suite
from acesniper.predictor.similarity import known_networks

POOL = 8
"""Models that a device runs: an edge cluster serves a handful, again and again."""
SHOWN = (1, 2, 3, 5, 10, 11, 20, 30)
CASES = ("unseen device", "and unseen family", "twice as slow")


@dataclass(frozen=True, slots=True)
class Bench:
    """A hidden device: its vector, and what some models really take on it (seconds)."""

    predictor: PcnPredictor
    vector: HardwareVector
    latency_s: Mapping[str, float]
    noise: float


def benches(data: AtlasDataset) -> Iterator[tuple[str, Bench, Bench]]:
    """Each hidden device with known families, and with unseen ones."""
    vectors = {platform.name: platform.vector for platform in read_platforms()}
    everything = np.arange(len(data.names))
    for _, models, devices in hidden_groups(data, "runtime"):
        others = np.setdiff1d(np.arange(len(data.platforms)), devices)
        shown = np.setdiff1d(everything, models)
        predictor = trained(data.take(shown, others))
        for device in devices:
            floor = float(np.nan_to_num(data.floor[device], nan=0.04))
            name = str(data.platforms[device])
            known = np.setdiff1d(shown, np.flatnonzero(data.reference))
            pair = [
                Bench(predictor, vectors[name], truth(data, asked, device), floor)
                for asked in (known, models)
            ]
            yield name, pair[0], pair[1]


def trained(data: AtlasDataset) -> PcnPredictor:
    """A network that has seen only this, as it is served."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pcn.onnx"
        export(fit(data), data, file, known_suite(), Calibration(), {})
        return PcnPredictor.load(file)


def truth(data: AtlasDataset, models: np.ndarray, device: int) -> dict[str, float]:
    """Measured seconds by model, of those that the device can run."""
    return {
        str(data.names[model]): exp(data.log_s[model, device])
        for model in models
        if np.isfinite(data.log_s[model, device])
    }


def errors(bench: Bench, tasks: int, seed: str, slowdown: float = 1.0) -> list[float]:
    """The relative error of the prediction before each of `tasks` tasks."""
    draw = random.Random(seed)  # noqa: S311 - a workload, not a secret
    pool = draw.sample(sorted(bench.latency_s), min(POOL, len(bench.latency_s)))
    features = known_networks()
    runs: tuple[ObservedRun, ...] = ()
    shift, found = PRIOR_SHIFT, []
    for number in range(tasks):
        model = draw.choice(pool)
        made = [
            Observation(features[latency.model], latency.latency_s, latency.variance, shift)
            for latency in observed_latencies(runs)
        ]
        expected_s = predicted(bench, features[model], made)
        real_s = slowdown * bench.latency_s[model] * exp(draw.gauss(0.0, bench.noise))
        found.append(abs(expected_s / real_s - 1.0))
        run = ObservedRun(str(number), ModelKey(model), real_s, real_s, expected_s, float(number))
        runs = newest_runs(runs, [run])
        if (since_s := drift_start_s(runs, -inf)) is not None:
            runs = tuple(run for run in runs if run.at_s >= since_s)
            shift = DRIFTED_SHIFT
    return found


def predicted(bench: Bench, model: ModelFeatures, made: Sequence[Observation]) -> float:
    """Seconds expected; infinite where nothing can be said."""
    prediction = bench.predictor.predict(model, bench.vector, made)
    return prediction.latency_s if prediction else inf


def table(found: Mapping[str, list[list[float]]], tasks: int) -> Table:
    """The median error of the n-th task, by case."""
    shown = [number for number in SHOWN if number <= tasks]
    made = Table("median error in %, task", *map(str, shown), title="Learning from every task")
    for case, rows in found.items():
        made.add_row(case, *(f"{100 * at(rows, number):.1f}" for number in shown))
    return made


def at(rows: Sequence[Sequence[float]], number: int) -> float:
    """The median error of the n-th task over devices and seeds."""
    return median(row[number - 1] for row in rows)


def main() -> None:
    """Run every case on every hidden device."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tasks", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    out = Console()
    found: dict[str, list[list[float]]] = {case: [] for case in CASES}
    with out.status("training") as status:
        for name, known, unseen in benches(atlas_dataset()):
            status.update(f"tasks on {name}")
            for number in range(asked.seeds):
                seed = f"{name} {number}"
                for case, bench, slowdown in zip(
                    CASES, (known, unseen, known), (1.0, 1.0, 2.0), strict=True
                ):
                    found[case].append(errors(bench, asked.tasks, seed, slowdown))
    out.print(table(found, asked.tasks))
    if asked.json is not None:
        asked.json.write_text(json.dumps(figures(found), indent=2) + "\n")


def figures(found: Mapping[str, list[list[float]]]) -> dict[str, object]:
    """For machines: per cent."""
    cases = {
        case: {
            "first_error_pct": 100 * at(rows, 1),
            "error_after_10_pct": 100 * at(rows, 11),
            "by_task_pct": [100 * at(rows, number + 1) for number in range(len(rows[0]))],
        }
        for case, rows in found.items()
    }
    first = cases[CASES[0]]
    return {key: first[key] for key in ("first_error_pct", "error_after_10_pct")} | {"cases": cases}


if __name__ == "__main__":
    main()
