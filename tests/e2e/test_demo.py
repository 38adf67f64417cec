"""The demo, run as a user runs it, on a control plane of its own."""

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
    results = json.loads(figures.read_text())
    assert results.keys() == {"ours", "stock", "tasks"}
    for run in ("ours", "stock"):
        assert results[run].keys() == SUMMARY
        assert results[run]["tasks"] == results[run]["finished"] == 16
        assert 0 <= results[run]["mean_wait_s"] <= results[run]["mean_response_s"]
    assert len(results["tasks"]) == 16
    for task in results["tasks"]:
        assert task["predicted_s"] > 0
        assert task["actual_s"] > 0
    assert len({task["node"] for task in results["tasks"]}) > 1
    assert "The same 16 tasks, twice" in done.stdout
