"""The datasets that a network learns from: the shipped atlas, or another in a folder."""

import json
from importlib.resources import files
from pathlib import Path

from acesniper.domain.errors import InvalidInput
from acesniper.domain.model import ModelFeatures
from acesniper.predictor.atlas.measured import measured
from acesniper.predictor.atlas.networks import index
from acesniper.predictor.features import FEATURES_VERSION
from acesniper.predictor.library import known_networks
from acesniper.predictor.pcn.dataset import Dataset, dataset
from acesniper.predictor.pcn.inputs import reference_names
from acesniper.predictor.workloads import known_suite


def atlas_dataset(folder: Path | None = None) -> Dataset:
    """The atlas in `folder` (latencies.parquet, platforms.json) or the shipped one.

    Raises InvalidInput where a network is unknown to the library or pyarrow is missing.
    """
    content, known, families = measured(folder), known_networks(), index()
    unknown = [name for name in content.networks if name not in known]
    if unknown:
        raise InvalidInput(
            f"the library knows no {', '.join(unknown[:3])}: python -m acesniper.predictor.library"
        )
    return dataset(
        [(name, families[name]["family"], known[name]) for name in content.networks],
        reference_features(),
        [(each.name, each.runtime, each.vector, each.noise_floor) for each in content.platforms],
        content.log_s,
        known_suite(),
    )


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
