"""Latencies measured for the atlas, and the probe readings of its platforms."""

import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from acesniper.domain.device import HardwareVector, Reading
from acesniper.domain.errors import InvalidInput

LATENCIES = "latencies.parquet"
PLATFORMS_FILE = "platforms.json"


@dataclass(frozen=True, slots=True)
class MeasuredPlatform:
    """A measured platform. `noise_floor` is the median relative difference of two measurements."""

    name: str
    runtime: str
    vector: HardwareVector
    noise_floor: float


@dataclass(frozen=True, slots=True, eq=False)
class AtlasLatencies:
    """`log_s` (networks, platforms): log seconds, NaN where a platform cannot run a network."""

    networks: tuple[str, ...]
    platforms: tuple[MeasuredPlatform, ...]
    log_s: np.ndarray


def read_platforms(folder: Path | None = None) -> tuple[MeasuredPlatform, ...]:
    """The platforms of the shipped atlas, or of another in `folder`. Raises InvalidInput."""
    path = atlas_folder(folder) / PLATFORMS_FILE
    try:
        return _parse_platforms(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}; atlas/build.py writes it") from error
    except (KeyError, TypeError) as error:
        raise InvalidInput(f"{path} lacks {error}; atlas/build.py writes it whole") from error


def _parse_platforms(content: Mapping[str, Any]) -> tuple[MeasuredPlatform, ...]:
    return tuple(
        MeasuredPlatform(
            name,
            entry["runtime"],
            HardwareVector(
                entry["suite"],
                entry["suite_version"],
                {probe: Reading(*pair) for probe, pair in entry["readings"].items()},
            ),
            entry["noise_floor"] or float("nan"),
        )
        for name, entry in content.items()
    )


def read_latencies(folder: Path | None = None) -> AtlasLatencies:
    """The latencies and platforms. Raises InvalidInput, also where pyarrow is missing."""
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ModuleNotFoundError as error:
        raise InvalidInput(
            "the atlas is read with pyarrow: pip install acesniper[train]"
        ) from error
    known = read_platforms(folder)
    wanted = ["device", "model", "latency_ms"]
    path = atlas_folder(folder) / LATENCIES
    try:
        rows = parquet.read_table(path, columns=wanted).to_pylist()
    except (OSError, ValueError) as error:  # pyarrow's own errors are ValueErrors
        raise InvalidInput(f"{path} cannot be read: {error}") from error
    return latency_matrix(known, {(r["device"], r["model"]): r["latency_ms"] for r in rows})


def latency_matrix(
    known: tuple[MeasuredPlatform, ...], latency_ms: Mapping[tuple[str, str], float]
) -> AtlasLatencies:
    """As an array, from milliseconds by platform and network."""
    networks = tuple(sorted({network for _, network in latency_ms}))
    log_s = np.full((len(networks), len(known)), np.nan)
    for column, platform in enumerate(known):
        for row, network in enumerate(networks):
            found = latency_ms.get((platform.name, network))
            if found is not None:
                log_s[row, column] = np.log(found / 1e3)
    return AtlasLatencies(networks, known, log_s)


def atlas_folder(folder: Path | None) -> Path:
    """Where an atlas lies: the folder, or the shipped one's."""
    return folder or Path(str(files("acesniper.predictor.atlas")))
