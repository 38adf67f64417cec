"""The demo: one workload on an emulated fleet, placed by Ace-Sniper and by the stock scheduler."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.progress import TimeElapsedColumn as Elapsed

from acesniper.testbed.control_plane import ControlPlane
from acesniper.testbed.demo import examples, report
from acesniper.testbed.demo.examples import (
    HERE,
    EmulatedDevice,
    measure_here,
    object_name,
    probe_here,
    shipped_devices,
)
from acesniper.testbed.demo.workload import (
    OURS,
    STOCK,
    FinishTracker,
    Workload,
    latency_table,
    make_workload,
    run_ours,
    run_stock,
    runs_of,
)
from acesniper.testbed.deployment import ROOT, Deployment
from acesniper.testbed.emulator import Emulator, Run
from acesniper.testbed.errors import NotReady
from acesniper.testbed.kwok import make_node, start_kwok
from acesniper.testbed.programs import ensure_binaries

MODELS = ROOT / "examples/models"


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """Size and seed of the demo."""

    tasks: int = 72
    waves: int = 12
    seed: int = 1
    json_file: Path | None = None


class Misplaced(NotReady):
    """A pod runs on another node than the extender returned."""


def run_demo(options: DemoOptions, console: Console) -> None:
    """Run the demo.

    Raises:
        TestbedError: a component did not start, a task did not succeed, or a pod was misplaced.
    """
    binaries = ensure_binaries()
    models = sorted(MODELS.glob("*.onnx"))
    with _stage(console, "measuring this machine (probe, then every example model)"):
        devices = [*shipped_devices(ROOT / "examples/devices"), _here()]
    workload = make_workload(devices, options.tasks, options.waves, options.seed)
    with ControlPlane(binaries) as plane, examples.serve_folder(MODELS) as url:
        with _stage(console, "starting kwok, operator, extender and our kube-scheduler"):
            start_kwok(plane)
            system = Deployment(plane)
            system.start()
        with _stage(console, f"registering {len(devices)} devices and {len(models)} models"):
            sources = examples.model_sources(models, url)
            register(plane, devices, examples.model_profile_list(sources, _shapes(), OURS))
        finished = FinishTracker()
        table = latency_table(devices)
        with Emulator(plane.kubeconfig("admin"), table, finished.note) as emulator:
            with _bar(console, "Ace-Sniper", workload) as progress:
                ours_applied = run_ours(plane, workload, finished, progress)
            check_placements(system, runs_of(emulator, OURS))
            statuses = task_statuses(plane)
            with _bar(console, "stock scheduler", workload) as progress:
                stock_applied = run_stock(plane, workload, sources, finished, progress)
        ours = report.rows(runs_of(emulator, OURS), ours_applied, statuses)
        stock = report.rows(runs_of(emulator, STOCK), stock_applied, {})
    summaries = {
        "ours": report.summarise(ours, ours_applied),
        "stock": report.summarise(stock, stock_applied),
    }
    report.show(console, ours, summaries)
    if options.json_file is not None:
        options.json_file.write_text(report.as_json(ours, summaries))


def register(
    plane: ControlPlane, devices: Sequence[EmulatedDevice], models: Mapping[str, Any]
) -> None:
    """Create nodes, DeviceProfiles and ModelProfiles; returns when all are ready."""
    for namespace in (OURS, STOCK):
        plane.kubectl("create", "namespace", namespace)
    nodes = [make_node(device.node) for device in devices]
    profiles = [device.profile for device in devices]
    for items, flags in ((nodes, ()), (profiles, ()), (profiles, ("--subresource=status",))):
        listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(items)})
        plane.kubectl("apply", "--server-side", *flags, "-f", "-", stdin=listed)
    plane.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(models))
    for kind, condition in (
        ("node", "jsonpath={.status.allocatable.acesniper\\.io/slot}=1"),
        ("deviceprofile", "condition=Ready"),
        ("modelprofile", "condition=Profiled"),
    ):
        plane.kubectl(
            "wait",
            f"--for={condition}",
            "--timeout=60s",
            kind,
            "--all",
            "-n",
            OURS,
            timeout_s=90,
        )


def check_placements(system: Deployment, runs: Sequence[Run]) -> None:
    """Check that every pod runs on the node that the extender returned to kube-scheduler.

    Raises:
        Misplaced: a pod runs on another node.
    """
    for run in runs:
        decision = system.ask(f"/explain?pod={run.uid}")
        if decision["answered"] != run.node:
            raise Misplaced(
                f"pod {run.pod} runs on {run.node}, the extender returned {decision['answered']}"
            )


def task_statuses(plane: ControlPlane) -> dict[str, Mapping[str, Any]]:
    """The statuses of our InferenceTasks, by name.

    Raises:
        NotReady: a task did not succeed.
    """
    tasks = json.loads(plane.kubectl("get", "inferencetasks", "-n", OURS, "-o", "json"))["items"]
    statuses = {task["metadata"]["name"]: task["status"] for task in tasks}
    failures = [
        f"{name}: {status['message']}" for name, status in statuses.items() if _failed(status)
    ]
    if failures:
        raise NotReady("tasks that did not succeed:\n" + "\n".join(failures))
    return statuses


def _failed(status: Mapping[str, Any]) -> bool:
    return bool(status["phase"] != "Succeeded")


def _here() -> EmulatedDevice:
    threads = os.cpu_count() or 1
    return EmulatedDevice(HERE, probe_here(threads), measure_here(MODELS, threads))


def _shapes() -> dict[str, Mapping[str, int]]:
    index = json.loads((MODELS / "index.json").read_text())
    return {object_name(name): entry["shapes"] for name, entry in index.items()}


@contextmanager
def _stage(console: Console, text: str) -> Iterator[None]:
    with console.status(text):
        yield
    console.print(f"[green]✓[/] {text}")


@contextmanager
def _bar(console: Console, name: str, workload: Workload) -> Iterator[Any]:
    columns = (SpinnerColumn(), TextColumn(name), BarColumn(), MofNCompleteColumn(), Elapsed())
    with Progress(*columns, console=console) as bar:
        shown = bar.add_task(name, total=len(workload.tasks))
        yield lambda done, total: bar.update(shown, completed=done, total=total)
