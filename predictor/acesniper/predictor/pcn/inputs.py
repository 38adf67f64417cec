"""Arrays that the network takes for models and devices, in a fixed order.

Callers check the versions of features and suite. The order follows from `features` and
`probe_matrix` and is recorded in the metadata of the network's file.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from acesniper.domain.device import HardwareVector
from acesniper.domain.model import ModelFeatures
from acesniper.predictor.analytical import CLASS_PROBES, model_work, net_of_fusion
from acesniper.predictor.features import CLASSES, HEAVY, class_matrix
from acesniper.predictor.probe_matrix import DISPATCH, MEMORY, NULL, Suite, probe_matrix, row_median
from acesniper.predictor.similarity import spread_vectors

PAIRS: tuple[tuple[str, str], ...] = tuple(
    (name, probe) for name in CLASSES for probe in CLASS_PROBES[name]
)
"""Which probe speaks for which class: a term of the physical sum each; dispatch and run follow."""

TERMS = len(PAIRS) + 2

SIZES = (
    "weights.bytes",
    "activations.bytes",
    "largest_activation.bytes",
    "largest_weight.bytes",
    "input.bytes",
    "output.bytes",
    "depth.nodes",
    "join.nodes",
)
SMALL, LARGE = 1e-9, 4.0
"""Least work that counts, and how far (as a logarithm) a size may lie from its probe's."""


@dataclass(frozen=True, slots=True, eq=False)
class ModelInputs:
    """Models as arrays with a row each.

    `work` (terms): how often each term's probe; `size` (terms): log of work per node over that of
    the probe; `shares` (terms): square roots of the shares of time on a typical device; `spread`:
    unit vectors of how work is spread; `sizes`: logs of totals.
    """

    work: np.ndarray
    size: np.ndarray
    shares: np.ndarray
    spread: np.ndarray
    sizes: np.ndarray

    def take(self, rows: np.ndarray) -> "ModelInputs":
        """Some of the models."""
        return ModelInputs(*(getattr(self, field.name)[rows] for field in fields(self)))


@dataclass(frozen=True, slots=True, eq=False)
class DeviceInputs:
    """Devices as arrays with a row each; a row of an unknown device is NaN.

    `seconds` (terms): time of each term's probe; `shape` (probes): log of a reading over its
    typical value, less `level`, the median of that; `references` (reference networks): log seconds,
    NaN where not taken; `implied` (terms): 1 where relatives had to fill in the term's probe
    (a run has none); `unusual` (terms): how far the shape is from usual there, in both directions.
    """

    seconds: np.ndarray
    shape: np.ndarray
    level: np.ndarray
    references: np.ndarray
    implied: np.ndarray
    unusual: np.ndarray

    def take(self, rows: np.ndarray) -> "DeviceInputs":
        """Some of the devices."""
        return DeviceInputs(*(getattr(self, field.name)[rows] for field in fields(self)))


@dataclass(frozen=True, slots=True, eq=False)
class Scales:
    """What makes `sizes` and `shape` comparable: mean, and deviation times the width's root."""

    sizes_mean: np.ndarray
    sizes_scale: np.ndarray
    shape_scale: float


def scales(models: ModelInputs, devices: DeviceInputs) -> Scales:
    """The scales of what is known; distances between rows are then about 1."""
    width = models.sizes.shape[1]
    deviation = models.sizes.std(axis=0)
    return Scales(
        models.sizes.mean(axis=0),
        np.where(deviation > 0, deviation, 1.0) * np.sqrt(width),
        float(np.sqrt((devices.shape**2).sum(axis=1).mean())) or 1.0,
    )


def join(one: ModelInputs, other: ModelInputs) -> ModelInputs:
    """The rows of both."""
    return ModelInputs(
        *(np.concatenate([getattr(one, f.name), getattr(other, f.name)]) for f in fields(one))
    )


def reference_names(suite: Suite) -> tuple[str, ...]:
    """The probes that are whole networks."""
    return tuple(name for name in suite.probes if name.startswith("net_"))


def model_inputs(models: Sequence[ModelFeatures], suite: Suite) -> ModelInputs:
    """Arrays of the models."""
    amount = _amounts(models, suite)
    typical = np.append(_of_terms(suite.typical_s[None], suite)[0], _fixed_costs(suite))
    seconds = amount * typical
    total = seconds.sum(axis=1, keepdims=True)
    totals = np.stack([class_matrix(model.values) for model in models])
    return ModelInputs(
        work=amount,
        size=_sizes(totals, suite),
        shares=np.sqrt(seconds / np.maximum(total, SMALL)),
        spread=spread_vectors([model.values for model in models]),
        sizes=_totals(models, totals, total[:, 0]),
    )


def device_inputs(devices: Sequence[HardwareVector], suite: Suite) -> DeviceInputs:
    """Arrays of the devices."""
    found = probe_matrix(devices, suite)
    net = net_of_fusion(found.net_s, suite)
    fixed = np.maximum(np.stack([found.node_s, found.run_s], axis=1), SMALL)
    excess = np.log(found.net_s / suite.typical_s)
    level = row_median(excess)[:, None]
    shape = excess - level
    fixed_shape = np.log(fixed / _fixed_costs(suite)) - level
    names = reference_names(suite)
    dispatch = found.implied[:, [suite.index(DISPATCH)]]
    implied = [_of_terms(found.implied, suite), dispatch, np.zeros_like(dispatch)]
    raw = [[_seconds(device, name) for name in names] for device in devices]
    return DeviceInputs(
        seconds=np.hstack([_of_terms(net, suite), fixed]),
        shape=shape,
        level=level[:, 0],
        references=np.log(np.asarray(raw, dtype=float).reshape(len(devices), len(names))),
        implied=np.hstack(implied).astype(float),
        unusual=np.abs(np.hstack([_of_terms(shape, suite), fixed_shape])),
    )


def _seconds(device: HardwareVector, probe: str) -> float:
    reading = device.readings.get(probe)
    return reading.seconds if reading is not None and reading.seconds > 0 else float("nan")


def _amounts(models: Sequence[ModelFeatures], suite: Suite) -> np.ndarray:
    """Work in units of the terms' probes, shape (models, terms)."""
    asked = model_work(models, suite)
    columns = [
        asked.share[name][:, suite.index(probe)] if name in asked.share else np.zeros(len(models))
        for name, probe in PAIRS
    ]
    return np.stack([*columns, asked.nodes, np.ones(len(models))], axis=1)


def _of_terms(per_probe: np.ndarray, suite: Suite) -> np.ndarray:
    """Columns of an array (devices, probes) in the order of PAIRS."""
    return np.asarray(per_probe[:, [suite.index(probe) for _, probe in PAIRS]])


def _fixed_costs(suite: Suite) -> np.ndarray:
    """Seconds per dispatched node and per run on a typical device."""
    null = suite.typical_s[suite.index(NULL)]
    dispatch = suite.index(DISPATCH)
    nodes = suite.work[dispatch, :, 2].sum()
    return np.asarray([max(suite.typical_s[dispatch] - null, SMALL) / nodes, null])


def _sizes(totals: np.ndarray, suite: Suite) -> np.ndarray:
    """Log of work per node over that of the term's probe; 0 without such nodes."""
    found = np.zeros((len(totals), TERMS))
    for i, (name, probe) in enumerate(PAIRS):
        unit = 0 if name in HEAVY else 1
        kind = CLASSES.index(name)
        own = suite.work[suite.index(probe), kind]
        if own[2] == 0 or probe == MEMORY:
            continue
        size = totals[:, kind, unit] / np.maximum(totals[:, kind, 2], 1.0)
        there = size > 0
        ratio = np.log(np.where(there, size, 1.0) / (own[unit] / own[2]))
        found[:, i] = np.where(there, np.clip(ratio, -LARGE, LARGE), 0.0)
    return found


def _totals(models: Sequence[ModelFeatures], totals: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Logs of what describes a model as a whole, shape (models, totals)."""
    sums = totals.sum(axis=1)
    values = [[model.values.get(name, 0.0) for name in SIZES] for model in models]
    many = np.hstack([sums, np.asarray(values, dtype=float).reshape(len(models), len(SIZES))])
    per_node = sums[:, :2] / np.maximum(sums[:, 2:], 1.0)
    return np.log(np.hstack([many, per_node, seconds[:, None] * 1e6]) + 1.0)
