"""The main job, run the way a person runs it, on a control plane of its own."""

import json
import subprocess
import sys
from pathlib import Path

SUMMARY = {
    "tasks",
    "finished",
    "mean_wait_s",
    "p95_wait_s",
    "mean_response_s",
    "p95_response_s",
    "makespan_s",
}


def test_the_demo_finishes_every_task_with_both_schedulers(tmp_path: Path) -> None:
    figures = tmp_path / "demo.json"
    command = [sys.executable, "-m", "acesniper.testbed", "demo", "--tasks", "16", "--waves", "2"]

    done = subprocess.run(
        [*command, "--json", str(figures)], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(figures.read_text())
    assert found.keys() == {"ours", "stock", "tasks"}
    for run in ("ours", "stock"):
        assert found[run].keys() == SUMMARY
        assert found[run]["tasks"] == found[run]["finished"] == 16
        assert 0 <= found[run]["mean_wait_s"] <= found[run]["mean_response_s"]
    assert len(found["tasks"]) == 16
    for task in found["tasks"]:
        assert task["predicted_s"] > 0
        assert task["actual_s"] > 0
    assert len({task["node"] for task in found["tasks"]}) > 1
    assert "The same 16 tasks, twice" in done.stdout
