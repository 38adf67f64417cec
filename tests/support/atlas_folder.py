"""A synthetic atlas of real networks, in the format of `acesniper collect` and `atlas/build.py`."""

import json
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet

from acesniper.domain.device import HardwareVector, Reading
from acesniper.predictor.analytical import PhysicsPredictor
from acesniper.predictor.atlas.latencies import LATENCIES, PLATFORMS_FILE
from acesniper.predictor.probe_matrix import known_suite
from acesniper.predictor.similarity import known_networks

NETWORKS = (
    "resnet18",
    "resnet34",
    "mixer_s32_224",
    "squeezenet1_1",
    "alexnet",
    "yolo_16",
    "bert_mini",
    "bert_medium",
    "unet_16",
    "unet_24",
    "autoencoder_128",
    "vit_tiny_patch16_224",
)
"""Networks of the library, of nine families."""

PLATFORMS = {"a1": "a", "a2": "a", "b1": "b", "b2": "b", "c1": "c", "d1": "d"}
"""Platforms and their runtimes."""


def write_atlas(folder: Path, noise: float = 0.05) -> Path:
    """Write analytical latencies times a factor per platform, with noise; d1 lacks a network."""
    draw = np.random.default_rng(1)
    suite, known = known_suite(), known_networks()
    names = sorted(NETWORKS)
    rows, entries = [], {}
    for turn, (platform, runtime) in enumerate(PLATFORMS.items()):
        pace = 1.3**turn * np.exp(draw.normal(0.0, 0.3, len(suite.probes)))
        readings = dict(zip(suite.probes, (suite.typical_s * pace).tolist(), strict=True))
        vector = HardwareVector(
            suite.name, suite.version, {name: Reading(s, 0.01) for name, s in readings.items()}
        )
        exact = PhysicsPredictor().table([known[name] for name in names], [vector]).latency[:, 0]
        measured = exact * np.exp(draw.normal(0.1 * turn, noise, len(names))) * 1e3
        kept = names[1:] if platform == "d1" else names
        rows += [
            {"device": platform, "model": name, "latency_ms": float(value)}
            for name, value in zip(names, measured, strict=True)
            if name in kept
        ]
        entries[platform] = _entry(runtime, readings, len(kept))
    folder.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / LATENCIES)
    (folder / PLATFORMS_FILE).write_text(json.dumps(entries))
    return folder


def _entry(runtime: str, readings: dict[str, float], networks: int) -> dict[str, object]:
    return {
        **{"runtime": runtime, "runtime_version": "1.0", "threads": 1, "precision": "f32"},
        **{"optimised": True, "environment": {"ISA": "AVX2"}, "cpu_quota": 0.5},
        **{"networks": networks, "measured_twice": networks, "noise_floor": 0.02},
        **{"suite": known_suite().name, "suite_version": known_suite().version},
        "readings": {name: [seconds, 0.01] for name, seconds in readings.items()},
    }
