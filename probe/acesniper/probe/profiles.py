"""DeviceProfile manifests as files: what `acesniper probe` writes and other commands read."""

import json
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from acesniper.api.convert import to_device_profile_manifest, to_probe_result
from acesniper.domain.device import ProbeResult
from acesniper.domain.errors import InvalidInput


def profile_text(name: str, node: str, result: ProbeResult, form: str = "yaml") -> str:
    """A probe's result as a manifest, in YAML or in JSON."""
    manifest = to_device_profile_manifest(name, node, result)
    if form == "json":
        return json.dumps(manifest, indent=2) + "\n"
    return yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True, width=100)


def reprobe_manifest(name: str, node: str, result: ProbeResult, reprobed: str) -> dict[str, Any]:
    """A probe's result as a manifest that answers a `spec.reprobe`; empty: none was asked."""
    manifest: dict[str, Any] = to_device_profile_manifest(name, node, result)
    if reprobed:
        manifest["status"]["reprobed"] = reprobed
    return manifest


def read_profile(path: Path) -> ProbeResult:
    """The measurement in a YAML or JSON manifest. Raises InvalidInput where there is none."""
    try:
        manifest = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidInput(f"{path} cannot be read as a DeviceProfile: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("kind") != "DeviceProfile":
        raise InvalidInput(f"{path} holds no DeviceProfile; `acesniper probe -o yaml` writes one")
    try:
        return to_probe_result(manifest)
    except (ValidationError, ValueError, KeyError) as error:
        raise InvalidInput(f"{path} is no measured DeviceProfile: {error}") from error
