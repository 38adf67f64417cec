"""Small synthetic tables with a known structure."""

import numpy as np

from acesniper.predictor.tables.measurements import MeasuredTable
from acesniper.predictor.tables.operators import ModelTraits, operator

KINDS = ("conv", "depthwise", "pool")


def synthetic(
    devices: int = 24, models: int = 40, noise: float = 0.01, seed: int = 0
) -> tuple[MeasuredTable, list[ModelTraits]]:
    """Devices with a speed per kind of operator, models with an amount of each kind."""
    draw = np.random.default_rng(seed)
    amounts = np.exp(draw.normal(0.0, 1.0, (models, len(KINDS))) + 16.0)
    speeds = np.exp(draw.normal(0.0, 0.8, (devices, len(KINDS))) - 16.0)
    log_ms = np.log(speeds @ amounts.T) + draw.normal(0.0, noise, (devices, models))
    names = tuple(f"{chr(97 + i % 8)}{chr(97 + i // 8)}net-{i}" for i in range(models))
    return MeasuredTable(tuple(f"board{i}|cpu" for i in range(devices)), names, log_ms), [
        ModelTraits(tuple(operator(k, flops=a) for k, a in zip(KINDS, row, strict=True)))
        for row in amounts
    ]
