"""Faults from the first process to the last line: `make faults`."""

import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
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
from acesniper.testbed.programs import ensure_binaries

DEVICES = 6
NAMES = ("mobilenet_v3_small", "squeezenet1_1", "resnet18")
RUN_S = 0.8
"""What a task takes on the fastest device, about."""
PATIENCE_S = 600.0
QUIET_S = 60.0
"""How long the ledger may take to hear of the last ends."""
FAILOVERS = 3


@dataclass(frozen=True, slots=True)
class ChaosOptions:
    """What a person may choose."""

    kills: int = 50
    tasks: int = 200
    seed: int = 1
    json_file: Path | None = None


class FaultsFound(TestbedError):
    """A promise did not hold."""


def run_faults(options: ChaosOptions, console: Console) -> None:
    """Run all campaigns.

    Raises:
        Broken: a task was lost or doubled, or something was left behind.
        TestbedError: a part did not start.
    """
    console.print(f"seed {options.seed}")
    devices = shipped_devices(ROOT / "examples/devices")[:DEVICES]
    with ControlPlane(ensure_binaries()) as plane, examples.serve_folder(MODELS) as url:
        start_kwok(plane)
        system = Deployment(plane)
        system.start()
        sources = examples.model_sources([MODELS / f"{name}.onnx" for name in NAMES], url)
        register(plane, devices, examples.model_profile_list(sources, {}, OURS))
        with Emulator(plane.kubeconfig("admin"), latency_table(devices)) as emulator:
            ground = ChaosRun(system, emulator, devices, random.Random(options.seed))  # noqa: S311
            campaigns = []
            for victim in (OPERATOR, EXTENDER):
                with console.status(f"killing {victim} {options.kills} times"):
                    campaigns.append(ground.killing(victim, options.kills, options.tasks))
            with console.status(f"losing a scheduler pod {FAILOVERS} times"):
                failover, failover_s = ground.failing_over(FAILOVERS)
            campaigns.append(failover)
    show(console, campaigns, failover_s)
    if options.json_file is not None:
        options.json_file.write_text(as_json(campaigns, failover_s, options.seed))
    if any(each.found for each in campaigns):
        raise FaultsFound("something was lost, doubled or left behind; see above")


@dataclass(frozen=True, slots=True)
class Campaign:
    """One kind of fault, how often it happened over how many tasks, and what was found after."""

    name: str
    kills: int
    tasks: int
    seconds: float
    found: Audit


@dataclass
class ChaosRun:
    """A system with emulated devices; work is applied to it while things break."""

    system: Deployment
    emulator: Emulator
    devices: Sequence[EmulatedDevice]
    draw: random.Random
    _names: list[str] = field(default_factory=list)

    def killing(self, victim: str, kills: int, tasks: int) -> Campaign:
        """Kill a part again and again over a workload."""
        started_s = time.monotonic()

        def more(number: int) -> None:
            self.apply(victim, tasks * (number + 1) // kills - tasks * number // kills)

        kill_at_random(self.system, victim, kills, self.draw, more)
        return Campaign(victim, kills, tasks, time.monotonic() - started_s, self.settled())

    def failing_over(self, times: int) -> tuple[Campaign, list[float]]:
        """Lose the scheduler pod that acts, in turn; seconds until the other one places a pod."""
        started_s, gaps_s = time.monotonic(), []
        with self.system.standby():
            for number in range(times):
                suffix = STANDBY if number % 2 else ""
                self.apply(f"failover-{number}", 10)
                self._placed_after(time.time())
                lost_s = time.time()
                for part in (EXTENDER, SCHEDULER):
                    self.system.kill(part + suffix)
                self.apply(f"failover-{number}-lost", 10)
                gaps_s.append(self._placed_after(lost_s + 0.5) - lost_s)
                for part in (EXTENDER, SCHEDULER):
                    self.system.restart(part + suffix)
            found = self.settled()
        seconds = time.monotonic() - started_s
        return Campaign("scheduler pod", times, 20 * times, seconds, found), gaps_s

    def apply(self, stem: str, number: int) -> None:
        """Apply so many tasks."""
        tasks = [self._task(f"{stem}-{len(self._names) + each:04d}") for each in range(number)]
        self._names += [task.name for task in tasks]
        listed = {
            "apiVersion": "v1",
            "kind": "List",
            "items": [task.manifest(OURS) for task in tasks],
        }
        self.system.plane.kubectl("apply", "-f", "-", stdin=json.dumps(listed))

    def settled(self) -> Audit:
        """Wait until all is done, as far as it will be, and audit."""
        plane = self.system.plane
        with suppress(TestbedError):  # the audit names those that are lost
            plane.kubectl(
                *("wait", "--for=condition=Finished", f"--timeout={PATIENCE_S:g}s"),
                *("-n", OURS, "inferencetask", "--all"),
                timeout_s=PATIENCE_S + 10,
            )
        deadline = time.monotonic() + QUIET_S
        while any(self._backlogs().values()) and time.monotonic() < deadline:
            time.sleep(0.5)
        runs = [run for run in self.emulator.runs.values() if run.namespace == OURS]
        backlogs = self._backlogs()
        return audit(self._names, self._get("inferencetasks"), self._get("pods"), runs, backlogs)

    def _task(self, name: str) -> DemoTask:
        model = sorted(self.devices[0].latency_s.keys() & _MODELS)[len(name) % len(_MODELS)]
        fastest_s = min(device.latency_s[model] for device in self.devices)
        return DemoTask(name, model, max(1, round(RUN_S / fastest_s)))

    def _placed_after(self, at_s: float) -> float:
        """When the next pod ran that was admitted after `at_s`, in seconds since the epoch."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            started = [
                run.started_s
                for run in list(self.emulator.runs.values())
                if run.started_s is not None and (run.decided_s or 0.0) >= at_s
            ]
            if started:
                return min(started)
            time.sleep(0.1)
        raise FaultsFound("no pod was placed any more")

    def _backlogs(self) -> Mapping[str, float]:
        return self.system.backlogs()

    def _get(self, kind: str) -> list[dict[str, Any]]:
        text = self.system.plane.kubectl("get", kind, "-n", OURS, "-o", "json")
        found: list[dict[str, Any]] = json.loads(text)["items"]
        return found


_MODELS = {name.replace("_", "-") for name in NAMES}


LONGEST_LIFE_S = 6.0
"""A part is killed at any instant of its first seconds. Its start takes about half of them, so that
as many kills hit a start as hit work."""


def kill_at_random(
    system: Deployment,
    victim: str,
    kills: int,
    draw: random.Random,
    apply: Callable[[int], None],
) -> None:
    """Kill `victim` so many times; before kill number n, `apply(n)` brings more work.

    Returns when the part runs for good.
    """
    child = system.plane.children[victim]
    for number in range(kills):
        apply(number)
        # Not a way to wait for something: the instant is what is drawn.
        time.sleep(draw.uniform(0.0, LONGEST_LIFE_S))
        child.kill()
        child.start()
    child.wait_ready()


def show(console: Console, campaigns: Sequence[Campaign], failover_s: Sequence[float]) -> None:
    """Print a row for each campaign, and what is wrong, if anything is."""
    table = Table("killed by SIGKILL", title="Faults", show_footer=False)
    for column in ("kills", "tasks", "seconds", "lost", "doubled", "leaked"):
        table.add_column(column, justify="right")
    for each in campaigns:
        found = each.found
        numbers = (each.kills, each.tasks, round(each.seconds))
        wrong = (len(found.lost), len(found.doubled), len(found.leaked))
        table.add_row(each.name, *map(str, (*numbers, *wrong)))
    console.print(table)
    shown = ", ".join(f"{seconds:.1f}" for seconds in failover_s)
    console.print(f"seconds from the loss of a scheduler pod to the next placement: {shown}")
    for each in campaigns:
        for line in (*each.found.lost, *each.found.doubled, *each.found.leaked):
            console.print(f"{each.name}: {line}", markup=False, highlight=False)


def as_json(campaigns: Sequence[Campaign], failover_s: Sequence[float], seed: int) -> str:
    """The figures, summed and for each campaign."""

    def total(name: str) -> int:
        return sum(len(getattr(each.found, name)) for each in campaigns)

    wrong = {name: total(name) for name in ("lost", "doubled", "leaked")}
    figures = {
        "kills": sum(each.kills for each in campaigns),
        **wrong,
        "seed": seed,
        "failover_s": [round(each, 2) for each in failover_s],
        "campaigns": [
            {
                "name": each.name,
                "kills": each.kills,
                "tasks": each.tasks,
                "seconds": round(each.seconds, 1),
                "lost": list(each.found.lost),
                "doubled": list(each.found.doubled),
                "leaked": list(each.found.leaked),
            }
            for each in campaigns
        ],
    }
    return json.dumps(figures, indent=2) + "\n"
