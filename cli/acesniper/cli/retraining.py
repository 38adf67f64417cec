"""Train on what a cluster's devices ran: where it is read, and what is said of the outcome."""

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from acesniper.api.objects import Json
from acesniper.cli.console import err
from acesniper.domain.errors import InvalidInput

if TYPE_CHECKING:
    from acesniper.runtime.client import Cluster


def retrained(
    objects: Sequence[Json],
    baseline: Path | None,
    output: Path,
    settings: "Settings",
    atlas: Path | None = None,
) -> Json:
    """The verdict, and what it is about; `output` is written if the new network is better.

    `objects` are DeviceProfiles and ModelProfiles, `baseline` is the network to be better than: the
    shipped one by default. Needs torch.
    """
    from acesniper.predictor.pcn.compare import retrain
    from acesniper.predictor.pcn.dataset import atlas_dataset
    from acesniper.predictor.pcn.fleet_runs import FleetRuns
    from acesniper.predictor.pcn.serve import SHIPPED_FILE
    from acesniper.predictor.probe_matrix import known_suite

    suite = known_suite()
    fleet = FleetRuns.of(objects, suite)
    with err.status("training"):
        verdict = retrain(
            lambda seen: atlas_dataset(atlas, seen),
            *(fleet, baseline or SHIPPED_FILE, output, suite, provenance_of(settings), settings),
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


def provenance_of(settings: "Settings") -> Json:
    """How a network is trained today."""
    today = datetime.now(UTC).date().isoformat()
    return {"seed": settings.seed, "steps": settings.steps, "date": today}


def read_objects(profiles: Path) -> list[Json]:
    """The objects of a list in a file.

    Raises:
        InvalidInput: the file is none.
    """
    try:
        found: list[Json] = json.loads(profiles.read_text())["items"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInput(f"{profiles} is no list of objects in JSON: {error!r}") from error
    return found


async def list_objects(kubeconfig: Path | None) -> list[Json]:
    """The DeviceProfiles and ModelProfiles of a cluster."""
    from acesniper.runtime.client import Cluster

    async with Cluster.connect(kubeconfig) as cluster:
        return await listed(cluster)


async def listed(cluster: "Cluster") -> list[Json]:
    """The same over a connection."""
    from acesniper.api.names import DEVICE_PROFILES, MODEL_PROFILES

    devices, _ = await cluster.list(DEVICE_PROFILES)
    models, _ = await cluster.list(MODEL_PROFILES)
    # Items of a list do not say what they are.
    return [{**each, "kind": "DeviceProfile"} for each in devices] + [
        {**each, "kind": "ModelProfile"} for each in models
    ]
