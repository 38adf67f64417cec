"""A workload that continues during faults, and the checks after it."""

from dataclasses import dataclass, field

import pytest

from acesniper.testbed.faults.audit import audit, rebuilt_backlogs
from fleet_of_five import FleetOfFive

LEDGER_S = 5.0
"""Maximum difference of two ledgers of the same pods: they are read one after the other, and the
API server stores whole seconds."""


@dataclass
class FaultWorkload:
    """Short tasks of all models, applied a few at a time."""

    fleet: FleetOfFive
    namespace: str
    names: list[str] = field(default_factory=list)

    def apply(self, number: int) -> None:
        """Apply a number of tasks."""
        models = list(self.fleet.sources)
        tasks = []
        for _ in range(number):
            model = models[len(self.names) % len(models)]
            self.names.append(f"t{len(self.names):03d}")
            tasks.append(
                self.fleet.task(
                    self.names[-1],
                    self.namespace,
                    model=model,
                    inferences=self.fleet.inferences(0.5, model),
                )
            )
        self.fleet.apply(tasks)

    def wait_started(self, number: int) -> None:
        """Wait until a number of tasks has started."""
        self.fleet.wait_until(lambda: len(self.fleet.runs(self.namespace)) >= number)

    def check(self) -> None:
        """Check that every task succeeded once, nothing leaked, and the ledger matches the pods."""
        statuses = self.fleet.finish(self.namespace)
        self.fleet.wait_idle()
        violations = audit(
            self.names,
            self.fleet.get("inferencetasks", self.namespace),
            self.fleet.get("pods", self.namespace),
            self.fleet.runs(self.namespace),
            self.fleet.backlogs(),
        )
        assert not violations, violations
        assert set(statuses) == set(self.names)
        self._check_ledger()

    def _check_ledger(self) -> None:
        """Compare ledgers with long tasks, whose backlog is not empty."""
        namespace = self.namespace
        names = [f"long-{number}" for number in range(3)]
        started = len(self.fleet.runs(namespace)) + len(names)
        self.fleet.apply(
            self.fleet.task(
                name,
                namespace,
                inferences=self.fleet.inferences(600),
                nodeSelector={"kubernetes.io/hostname": device.node},
            )
            for name, device in zip(names, self.fleet.devices, strict=False)
        )
        self.fleet.wait_until(lambda: len(self.fleet.runs(namespace)) == started)
        live = self.fleet.backlogs()
        system = self.fleet.system
        rebuilt = rebuilt_backlogs(system.plane.kubeconfig("admin"), system.decision_key())
        self.fleet.system.plane.kubectl("delete", "itask", "-n", namespace, *names)
        assert sum(seconds > 0 for seconds in live.values()) == len(names)
        assert rebuilt == pytest.approx(live, abs=LEDGER_S)
