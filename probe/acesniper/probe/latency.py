"""Measure one model once: does it run, is its answer right, how long does it take?"""

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
"""How far an output may be from the reference's: a wrong result means a wrong latency. Rounding in
bfloat16 adds up over a hundred layers with drawn weights."""

COMPARED = 4096
"""Values of each output that are kept to compare with."""

LOW_QUANTILE = 0.25
"""The quantile of a round that stands for it: noise only ever adds."""


@dataclass(frozen=True, slots=True)
class LatencyEffort:
    """Rounds of `round_s` seconds each, until the two lowest agree within `agreed`.

    `throttled_s` is the length of the single round under a CPU quota, over several of its periods.
    """

    rounds: int = 6
    round_s: float = 0.12
    agreed: float = 0.03
    throttled_s: float = 0.6


QUICK_LATENCY = LatencyEffort(rounds=1, round_s=0.1, throttled_s=0.3)


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds of one run: the low end of the quietest round, its median and 90th percentile."""

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
    """The latency of the model at `path`. Raises InvalidModel.

    `reference` is a folder of outputs: those of this model are compared with what lies there, and
    are written there where nothing does. Reasons beside those of loading: NotFinite, WrongResult.
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
    """The disagreement with the reference. Raises InvalidModel where it is too large."""
    shown = {name: values.ravel()[:COMPARED] for name, values in outputs.items()}
    if not all(np.isfinite(each).all() for each in shown.values()):
        raise InvalidModel("NotFinite", f"{path.stem} gives values that are not finite")
    if reference is None:
        return None
    kept = reference / f"{path.stem}-{batch}.npz"
    if not kept.exists():
        reference.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(kept, *shown.values())
        return 0.0
    with np.load(kept, allow_pickle=False) as content:
        known = [content[f"arr_{i}"] for i in range(len(content.files))]
    found = _disagreement(list(shown.values()), known)
    if not found <= TOLERANCE[precision]:
        raise InvalidModel(
            "WrongResult", f"{path.stem} is {found:.2g} away from the reference's result"
        )
    return found


def _disagreement(found: list[np.ndarray], known: list[np.ndarray]) -> float:
    """The largest difference, relative to the largest value; infinite where sizes differ."""
    if [each.size for each in found] != [each.size for each in known]:
        return float("inf")
    scale = max(float(np.abs(each).max()) for each in known) or 1.0
    pairs = zip(found, known, strict=True)
    return max(float(np.abs(a.astype(np.float64) - b).max()) for a, b in pairs) / scale


def _quietest(run: Callable[[], object], effort: LatencyEffort, *, throttled: bool) -> list[float]:
    """The durations of the quietest round."""
    if throttled:
        return _round(run, effort.throttled_s)
    rounds: list[list[float]] = []
    for _ in range(effort.rounds):
        rounds.append(_round(run, effort.round_s))
        low = sorted(float(np.quantile(each, LOW_QUANTILE)) for each in rounds)
        if len(low) > 1 and low[1] <= low[0] * (1 + effort.agreed):
            break
    return min(rounds, key=lambda each: float(np.quantile(each, LOW_QUANTILE)))


def _round(run: Callable[[], object], seconds: float) -> list[float]:
    """The durations of runs that take about `seconds` together; at least two."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 2 or (time.perf_counter() < end and len(times) < 1000):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return times
