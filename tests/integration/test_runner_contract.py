"""The runner does what the operator writes into a pod, and reports what the operator reads."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from acesniper.api import messages
from acesniper.api.v1alpha1 import InferenceTask
from acesniper.operator.task.pod import render_pod
from acesniper.testbed.demo.examples import model_sources, serve_folder
from acesniper.testbed.deployment import ROOT

MODELS = ROOT / "examples/models"


def run(arguments: list[str], folder: Path) -> tuple[int, str]:
    command = [sys.executable, "-m", "acesniper.cli", *arguments, "--report", str(folder / "last")]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={"ACESNIPER_DEVICE": "here-cpu"}
    )
    said = (folder / "last").read_text() if done.returncode == 0 else done.stderr
    return done.returncode, said


def arguments(spec: dict[str, Any], url: str) -> list[str]:
    metadata = {"name": "one", "namespace": "default", "uid": "u"}
    task = InferenceTask.model_validate({"metadata": metadata, "spec": {"model": "m", **spec}})
    source = model_sources([MODELS / "bert_tiny.onnx"], url)["bert-tiny"]
    pod = render_pod(task, "m", source, "runner")
    found: list[str] = pod["spec"]["containers"][0]["args"]
    return found


def test_a_rendered_pod_runs_and_its_report_is_read(tmp_path: Path) -> None:
    with serve_folder(MODELS) as url:
        asked = arguments({"inferences": 3, "batchSize": 2, "inputShapes": {"sequence": 16}}, url)
        code, said = run(asked, tmp_path)

    found = messages.parse_report(said)
    assert code == 0, said
    assert found is not None
    assert found.inferences == 3
    assert found.device == "here-cpu"
    assert found.latency_median_s is not None
    assert 0 < found.latency_median_s <= (found.latency_p90_s or 0)
    assert json.loads(said)["sha256"] == asked[asked.index("--sha256") + 1]


def test_a_model_that_changed_under_its_address_is_not_run(tmp_path: Path) -> None:
    with serve_folder(MODELS) as url:
        asked = arguments({"inputShapes": {"sequence": 16}}, url)
        asked[asked.index("--sha256") + 1] = "0" * 64
        code, said = run(asked, tmp_path)

    assert code == 2
    assert "DigestMismatch" in said
