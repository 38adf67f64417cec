"""Devices and models of the demo: shipped measurements, this machine, and a model server."""

import csv
import hashlib
import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from acesniper.api.names import API_VERSION
from acesniper.api.objects import Json
from acesniper.api.v1alpha1 import ModelSource
from acesniper.testbed.errors import CommandFailed

HERE = "this-machine"


@dataclass(frozen=True, slots=True)
class EmulatedDevice:
    """A node to emulate: its profile, and the true seconds per inference by model."""

    node: str
    profile: Mapping[str, Any]
    latency_s: Mapping[str, float]


def shipped_devices(folder: Path) -> list[EmulatedDevice]:
    """The devices in `examples/devices`, with their latencies from `latencies.csv`."""
    latencies = read_latencies(folder / "latencies.csv")
    profiles = (yaml.safe_load(path.read_text()) for path in sorted(folder.glob("*.yaml")))
    return [
        EmulatedDevice(profile["spec"]["node"], profile, latencies[profile["metadata"]["name"]])
        for profile in profiles
    ]


def read_latencies(path: Path) -> dict[str, dict[str, float]]:
    """Seconds by device and model, from a CSV file `device,runtime,model,batch,latency_ms`."""
    latencies: dict[str, dict[str, float]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            by_model = latencies.setdefault(row["device"], {})
            by_model[object_name(row["model"])] = float(row["latency_ms"]) / 1e3
    return latencies


def probe_here(threads: int) -> Mapping[str, Any]:
    """The DeviceProfile of this machine, measured now."""
    text = _acesniper("probe", "--node", HERE, "--threads", str(threads), "-o", "json")
    profile: Mapping[str, Any] = json.loads(text)
    return profile


def measure_here(models: Path, threads: int) -> Mapping[str, float]:
    """Measured seconds per inference of the models in a folder on this machine."""
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "here.csv"
        _acesniper(
            "collect",
            str(models),
            "--device",
            HERE,
            "--threads",
            str(threads),
            "--output",
            str(table),
            "--quick",
        )
        return read_latencies(table)[HERE]


def object_name(model: str) -> str:
    """A model's file name as the name of a Kubernetes object."""
    return model.replace("_", "-")


def _acesniper(*arguments: str) -> str:
    argv = [sys.executable, "-m", "acesniper.cli", *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CommandFailed(f"acesniper {arguments[0]}: {done.stderr.strip()}", done.stderr)
    return done.stdout


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Log nothing."""


@contextmanager
def serve_folder(folder: Path) -> Iterator[str]:
    """Serve a folder on a free port of 127.0.0.1; yields its URL."""
    handler = partial(_Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, name="models", daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def model_sources(models: Sequence[Path], url: str) -> dict[str, ModelSource]:
    """URL and digest of each model, by object name."""
    return {
        object_name(path.stem): ModelSource(
            uri=f"{url}/{path.name}", sha256=hashlib.sha256(path.read_bytes()).hexdigest()
        )
        for path in models
    }


def model_profile_list(
    sources: Mapping[str, ModelSource], shapes: Mapping[str, Mapping[str, int]], namespace: str
) -> Json:
    """A List of ModelProfiles; `shapes` binds symbolic dimensions, by object name."""
    items = [
        {
            "apiVersion": API_VERSION,
            "kind": "ModelProfile",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "source": source.model_dump(by_alias=True, exclude_none=True),
                "inputShapes": dict(shapes.get(name, {})),
            },
        }
        for name, source in sources.items()
    ]
    return {"apiVersion": "v1", "kind": "List", "items": items}
