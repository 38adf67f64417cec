"""Contract of operator and runner: the arguments of the pod, and the report of the runner."""

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
    process = subprocess.run(
        command, capture_output=True, text=True, check=False, env={"ACESNIPER_DEVICE": "here-cpu"}
    )
    report = (folder / "last").read_text() if process.returncode == 0 else process.stderr
    return process.returncode, report


def runner_arguments(spec: dict[str, Any], url: str) -> list[str]:
    metadata = {"name": "one", "namespace": "default", "uid": "u"}
    task = InferenceTask.model_validate({"metadata": metadata, "spec": {"model": "m", **spec}})
    source = model_sources([MODELS / "bert_tiny.onnx"], url)["bert-tiny"]
    pod = render_pod(task, "m", source, "runner")
    parsed: list[str] = pod["spec"]["containers"][0]["args"]
    return parsed


def test_a_rendered_pod_runs_and_its_report_is_parsed(tmp_path: Path) -> None:
    with serve_folder(MODELS) as url:
        spec = {"inferences": 3, "batchSize": 2, "inputShapes": {"sequence": 16}}
        arguments = runner_arguments(spec, url)
        code, report = run(arguments, tmp_path)

    parsed = messages.parse_report(report)
    assert code == 0, report
    assert parsed is not None
    assert parsed.inferences == 3
    assert parsed.device == "here-cpu"
    assert parsed.latency_median_s is not None
    assert 0 < parsed.latency_median_s <= (parsed.latency_p90_s or 0)
    assert json.loads(report)["sha256"] == arguments[arguments.index("--sha256") + 1]


def test_a_model_that_changed_at_its_address_is_not_run(tmp_path: Path) -> None:
    with serve_folder(MODELS) as url:
        arguments = runner_arguments({"inputShapes": {"sequence": 16}}, url)
        arguments[arguments.index("--sha256") + 1] = "0" * 64
        code, report = run(arguments, tmp_path)

    assert code == 2
    assert "DigestMismatch" in report
