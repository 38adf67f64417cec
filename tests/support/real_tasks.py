"""Tasks over the example models on real nodes."""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import yaml

from acesniper.testbed import ControlPlane

MODELS = Path(__file__).parents[2] / "examples/models"
MODEL = "squeezenet1_1.onnx"


def digest(model: str = MODEL) -> str:
    return hashlib.sha256((MODELS / model).read_bytes()).hexdigest()


def apply(
    plane: ControlPlane,
    name: str,
    uri: str,
    inferences: int,
    *,
    model: str = MODEL,
    secret: str | None = None,
    **spec: object,
) -> None:
    """Apply a task for an example model at `uri`."""
    source = {"uri": uri, "sha256": digest(model)} | ({"secret": secret} if secret else {})
    make(
        plane,
        {
            "apiVersion": "acesniper.io/v1alpha1",
            "kind": "InferenceTask",
            "metadata": {"name": name},
            "spec": {"source": source, "inferences": inferences, **spec},
        },
    )


def make(plane: ControlPlane, *manifests: dict[str, Any]) -> None:
    plane.kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all(manifests))


def finish(plane: ControlPlane, name: str) -> dict[str, Any]:
    """Wait for a task's success; prints predicted against observed."""
    succeeded = "jsonpath={.status.phase}=Succeeded"
    plane.kubectl("wait", f"--for={succeeded}", f"itask/{name}", "--timeout=300s", timeout_s=310)
    status: dict[str, Any] = get(plane, f"itask/{name}")["status"]
    predicted = status.get("predicted", {}).get("text", "-")
    line = f"{name:<20}{status['node']:<6}predicted {predicted:<34}observed "
    sys.stdout.write(f"\n{line}{status['observed']['text']}")
    return status


def get(plane: ControlPlane, what: str) -> Any:  # noqa: ANN401 - any object
    return json.loads(plane.kubectl("get", *what.split(), "-o", "json"))
