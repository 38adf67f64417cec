"""Tasks over the example models on real nodes."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from acesniper.testbed import ControlPlane

MODELS = Path(__file__).parents[2] / "examples/models"
MODEL = "squeezenet1_1.onnx"


def apply(plane: ControlPlane, name: str, models: str, inferences: int, **spec: object) -> None:
    source = {
        "uri": f"{models}/{MODEL}",
        "sha256": hashlib.sha256((MODELS / MODEL).read_bytes()).hexdigest(),
    }
    task = {
        "apiVersion": "acesniper.io/v1alpha1",
        "kind": "InferenceTask",
        "metadata": {"name": name},
        "spec": {"source": source, "inferences": inferences, **spec},
    }
    plane.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(task))


def finish(plane: ControlPlane, name: str) -> dict[str, Any]:
    succeeded = "jsonpath={.status.phase}=Succeeded"
    plane.kubectl("wait", f"--for={succeeded}", f"itask/{name}", "--timeout=300s", timeout_s=310)
    status: dict[str, Any] = get(plane, f"itask/{name}")["status"]
    return status


def get(plane: ControlPlane, what: str) -> Any:  # noqa: ANN401 - any object
    return json.loads(plane.kubectl("get", *what.split(), "-o", "json"))


def comparison(finished: Mapping[str, dict[str, Any]]) -> str:
    """Predicted against observed, a line for each task."""
    lines = [f"{'task':<16}{'node':<8}{'predicted':<34}observed"]
    lines += [
        f"{name:<16}{status['node']:<8}{status['predicted']['text']:<34}{status['observed']['text']}"
        for name, status in finished.items()
    ]
    return "\n".join(lines)
