"""DeviceProfile manifests: written by `acesniper probe`, read from files, applied to a cluster."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from acesniper.api.convert import to_device_profile_manifest, to_probe_result
from acesniper.domain.device import ProbeResult
from acesniper.domain.errors import InvalidInput


def profile_text(name: str, node: str, result: ProbeResult, form: str = "yaml") -> str:
    """DeviceProfile of a probe result, as YAML or JSON text."""
    manifest = to_device_profile_manifest(name, node, result)
    if form == "json":
        return json.dumps(manifest, indent=2) + "\n"
    return yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True, width=100)


def reprobe_manifest(name: str, node: str, result: ProbeResult, reprobed: str) -> dict[str, Any]:
    """DeviceProfile of a probe result that answers this value of `spec.reprobe`, if not empty."""
    manifest: dict[str, Any] = to_device_profile_manifest(name, node, result)
    if reprobed:
        manifest["status"]["reprobed"] = reprobed
    return manifest


def read_profile(path: Path) -> ProbeResult:
    """Probe result in a YAML or JSON manifest. Raises InvalidInput if the file has none."""
    try:
        manifest = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidInput(f"cannot read {path} as a DeviceProfile: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("kind") != "DeviceProfile":
        raise InvalidInput(
            f"{path} contains no DeviceProfile; write one with `acesniper probe -o yaml`"
        )
    try:
        return to_probe_result(manifest)
    except (ValidationError, ValueError, KeyError) as error:
        raise InvalidInput(f"the DeviceProfile in {path} is invalid: {error}") from error


async def publish(manifest: Mapping[str, Any], kubeconfig: Path | None) -> None:
    """Apply a DeviceProfile and its status server-side; fields of other managers are kept.

    `spec.threads` is a request to the probe and not applied; `status.threads` is what was measured.

    Raises:
        Unavailable: the API server does not respond, or RBAC denies the request.
        InvalidInput: the API server rejects the DeviceProfile.
    """
    # Slow to import, and needed by no other function here.
    from acesniper.api.names import DEVICE_PROFILES
    from acesniper.runtime.client import Cluster

    name = manifest["metadata"]["name"]
    head = {key: manifest[key] for key in ("apiVersion", "kind")}
    head["metadata"] = {"name": name}
    async with Cluster.connect(kubeconfig) as cluster:
        spec = {name: value for name, value in manifest["spec"].items() if name != "threads"}
        for part, fields, subresource in (
            ("spec", spec, ""),
            ("status", manifest["status"], "status"),
        ):
            body = {**head, part: fields}
            await cluster.patch(DEVICE_PROFILES, name, None, body, subresource, "apply")
