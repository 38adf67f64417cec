"""Chaos test: kill components during a workload, and check that nothing is lost or duplicated."""

import json
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from acesniper.testbed.control_plane import ControlPlane
from acesniper.testbed.demo import examples
from acesniper.testbed.demo.examples import EmulatedDevice, shipped_devices
from acesniper.testbed.demo.run import MODELS, register
from acesniper.testbed.demo.workload import OURS, DemoTask, latency_table
from acesniper.testbed.deployment import EXTENDER, OPERATOR, ROOT, SCHEDULER, STANDBY, Deployment
from acesniper.testbed.emulator import Emulator
from acesniper.testbed.errors import TestbedError
from acesniper.testbed.faults.audit import Audit, audit
from acesniper.testbed.kwok import start_kwok

DEVICES = 6
NAMES = ("mobilenet_v3_small", "squeezenet1_1", "resnet18")
RUN_S = 0.8
"""Approximate duration of a task on the fastest device."""
MAX_UPTIME_S = 6.0
"""A component is killed at a random instant of its first seconds. It needs about half of them to
start, so that kills during the start are as frequent as kills during work."""
COMPLETION_TIMEOUT_S = 600.0
SETTLE_TIMEOUT_S = 60.0
"""How long the planner's reservations may remain after the last task finished."""
FAILOVERS = 3


@dataclass(frozen=True, slots=True)
class ChaosOptions:
    """Size and seed of a chaos test."""

    kills: int = 50
    tasks: int = 200
    seed: int = 1
    json_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Campaign:
    """Repeated faults of one kind over a number of tasks, and the audit afterwards."""

    name: str
    kills: int
    tasks: int
    seconds: float
    audit: Audit


class FaultsFound(TestbedError):
    """A task was lost or duplicated, or something leaked."""


def run_faults(options: ChaosOptions, console: Console) -> None:
    """Run all campaigns and print the results.

    Raises:
        FaultsFound: a task was lost or duplicated, or something leaked.
        TestbedError: a component did not start.
    """
    console.print(f"seed {options.seed}")
    devices = shipped_devices(ROOT / "examples/devices")[:DEVICES]
    with ControlPlane() as plane, examples.serve_folder(MODELS) as url:
        start_kwok(plane)
        deployment = Deployment(plane)
        deployment.start()
        sources = examples.model_sources([MODELS / f"{name}.onnx" for name in NAMES], url)
        register(plane, devices, examples.model_profile_list(sources, {}, OURS))
        with Emulator(plane.kubeconfig("admin"), latency_table(devices)) as emulator:
            rng = random.Random(options.seed)  # noqa: S311 - not a secret
            run = ChaosRun(deployment, emulator, devices, rng)
            campaigns, failover_s = _campaigns(run, options, console)
    show(console, campaigns, failover_s)
    if options.json_file is not None:
        options.json_file.write_text(as_json(campaigns, failover_s, options.seed))
    if any(campaign.audit for campaign in campaigns):
        raise FaultsFound("tasks were lost or duplicated, or something leaked; see above")


def _campaigns(
    run: "ChaosRun", options: ChaosOptions, console: Console
) -> tuple[list[Campaign], list[float]]:
    campaigns = []
    for victim in (OPERATOR, EXTENDER):
        with console.status(f"killing {victim} {options.kills} times"):
            campaigns.append(run.kill(victim, options.kills, options.tasks))
    with console.status(f"killing a scheduler pod {FAILOVERS} times"):
        failover, failover_s = run.fail_over(FAILOVERS)
    return [*campaigns, failover], failover_s


@dataclass
class ChaosRun:
    """A deployment with emulated devices, to which tasks are applied while components fail."""

    deployment: Deployment
    emulator: Emulator
    devices: Sequence[EmulatedDevice]
    rng: random.Random
    _names: list[str] = field(default_factory=list)

    def kill(self, victim: str, kills: int, tasks: int) -> Campaign:
        """Kill a component repeatedly during a workload."""
        started_s = time.monotonic()

        def apply(number: int) -> None:
            self.apply(victim, tasks * (number + 1) // kills - tasks * number // kills)

        kill_at_random(self.deployment, victim, kills, self.rng, apply)
        return Campaign(victim, kills, tasks, time.monotonic() - started_s, self.audit())

    def fail_over(self, times: int) -> tuple[Campaign, list[float]]:
        """Kill the leading scheduler pod repeatedly; seconds until the other one places a pod."""
        started_s, gaps_s = time.monotonic(), []
        with self.deployment.standby():
            for number in range(times):
                suffix = STANDBY if number % 2 else ""
                self.apply(f"failover-{number}", 10)
                self._placed_after(time.time())
                killed_s = time.time()
                for part in (EXTENDER, SCHEDULER):
                    self.deployment.kill(part + suffix)
                self.apply(f"failover-{number}-lost", 10)
                gaps_s.append(self._placed_after(killed_s + 0.5) - killed_s)
                for part in (EXTENDER, SCHEDULER):
                    self.deployment.restart(part + suffix)
            result = self.audit()
        seconds = time.monotonic() - started_s
        return Campaign("scheduler pod", times, 20 * times, seconds, result), gaps_s

    def apply(self, stem: str, count: int) -> None:
        """Apply a number of tasks."""
        first = len(self._names)
        tasks = [self._task(f"{stem}-{first + number:04d}") for number in range(count)]
        self._names += [task.name for task in tasks]
        items = [task.manifest(OURS) for task in tasks]
        manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
        self.deployment.plane.kubectl("apply", "-f", "-", stdin=manifest)

    def audit(self) -> Audit:
        """Wait until all tasks finished and all reservations are released, and audit."""
        with suppress(TestbedError):  # the audit lists the tasks that did not finish
            self.deployment.plane.kubectl(
                "wait",
                "--for=condition=Finished",
                f"--timeout={COMPLETION_TIMEOUT_S:g}s",
                "-n",
                OURS,
                "inferencetask",
                "--all",
                timeout_s=COMPLETION_TIMEOUT_S + 10,
            )
        deadline = time.monotonic() + SETTLE_TIMEOUT_S
        while any(self.deployment.backlogs().values()) and time.monotonic() < deadline:
            time.sleep(0.5)
        return audit(
            self._names,
            self._get("inferencetasks"),
            self._get("pods"),
            [run for run in self.emulator.runs.values() if run.namespace == OURS],
            self.deployment.backlogs(),
        )

    def _task(self, name: str) -> DemoTask:
        models = sorted(self.devices[0].latency_s.keys() & _MODELS)
        model = models[len(name) % len(_MODELS)]
        fastest_s = min(device.latency_s[model] for device in self.devices)
        return DemoTask(name, model, max(1, round(RUN_S / fastest_s)))

    def _placed_after(self, at_s: float) -> float:
        """When the first pod that was admitted after `at_s` started (seconds since the epoch)."""
        deadline = time.monotonic() + COMPLETION_TIMEOUT_S
        while time.monotonic() < deadline:
            started = [
                run.started_s
                for run in list(self.emulator.runs.values())
                if run.started_s is not None and (run.decided_s or 0.0) >= at_s
            ]
            if started:
                return min(started)
            time.sleep(0.1)
        raise FaultsFound(f"no pod was placed for {COMPLETION_TIMEOUT_S:g} s")

    def _get(self, kind: str) -> list[dict[str, Any]]:
        text = self.deployment.plane.kubectl("get", kind, "-n", OURS, "-o", "json")
        items: list[dict[str, Any]] = json.loads(text)["items"]
        return items


_MODELS = {name.replace("_", "-") for name in NAMES}


def kill_at_random(
    deployment: Deployment,
    victim: str,
    kills: int,
    rng: random.Random,
    apply: Callable[[int], None],
) -> None:
    """Kill and restart `victim` repeatedly; before kill number n, `apply(n)` adds work.

    Returns when the component is ready after the last restart.
    """
    child = deployment.plane.children[victim]
    for number in range(kills):
        apply(number)
        # Not a wait for a condition: the instant of the kill is random.
        time.sleep(rng.uniform(0.0, MAX_UPTIME_S))
        child.kill()
        child.start()
    child.wait_ready()


# --- results --------------------------------------------------------------------------------------


def show(console: Console, campaigns: Sequence[Campaign], failover_s: Sequence[float]) -> None:
    """Print a row per campaign, and each violation."""
    table = Table("killed by SIGKILL", title="Faults", show_footer=False)
    for column in ("kills", "tasks", "seconds", "lost", "duplicated", "leaked"):
        table.add_column(column, justify="right")
    for campaign in campaigns:
        result = campaign.audit
        numbers = (campaign.kills, campaign.tasks, round(campaign.seconds))
        violations = (len(result.lost), len(result.duplicated), len(result.leaked))
        table.add_row(campaign.name, *map(str, (*numbers, *violations)))
    console.print(table)
    gaps = ", ".join(f"{seconds:.1f}" for seconds in failover_s)
    console.print(f"seconds from the loss of a scheduler pod to the next placement: {gaps}")
    for campaign in campaigns:
        result = campaign.audit
        for line in (*result.lost, *result.duplicated, *result.leaked):
            console.print(f"{campaign.name}: {line}", markup=False, highlight=False)


def as_json(campaigns: Sequence[Campaign], failover_s: Sequence[float], seed: int) -> str:
    """The results, in total and per campaign."""

    def total(name: str) -> int:
        return sum(len(getattr(campaign.audit, name)) for campaign in campaigns)

    figures = {
        "kills": sum(campaign.kills for campaign in campaigns),
        **{name: total(name) for name in ("lost", "duplicated", "leaked")},
        "seed": seed,
        "failover_s": [round(seconds, 2) for seconds in failover_s],
        "campaigns": [
            {
                "name": campaign.name,
                "kills": campaign.kills,
                "tasks": campaign.tasks,
                "seconds": round(campaign.seconds, 1),
                "lost": list(campaign.audit.lost),
                "duplicated": list(campaign.audit.duplicated),
                "leaked": list(campaign.audit.leaked),
            }
            for campaign in campaigns
        ],
    }
    return json.dumps(figures, indent=2) + "\n"
