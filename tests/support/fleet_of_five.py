"""Five of the example devices, emulated on a real control plane, with a few of the models."""

import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Self

from acesniper.api.v1alpha1 import FINISHED
from acesniper.testbed.demo import examples
from acesniper.testbed.demo.examples import EmulatedDevice, object_name, shipped_devices
from acesniper.testbed.demo.workload import latency_table
from acesniper.testbed.deployment import ROOT, Deployment
from acesniper.testbed.emulator import Emulator, Run
from acesniper.testbed.kwok import make_node

MODELS = ("mobilenet_v3_small", "squeezenet1_1", "resnet18")
LEARNING_ROUNDS = 4
PATIENCE_S = 120.0


@dataclass
class FleetOfFive:
    """Registers the devices, serves the models, plays the runner, and knows when pods change."""

    system: Deployment
    exit_codes: dict[str, list[int]] = field(default_factory=dict)
    """Exit codes of a task's first runs, by task name; the rest end with 0."""
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        plane = self.system.plane
        self.devices: list[EmulatedDevice] = shipped_devices(ROOT / "examples/devices")[:5]
        for number, device in enumerate(self.devices):
            # They were all measured on one machine; here, each has a GiB more than the one before.
            device.profile["status"]["memoryBytes"] = (4 + number) * 2**30
        models = [ROOT / f"examples/models/{name}.onnx" for name in MODELS]
        url = self._stack.enter_context(examples.serve_folder(ROOT / "examples/models"))
        self.url = url
        self.sources = examples.model_sources(models, url)
        self.emulator = self._stack.enter_context(
            Emulator(
                plane.kubeconfig("admin"),
                latency_table(self.devices),
                on_change=self._note,
                exit_code=self._exit_code,
            )
        )
        self.apply([make_node(device.node) for device in self.devices])
        self.measure(*self.devices)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def measure(self, *devices: EmulatedDevice) -> None:
        """Publish the devices' profiles, and wait until they can take tasks."""
        profiles = [device.profile for device in devices]
        for flags in ((), ("--subresource=status",)):
            self.apply(profiles, *flags)
        names = [device.node for device in devices]
        slot = r"jsonpath={.status.allocatable.acesniper\.io/slot}=1"
        wait = ("wait", f"--for={slot}", "--timeout=60s", "node")
        self.system.plane.kubectl(*wait, *names, timeout_s=90)

    def forget(self, *devices: EmulatedDevice) -> None:
        """All that was learned of the devices goes; they are as they were measured."""
        names = [str(device.profile["metadata"]["name"]) for device in devices]
        self.system.plane.kubectl("delete", "deviceprofile", *names)
        self.measure(*devices)

    def apply(self, items: Iterable[Mapping[str, Any]], *flags: str) -> None:
        """`kubectl apply` a list of objects."""
        listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(items)})
        self.system.plane.kubectl("apply", "--server-side", *flags, "-f", "-", stdin=listed)

    def add_model(self, namespace: str) -> None:
        """Create the ModelProfile of the smallest model, and wait until it is read."""
        self._add(namespace, object_name(MODELS[0]))

    def add_models(self, namespace: str) -> None:
        """Create the ModelProfiles of all models, and wait until they are read."""
        self._add(namespace, *self.sources)

    def _add(self, namespace: str, *models: str) -> None:
        sources = {model: self.sources[model] for model in models}
        listed = examples.model_profile_list(sources, {}, namespace)
        self.system.plane.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(listed))
        self.wait_for("modelprofile", "condition=Profiled", namespace, "--all")

    def learn_latencies(self, namespace: str) -> None:
        """Run every model on every device, until predictions match the emulated latencies."""
        self.add_models(namespace)
        for number in range(LEARNING_ROUNDS):
            self._run_everywhere(namespace, number)

    def _run_everywhere(self, namespace: str, number: int) -> None:
        """Run a task per device and model, until all are observations of the devices."""
        self.apply(
            self.task(
                f"{device.node}-{model}-{number}",
                namespace,
                model=model,
                nodeSelector={"kubernetes.io/hostname": device.node},
            )
            for device in self.devices
            for model in self.sources
        )
        uids = {status["podUid"] for status in self.finish(namespace).values()}
        self.wait_until(lambda: uids <= self._observed())

    def _observed(self) -> set[str]:
        """UIDs of the pods that are observations of a device."""
        return {
            observation["task"]
            for profile in self.get("deviceprofiles", "")
            for observation in profile["status"].get("observations") or ()
        }

    def task(self, name: str, namespace: str, **spec: object) -> dict[str, Any]:
        """An InferenceTask of the smallest model, unless `spec` says otherwise."""
        wanted = spec if "source" in spec else {"model": object_name(MODELS[0]), **spec}
        return {
            "apiVersion": "acesniper.io/v1alpha1",
            "kind": "InferenceTask",
            "metadata": {"name": name, "namespace": namespace},
            "spec": wanted,
        }

    def inferences(self, seconds: float, model: str = object_name(MODELS[0])) -> int:
        """So many inferences that the fastest device takes about so many seconds."""
        return max(1, round(seconds / min(device.latency_s[model] for device in self.devices)))

    def wait_for(self, kind: str, what: str, namespace: str, *names: str) -> None:
        """`kubectl wait`."""
        self.system.plane.kubectl(
            "wait",
            f"--for={what}",
            f"--timeout={PATIENCE_S:g}s",
            "-n",
            namespace,
            kind,
            *names,
            timeout_s=PATIENCE_S + 10,
        )

    def finish(self, namespace: str, *names: str) -> dict[str, dict[str, Any]]:
        """Wait until tasks have finished (all of the namespace by default); their statuses."""
        self.wait_for("inferencetask", "condition=Finished", namespace, *(names or ("--all",)))
        return {name: task["status"] for name, task in self.tasks(namespace).items()}

    def tasks(self, namespace: str) -> dict[str, dict[str, Any]]:
        """The InferenceTasks of a namespace, by name."""
        tasks = self.get("inferencetasks", namespace)
        return {task["metadata"]["name"]: task for task in tasks}

    def get(self, kind: str, namespace: str) -> list[dict[str, Any]]:
        """Objects of a kind."""
        text = self.system.plane.kubectl("get", kind, "-n", namespace, "-o", "json")
        objects: list[dict[str, Any]] = json.loads(text)["items"]
        return objects

    def runs(self, namespace: str) -> list[Run]:
        """The runs of a namespace's pods so far."""
        return [run for run in self.emulator.runs.values() if run.namespace == namespace]

    def wait_until(self, holds: Callable[[], bool]) -> None:
        """Wait for something that pods' changes bring about."""
        deadline = time.monotonic() + PATIENCE_S
        with self._changed:
            while not holds():
                if time.monotonic() > deadline:
                    raise TimeoutError(f"did not happen within {PATIENCE_S:g} s")
                self._changed.wait(1.0)

    def backlogs(self, port: int | None = None) -> dict[str, float]:
        """Return the backlog in seconds by device, from the metrics of the extender on `port`."""
        return self.system.backlogs(port)

    def wait_idle(self) -> None:
        """Wait until no task of an earlier test runs or is pending: deletion takes time."""
        self.wait_until(lambda: not any(self.backlogs().values()) and not self._unfinished())

    def _unfinished(self) -> bool:
        text = self.system.plane.kubectl("get", "inferencetasks", "-A", "-o", "json")
        tasks = json.loads(text)["items"]
        return any(task.get("status", {}).get("phase") not in FINISHED for task in tasks)

    def events(self, namespace: str, name: str) -> dict[str, str]:
        """The messages of the events about an object, by reason."""
        return {
            event["reason"]: event["message"]
            for event in self.get("events", namespace)
            if event["involvedObject"]["name"] == name
        }

    def _note(self, _: Run) -> None:
        with self._changed:
            self._changed.notify_all()

    def _exit_code(self, run: Run) -> int:
        codes = self.exit_codes.get(run.task)
        return codes.pop(0) if codes else 0


def overlaps(runs: Iterable[Run]) -> list[tuple[str, str]]:
    """Pairs of pods that ran at the same time on one node."""
    by_node: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        by_node[run.node].append(run)
    found = []
    for runs_of_node in by_node.values():
        runs_of_node.sort(key=lambda run: run.started_s or 0.0)
        for first, second in pairwise(runs_of_node):
            if (first.finished_s or float("inf")) > (second.started_s or 0.0):
                found.append((first.pod, second.pod))
    return found
