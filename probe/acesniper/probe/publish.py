"""Writes a measured DeviceProfile into the cluster."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from acesniper.api.names import DEVICE_PROFILES
from acesniper.runtime.client import Cluster


async def publish(manifest: Mapping[str, Any], kubeconfig: Path | None) -> None:
    """Apply a profile, then its status, server-side; what others wrote (conditions) is kept.

    Raises:
        Unavailable: the API server does not answer, or the right is missing.
        InvalidInput: the API server refuses the profile.
    """
    name = manifest["metadata"]["name"]
    head = {key: manifest[key] for key in ("apiVersion", "kind")}
    head["metadata"] = {"name": name}
    async with Cluster.connect(kubeconfig) as cluster:
        for part, subresource in (("spec", ""), ("status", "status")):
            body = {**head, part: manifest[part]}
            await cluster.patch(DEVICE_PROFILES, name, None, body, subresource, "apply")
