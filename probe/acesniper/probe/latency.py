"""Measurement of one model: whether it runs, whether its output is correct, and its latency."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from acesniper.domain.errors import InvalidModel
from acesniper.probe.feeds import random_feeds
from acesniper.probe.model_file import bound_model
from acesniper.probe.runtimes import Runtime, RuntimeOptions

TOLERANCE: Mapping[str, float] = {"f32": 0.02, "bf16": 0.5}
"""Tolerance for an output relative to the reference: the latency of a wrong result is meaningless.
Rounding errors of bfloat16 add up over a hundred layers with random weights."""

COMPARED_VALUES = 4096
"""Values of each output that are stored for comparison."""

LOW_QUANTILE = 0.25
"""Quantile of the runs of a round that represents it, since noise only adds time."""


@dataclass(frozen=True, slots=True)
class LatencyEffort:
    """Rounds of `round_s` seconds each, until the two lowest agree within `agreement`.

    `throttled_s` is the length of the single round under a CPU quota, over several of its periods.
    """

    rounds: int = 6
    round_s: float = 0.12
    agreement: float = 0.03
    throttled_s: float = 0.6


QUICK_LATENCY = LatencyEffort(rounds=1, round_s=0.1, throttled_s=0.3)


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds per run: low quantile of the quietest round, its median and 90th percentile."""

    seconds: float
    median_s: float
    p90_s: float
    load_s: float
    disagreement: float | None


def measure_latency(
    path: Path,
    batch: int,
    shapes: Mapping[str, int],
    runtime: Runtime,
    options: RuntimeOptions,
    *,
    effort: LatencyEffort = LatencyEffort(),
    throttled: bool = False,
    reference: Path | None = None,
) -> Latency:
    """Latency of the model at `path`.

    `reference` is a folder of outputs: those of this model are compared with the stored ones, or
    stored if none exist. Raises InvalidModel with the reasons of loading, NotFinite or
    WrongResult.
    """
    model = bound_model(path, batch, shapes, one_of_many=True)
    start = time.perf_counter()
    session = runtime.load(model, options)
    load_s = time.perf_counter() - start
    feeds = random_feeds(session.inputs)
    outputs = session.run(feeds)
    disagreement = _checked(path, batch, outputs, options.precision, reference)
    session.run(feeds)
    times = _quietest(lambda: session.run(feeds), effort, throttled=throttled)
    centre = float(np.mean(times)) if throttled else float(np.quantile(times, LOW_QUANTILE))
    median, p90 = np.quantile(times, [0.5, 0.9])
    return Latency(centre, float(median), float(p90), load_s, disagreement)


def _checked(
    path: Path,
    batch: int,
    outputs: Mapping[str, np.ndarray],
    precision: str,
    reference: Path | None,
) -> float | None:
    """Disagreement with the reference. Raises InvalidModel if it is too large."""
    compared = {name: values.ravel()[:COMPARED_VALUES] for name, values in outputs.items()}
    if not all(np.isfinite(values).all() for values in compared.values()):
        raise InvalidModel("NotFinite", f"the outputs of {path.stem} are not finite")
    if reference is None:
        return None
    stored = reference / f"{path.stem}-{batch}.npz"
    if not stored.exists():
        reference.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(stored, *compared.values())
        return 0.0
    with np.load(stored, allow_pickle=False) as content:
        expected = [content[f"arr_{i}"] for i in range(len(content.files))]
    disagreement = _disagreement(list(compared.values()), expected)
    if not disagreement <= TOLERANCE[precision]:
        raise InvalidModel(
            "WrongResult",
            f"the outputs of {path.stem} differ by {disagreement:.2g} from the reference's,"
            f" more than {TOLERANCE[precision]:g}",
        )
    return disagreement


def _disagreement(actual: list[np.ndarray], expected: list[np.ndarray]) -> float:
    """Largest difference, relative to the largest value; infinite if sizes differ."""
    if [values.size for values in actual] != [values.size for values in expected]:
        return float("inf")
    scale = max(float(np.abs(values).max()) for values in expected) or 1.0
    pairs = zip(actual, expected, strict=True)
    return max(float(np.abs(a.astype(np.float64) - b).max()) for a, b in pairs) / scale


def _quietest(run: Callable[[], object], effort: LatencyEffort, *, throttled: bool) -> list[float]:
    """Durations of the runs of the quietest round."""
    if throttled:
        return _round(run, effort.throttled_s)
    rounds: list[list[float]] = []
    for _ in range(effort.rounds):
        rounds.append(_round(run, effort.round_s))
        low = sorted(float(np.quantile(runs, LOW_QUANTILE)) for runs in rounds)
        if len(low) > 1 and low[1] <= low[0] * (1 + effort.agreement):
            break
    return min(rounds, key=lambda runs: float(np.quantile(runs, LOW_QUANTILE)))


def _round(run: Callable[[], object], seconds: float) -> list[float]:
    """Durations of runs for about `seconds` in all; at least two."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 2 or (time.perf_counter() < end and len(times) < 1000):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return times
