"""The datasets that a network learns from: the shipped atlas or another, and what a fleet saw."""

import json
from importlib.resources import files
from pathlib import Path

import numpy as np

from acesniper.domain.errors import InvalidInput
from acesniper.domain.model import ModelFeatures
from acesniper.predictor.atlas.latencies import read_latencies
from acesniper.predictor.atlas.networks import network_index
from acesniper.predictor.features import FEATURES_VERSION
from acesniper.predictor.pcn.dataset import AtlasDataset, build_dataset
from acesniper.predictor.pcn.fleet_runs import FleetRuns
from acesniper.predictor.pcn.inputs import reference_names
from acesniper.predictor.probe_matrix import known_suite
from acesniper.predictor.similarity import known_networks


def atlas_dataset(folder: Path | None = None, fleet: FleetRuns | None = None) -> AtlasDataset:
    """The atlas in `folder` (latencies.parquet, platforms.json) or the shipped one.

    With a `fleet`, its devices and models stand beside the atlas's own.

    Raises InvalidInput where a network is unknown to the library or pyarrow is missing.
    """
    content, known, families = read_latencies(folder), known_networks(), network_index()
    unknown = [name for name in content.networks if name not in known]
    if unknown:
        raise InvalidInput(
            f"the library lacks {', '.join(unknown[:3])}; run python -m"
            " acesniper.predictor.atlas.networks"
        )
    found = fleet or FleetRuns((), {})
    networks = [(name, families[name]["family"], known[name]) for name in content.networks]
    # Of a cluster's model nobody says what family it is of: it is one of its own.
    networks += [(key, key, features) for key, features in found.models.items()]
    platforms = [
        (each.name, each.runtime, each.vector, each.noise_floor) for each in content.platforms
    ]
    nan = float("nan")
    platforms += [(f"device {each.name}", each.runtime, each.vector, nan) for each in found.devices]
    log_s = block_diagonal(content.log_s, found.latencies())
    return build_dataset(networks, reference_features(), platforms, log_s, known_suite())


def block_diagonal(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Both along the diagonal, nothing known elsewhere."""
    rows, columns = one.shape
    both = np.full((rows + other.shape[0], columns + other.shape[1]), np.nan)
    both[:rows, :columns], both[rows:, columns:] = one, other
    return both


def reference_features() -> list[ModelFeatures]:
    """The suite's whole networks as models, in the order of `inputs.reference_names`."""
    text = (files("acesniper.predictor") / "references.json").read_text(encoding="utf-8")
    content = json.loads(text)
    if content["features_version"] != FEATURES_VERSION:
        raise InvalidInput("references.json is stale: python -m acesniper.probe.workloads")
    networks = content["networks"]
    return [
        ModelFeatures(FEATURES_VERSION, **networks[name]) for name in reference_names(known_suite())
    ]
