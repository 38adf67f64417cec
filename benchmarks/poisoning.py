"""Predictions of honest namespaces on a device while others report forged latencies.

    python benchmarks/poisoning.py [--tasks N] [--json FILE]

One of the example devices became 1.4 times slower since its probe. Of NAMESPACES namespaces whose
tasks run there, k forge their reports:

    slow    300 times the prediction
    fast    a millionth of it
    creep   9 % more than the prediction, each time

They all run the same models in turn, and every prediction is made by the code of operator and
extender from the reports so far. The table has, for each k: by which factor the predictions of a
namespace that never ran there differ from those of the probe, the median error of those
predictions, the median error of honest namespaces that ran there, and whether the device counts as
drifting.
"""

import argparse
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from math import exp, inf, log
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from acesniper.api.v1alpha1 import DeviceProfileStatus
from acesniper.domain.evidence import (
    NamespaceState,
    confirmed_drift,
    namespace_histories,
    updated_states,
)
from acesniper.domain.latency_history import ObservedRun, newest_runs
from acesniper.domain.model import ModelFeatures
from acesniper.domain.task import ModelKey
from acesniper.predictor.base import LatencyPredictor
from acesniper.predictor.factory import default_predictor
from acesniper.predictor.namespaces import MeasuredDevice, namespace_table
from acesniper.predictor.similarity import known_networks
from acesniper.testbed.demo.examples import shipped_devices
from acesniper.testbed.deployment import ROOT

NAMESPACES = 8
SLOWDOWN = 1.4
NOISE = 0.03
MODELS = 4
BYSTANDER = "bystander"
FORGERIES: Mapping[str, Callable[[float], float]] = {
    "slow": lambda expected_s: 300.0 * expected_s,
    "fast": lambda expected_s: 1e-6 * expected_s,
    "creep": lambda expected_s: 1.09 * expected_s,
}


@dataclass(slots=True)
class Bench:
    """One device, with the reports of all namespaces so far."""

    predictor: LatencyPredictor
    measured: MeasuredDevice
    models: Mapping[str, ModelFeatures]
    runs: tuple[ObservedRun, ...] = ()
    states: dict[str, NamespaceState] = field(default_factory=dict)

    @classmethod
    def of(cls, predictor: LatencyPredictor) -> "Bench":
        """A device that ran nothing yet."""
        status = shipped_devices(ROOT / "examples/devices")[0].profile["status"]
        networks = known_networks()
        names = sorted(networks)[:: len(networks) // MODELS][:MODELS]
        vector = MeasuredDevice.of(DeviceProfileStatus.model_validate(status))
        if vector is None:
            raise ValueError("the example device is not measured")
        return cls(predictor, vector, {name: networks[name] for name in names})

    def predict(self, namespace: str) -> dict[str, float]:
        """Seconds by model, as a namespace may expect them."""
        tenants = {run.namespace for run in self.runs} | {namespace}
        known = {
            ModelKey(f"{tenant}/{name}"): features
            for tenant in tenants
            for name, features in self.models.items()
        }
        asked = {key: known[key] for key in known if key.startswith(f"{namespace}/")}
        latency = namespace_table(self.predictor, asked, [self.measured], known).latency[:, 0]
        return dict(zip(self.models, latency.tolist(), strict=True))

    def report(self, run: ObservedRun) -> None:
        """Learn from one run, as the operator and the extender do."""
        self.runs = newest_runs(self.runs, [run])
        self.states = updated_states(self.runs, [run], self.states, -inf)
        histories = namespace_histories(self.runs, self.states, -inf)
        self.measured = MeasuredDevice(self.measured.vector, histories)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Predictions after all reports; errors are relative."""

    forgery: str
    liars: int
    shift_for_others: float
    bystander_error: float
    honest_error: float | None
    drifting: bool


@cache
def shipped() -> LatencyPredictor:
    """The shipped network."""
    return default_predictor()


def simulate(forgery: str, liars: int, namespaces: int, tasks: int, seed: int = 1) -> Outcome:
    """Run `tasks` tasks of each namespace, of which the first `liars` forge their reports."""
    draw = random.Random(f"{forgery} {liars} {seed}")  # noqa: S311 - a workload, not a secret
    bench = Bench.of(shipped())
    from_probe = bench.predict(BYSTANDER)
    truth = {name: SLOWDOWN * seconds for name, seconds in from_probe.items()}
    at_s = 0.0
    for number in range(tasks):
        for tenant in range(namespaces):
            namespace, at_s = f"n{tenant}", at_s + 1.0
            name = list(bench.models)[number % len(bench.models)]
            expected_s = bench.predict(namespace)[name]
            latency_s = truth[name] * exp(draw.gauss(0.0, NOISE))
            if tenant < liars:
                latency_s = FORGERIES[forgery](expected_s)
            key = ModelKey(f"{namespace}/{name}")
            task = f"{tenant}-{number}"
            bench.report(ObservedRun(task, key, latency_s, latency_s, expected_s, at_s))
    seen = bench.predict(BYSTANDER)
    honest = [
        abs(seconds / truth[name] - 1.0)
        for tenant in range(liars, namespaces)
        for name, seconds in bench.predict(f"n{tenant}").items()
    ]
    return Outcome(
        forgery=forgery,
        liars=liars,
        shift_for_others=exp(max(abs(log(seen[name] / from_probe[name])) for name in seen)),
        bystander_error=median(abs(seen[name] / truth[name] - 1.0) for name in seen),
        honest_error=median(honest) if honest else None,
        drifting=confirmed_drift(bench.runs, bench.states, -inf) is not None,
    )


def table(outcomes: list[Outcome], namespaces: int) -> Table:
    """Return the outcomes as a table."""
    rendered = Table(
        "forged",
        "liars",
        "shift for others",
        "error of others",
        "error of honest",
        "drifting",
        title=f"Forged reports of k of {namespaces} namespaces",
    )
    for outcome in outcomes:
        rendered.add_row(
            outcome.forgery,
            str(outcome.liars),
            f"{outcome.shift_for_others:.2f} x",
            f"{100 * outcome.bystander_error:.1f} %",
            "" if outcome.honest_error is None else f"{100 * outcome.honest_error:.1f} %",
            str(outcome.drifting),
        )
    return rendered


def main() -> None:
    """Run every forgery with zero to all namespaces lying."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tasks", type=int, default=8)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    counts = (0, 1, NAMESPACES // 2, NAMESPACES // 2 + 1, NAMESPACES)
    outcomes = [
        simulate(forgery, liars, NAMESPACES, arguments.tasks)
        for forgery in FORGERIES
        for liars in counts
    ]
    Console().print(table(outcomes, NAMESPACES))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(figures(outcomes), indent=2) + "\n")


def figures(outcomes: list[Outcome]) -> dict[str, object]:
    """Return the outcomes as JSON, with the largest shifts."""
    return {
        "namespaces": NAMESPACES,
        "prediction_shift": max(outcome.shift_for_others for outcome in outcomes),
        "prediction_shift_one_liar": max(
            outcome.shift_for_others for outcome in outcomes if outcome.liars == 1
        ),
        "outcomes": [
            {name: getattr(outcome, name) for name in Outcome.__slots__} for outcome in outcomes
        ],
    }


if __name__ == "__main__":
    main()
