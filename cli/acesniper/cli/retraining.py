"""Retraining on the tasks that the devices of a cluster ran: inputs, training and the verdict."""

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from acesniper.api.objects import Json
from acesniper.domain.errors import InvalidInput

if TYPE_CHECKING:
    from acesniper.predictor.pcn.train import TrainingSettings
    from acesniper.runtime.client import Cluster


def training_settings(steps: int, seed: int = 0) -> "TrainingSettings":
    """The settings of a training.

    Raises:
        InvalidInput: torch is not installed.
    """
    try:
        from acesniper.predictor.pcn.train import TrainingSettings
    except ModuleNotFoundError as error:
        raise InvalidInput(
            f"training needs the package {error.name!r}: pip install acesniper[train]"
        ) from error
    return TrainingSettings(steps=steps, seed=seed)


def retrain_network(
    objects: Sequence[Json],
    baseline: Path | None,
    output: Path,
    settings: "TrainingSettings",
    atlas: Path | None = None,
) -> Json:
    """Train a network, write it to `output` if it is better, and return the verdict as JSON.

    Args:
        objects: DeviceProfiles and ModelProfiles with the observed latencies.
        baseline: The network to compare with; the shipped one by default.
        output: The ONNX file to write.
        settings: Settings of the training.
        atlas: Folder of an atlas; the shipped one by default.
    """
    from acesniper.cli.console import err
    from acesniper.predictor.pcn.compare import retrain
    from acesniper.predictor.pcn.dataset import atlas_dataset
    from acesniper.predictor.pcn.fleet_runs import FleetRuns
    from acesniper.predictor.pcn.serve import SHIPPED_FILE
    from acesniper.predictor.probe_matrix import known_suite

    suite = known_suite()
    fleet = FleetRuns.of(objects, suite)
    with err().status("training"):
        verdict = retrain(
            lambda probes: atlas_dataset(atlas, probes),
            fleet,
            baseline or SHIPPED_FILE,
            output,
            suite,
            provenance(settings),
            settings,
        )
    digest = hashlib.sha256(output.read_bytes()).hexdigest() if verdict.better else None
    return {
        **verdict.record(),
        "devices": len(fleet.devices),
        "models": len(fleet.models),
        "runs": fleet.runs,
        "digest": digest,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def provenance(settings: "TrainingSettings") -> Json:
    """How a network is trained: written into its metadata."""
    today = datetime.now(UTC).date().isoformat()
    return {"seed": settings.seed, "steps": settings.steps, "date": today}


def read_profiles(path: Path) -> list[Json]:
    """The objects of a Kubernetes list in a JSON file.

    Raises:
        InvalidInput: the file is not such a list.
    """
    try:
        items: list[Json] = json.loads(path.read_text())["items"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInput(
            f"--profiles {path}: not a list of objects in JSON: {error!r}"
        ) from error
    return items


async def list_profiles(cluster: "Cluster") -> list[Json]:
    """The DeviceProfiles and ModelProfiles of a cluster."""
    from acesniper.api.names import DEVICE_PROFILES, MODEL_PROFILES

    devices, _ = await cluster.list(DEVICE_PROFILES)
    models, _ = await cluster.list(MODEL_PROFILES)
    # The items of a list lack their kind.
    return [
        *({**device, "kind": "DeviceProfile"} for device in devices),
        *({**model, "kind": "ModelProfile"} for model in models),
    ]
