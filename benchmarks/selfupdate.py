"""Improvement of the predictions for a device with every task that runs there.

    python benchmarks/selfupdate.py [--tasks N] [--seeds N] [--json FILE]

Each runtime of the atlas is held out, one after the other, with a fifth of the model families; a
network is trained on the rest (torch is needed) and exported. On each held-out device tasks run one
after another, of POOL models drawn at random, with the noise of the platform. Before each task its
latency is predicted from the probe and from the observations of earlier tasks, by the code that the
operator and the extender run. The cases:

    unseen device       models of known families
    and unseen family   models of the held-out families
    twice as slow       models of known families; the device is half as fast as when it was probed

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
    Drift,
    ObservedRun,
    find_drift,
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
"""Models that a device runs: an edge cluster serves a small number repeatedly."""
SHOWN = (1, 2, 3, 5, 10, 11, 20, 30)
CASES = ("unseen device", "and unseen family", "twice as slow")


@dataclass(frozen=True, slots=True)
class Bench:
    """A held-out device: its vector, and the true latencies of some models (seconds)."""

    predictor: PcnPredictor
    vector: HardwareVector
    latency_s: Mapping[str, float]
    noise: float


def benches(data: AtlasDataset) -> Iterator[tuple[str, Bench, Bench]]:
    """Yield each held-out device with known families, and with unseen ones."""
    vectors = {platform.name: platform.vector for platform in read_platforms()}
    everything = np.arange(len(data.names))
    for _, models, devices in hidden_groups(data, "runtime"):
        other_devices = np.setdiff1d(np.arange(len(data.platforms)), devices)
        shown_models = np.setdiff1d(everything, models)
        predictor = trained(data.take(shown_models, other_devices))
        for device in devices:
            floor = float(np.nan_to_num(data.floor[device], nan=0.04))
            name = str(data.platforms[device])
            known_models = np.setdiff1d(shown_models, np.flatnonzero(data.reference))
            pair = [
                Bench(predictor, vectors[name], truth(data, group, device), floor)
                for group in (known_models, models)
            ]
            yield name, pair[0], pair[1]


def trained(data: AtlasDataset) -> PcnPredictor:
    """Return a network trained on this data only, as it is served."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pcn.onnx"
        export(fit(data), data, file, known_suite(), Calibration(), {})
        return PcnPredictor.load(file)


def truth(data: AtlasDataset, models: np.ndarray, device: int) -> dict[str, float]:
    """Return the measured seconds by model, of those that the device can run."""
    return {
        str(data.names[model]): exp(data.log_s[model, device])
        for model in models
        if np.isfinite(data.log_s[model, device])
    }


def errors(bench: Bench, tasks: int, seed: str, slowdown: float = 1.0) -> list[float]:
    """Return the relative error of the prediction before each of `tasks` tasks."""
    draw = random.Random(seed)  # noqa: S311 - a workload, not a secret
    pool = draw.sample(sorted(bench.latency_s), min(POOL, len(bench.latency_s)))
    features = known_networks()
    runs: tuple[ObservedRun, ...] = ()
    drift: Drift | None = None
    relative_errors = []
    for number in range(tasks):
        model = draw.choice(pool)
        shift, changed_s = (PRIOR_SHIFT, None) if drift is None else (DRIFTED_SHIFT, drift.since_s)
        observations = [
            Observation(features[latency.model], latency.latency_s, latency.variance, shift)
            for latency in observed_latencies(runs, changed_s)
        ]
        expected_s = predicted(bench, features[model], observations)
        real_s = slowdown * bench.latency_s[model] * exp(draw.gauss(0.0, bench.noise))
        relative_errors.append(abs(expected_s / real_s - 1.0))
        run = ObservedRun(str(number), ModelKey(model), real_s, real_s, expected_s, float(number))
        runs = newest_runs(runs, [run])
        drift = find_drift(runs, -inf) or drift
    return relative_errors


def predicted(bench: Bench, model: ModelFeatures, observations: Sequence[Observation]) -> float:
    """Return the predicted seconds; infinite if there is no prediction."""
    prediction = bench.predictor.predict(model, bench.vector, observations)
    return prediction.latency_s if prediction else inf


def table(errors_by_case: Mapping[str, list[list[float]]], tasks: int) -> Table:
    """Return a table of the median error of the n-th task, by case."""
    shown = [number for number in SHOWN if number <= tasks]
    rendered = Table("median error in %, task", *map(str, shown), title="Learning from every task")
    for case, rows in errors_by_case.items():
        rendered.add_row(case, *(f"{100 * at(rows, number):.1f}" for number in shown))
    return rendered


def at(rows: Sequence[Sequence[float]], number: int) -> float:
    """Return the median error of the n-th task over devices and seeds."""
    return median(row[number - 1] for row in rows)


def main() -> None:
    """Run every case on every held-out device."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tasks", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    out = Console()
    errors_by_case: dict[str, list[list[float]]] = {case: [] for case in CASES}
    with out.status("training") as status:
        for name, known, unseen in benches(atlas_dataset()):
            status.update(f"tasks on {name}")
            for number in range(arguments.seeds):
                seed = f"{name} {number}"
                for case, bench, slowdown in zip(
                    CASES, (known, unseen, known), (1.0, 1.0, 2.0), strict=True
                ):
                    errors_by_case[case].append(errors(bench, arguments.tasks, seed, slowdown))
    out.print(table(errors_by_case, arguments.tasks))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(figures(errors_by_case), indent=2) + "\n")


def figures(errors_by_case: Mapping[str, list[list[float]]]) -> dict[str, object]:
    """Return the figures as JSON, in per cent."""
    cases = {
        case: {
            "first_error_pct": 100 * at(rows, 1),
            "error_after_10_pct": 100 * at(rows, 11),
            "by_task_pct": [100 * at(rows, number + 1) for number in range(len(rows[0]))],
        }
        for case, rows in errors_by_case.items()
    }
    first = cases[CASES[0]]
    return {key: first[key] for key in ("first_error_pct", "error_after_10_pct")} | {"cases": cases}


if __name__ == "__main__":
    main()
