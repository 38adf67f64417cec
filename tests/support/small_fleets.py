"""Fleets whose devices ran models of the small atlas's kinds."""

import numpy as np

from acesniper.domain.latency_history import ObservedRun
from acesniper.domain.task import ModelKey
from acesniper.predictor.analytical import PhysicsPredictor
from acesniper.predictor.pcn.dataset import AtlasDataset, build_dataset
from acesniper.predictor.pcn.fleet_runs import DeviceRuns, FleetRuns
from small_atlas import KINDS, SUITE, make_features, make_vector, reference_features

OLD, NEW = 5, 3
"""Devices that have run all models, and ones that came later and ran but a few."""


def small_fleet(slower: float = 0.7, noise: float = 0.05, later: int = 9) -> FleetRuns:
    """Devices that take `slower` (log) more than physics has it; new ones ran `later` models."""
    draw = np.random.default_rng(3)
    models = {
        ModelKey(f"n/{family}{i}"): make_features(kinds, 1.3 * 1.7**i)
        for i in range(4)
        for family, kinds in KINDS.items()
    }
    devices = []
    for number in range(OLD + NEW):
        vector = make_vector(1.2**number, {"conv1x1_wide": 1.0 + number / 8})
        new = number >= OLD
        ran = dict(list(models.items())[: later if new else None])
        seconds = PhysicsPredictor().table(list(ran.values()), [vector]).latency[:, 0]
        real = seconds * np.exp(slower + draw.normal(0.0, noise, len(ran)))
        runs = [
            ObservedRun(f"t{number}-{at}", key, real_s, real_s, real_s, 100.0 * new + at)
            for at, (key, real_s) in enumerate(zip(ran, real.tolist(), strict=True))
        ]
        devices.append(DeviceRuns(f"d{number}", "edge", vector, runs))
    return FleetRuns(devices, models)


def atlas_with(fleet: FleetRuns) -> AtlasDataset:
    """Return a dataset of platforms that follow the physics predictor, and the fleet's devices."""
    known = [
        (f"{family}{i}", family, make_features(kinds, 2.0**i))
        for family, kinds in KINDS.items()
        for i in range(4)
    ]
    platforms = [(f"p{i}", f"r{i % 3}", make_vector(1.5**i, {"gemv": 1 + i / 4})) for i in range(6)]
    models = [features for _, _, features in known]
    right = PhysicsPredictor().table(models, [vector for _, _, vector in platforms]).latency
    rows, columns = right.shape
    found = fleet.latencies()
    log_s = np.full((rows + found.shape[0], columns + found.shape[1]), np.nan)
    log_s[:rows, :columns], log_s[rows:, columns:] = np.log(right), found
    return build_dataset(
        known + [(key, key, features) for key, features in fleet.models.items()],
        reference_features(),
        [(*platform, 0.03) for platform in platforms]
        + [(device.name, device.runtime, device.vector, float("nan")) for device in fleet.devices],
        log_s,
        SUITE,
    )
