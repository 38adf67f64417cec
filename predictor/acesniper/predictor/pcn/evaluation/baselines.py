"""Simple methods on the same splits, as baselines for the network.

They use the same input: the models observed on the hidden devices, including the suite's networks.
Their deviation is constant, so that their intervals are plain split-conformal ones.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from acesniper.predictor.pcn.dataset import AtlasDataset
from acesniper.predictor.pcn.evaluation.cross_validation import (
    HiddenFold,
    hidden_groups,
    observed_networks,
)

Method = Callable[[AtlasDataset, np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""From a dataset and indices of models (M,), devices (D,) and observed models (O,) to log seconds
(M, D)."""


def by_flops(
    data: AtlasDataset, models: np.ndarray, devices: np.ndarray, seen: np.ndarray
) -> np.ndarray:
    """One speed per device: the median of what it was observed to need per FLOP."""
    flops = _log_flops(data)
    need = data.log_s[np.ix_(seen, devices)] - flops[seen, None]
    return np.asarray(flops[models, None] + np.nanmedian(need, axis=0))


def by_physics(
    data: AtlasDataset, models: np.ndarray, devices: np.ndarray, seen: np.ndarray
) -> np.ndarray:
    """The physical sum over the probes as it is, nothing learned and nothing observed."""
    return np.asarray(np.log(data.models.work[models] @ data.devices.seconds[devices].T))


def by_nearest(
    data: AtlasDataset, models: np.ndarray, devices: np.ndarray, seen: np.ndarray
) -> np.ndarray:
    """The observed network whose work is spread most alike, scaled by FLOPs."""
    near = data.models.spread[models] @ data.models.spread[seen].T
    log_s, flops = data.log_s[np.ix_(seen, devices)], _log_flops(data)
    there = np.where(np.isfinite(log_s.T)[:, None], near, -1.0)  # D, M, O
    best = there.argmax(axis=2).T  # M, D
    found = np.take_along_axis(log_s, best, axis=0)
    return np.asarray(found + flops[models, None] - flops[seen][best])


METHODS: Mapping[str, Method] = {
    "FLOPs": by_flops,
    "nearest": by_nearest,
    "physics": by_physics,
}


def baseline_folds(
    data: AtlasDataset, by: str, observations: Sequence[int], method: Method, seed: int = 0
) -> Iterator[HiddenFold]:
    """What a method says of the cells that `crossvalidate` hides, from the same observations."""
    for group, models, devices in hidden_groups(data, by):
        shown = np.setdiff1d(np.arange(len(data.names)), models)
        mean = {
            count: method(data, models, devices, observed_networks(data, shown, count, seed))
            for count in observations
        }
        ones = {count: np.ones_like(log_s) for count, log_s in mean.items()}
        yield HiddenFold(group, models, devices, mean, ones, np.ones(len(devices)))


def _log_flops(data: AtlasDataset) -> np.ndarray:
    """Shape (N,): the first of a model's totals."""
    return np.asarray(data.models.sizes[:, 0])
