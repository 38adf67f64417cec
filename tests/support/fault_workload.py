"""A workload that goes on while things break, and what must hold when it is over."""

from dataclasses import dataclass, field

import pytest

from acesniper.testbed.faults.audit import audit, rebuilt_backlogs
from fleet_of_five import FleetOfFive

LEDGER_S = 5.0
"""Two ledgers of the same pods are this near: they are asked one after the other, and the API
server keeps whole seconds."""


@dataclass
class FaultWorkload:
    """Short tasks of every model, applied a few at a time."""

    fleet: FleetOfFive
    namespace: str
    names: list[str] = field(default_factory=list)

    def apply(self, number: int) -> None:
        """So many tasks more."""
        models = list(self.fleet.sources)
        tasks = []
        for _ in range(number):
            model = models[len(self.names) % len(models)]
            self.names.append(f"t{len(self.names):03d}")
            tasks.append(
                self.fleet.task(
                    *(self.names[-1], self.namespace),
                    model=model,
                    inferences=self.fleet.inferences(0.5, model),
                )
            )
        self.fleet.apply(tasks)

    def has_run(self, number: int) -> None:
        """Wait until so many have started."""
        self.fleet.wait_until(lambda: len(self.fleet.runs(self.namespace)) >= number)

    def check(self) -> None:
        """Every task ended well, once; nothing is left; the ledger is what a new one would be."""
        statuses = self.fleet.finish(self.namespace)
        self.fleet.wait_idle()
        found = audit(
            self.names,
            self.fleet.get("inferencetasks", self.namespace),
            self.fleet.get("pods", self.namespace),
            self.fleet.runs(self.namespace),
            self.fleet.backlogs(),
        )
        assert not found, found
        assert set(statuses) == set(self.names)
        self._check_ledger()

    def _check_ledger(self) -> None:
        """With long tasks, so that there is something to compare."""
        namespace = self.namespace
        names = [f"long-{number}" for number in range(3)]
        started = len(self.fleet.runs(namespace)) + len(names)
        self.fleet.apply(
            self.fleet.task(
                *(name, namespace),
                inferences=self.fleet.inferences(600),
                nodeSelector={"kubernetes.io/hostname": device.node},
            )
            for name, device in zip(names, self.fleet.devices, strict=False)
        )
        self.fleet.wait_until(lambda: len(self.fleet.runs(namespace)) == started)
        live = self.fleet.backlogs()
        rebuilt = rebuilt_backlogs(self.fleet.system.plane.kubeconfig("admin"))
        self.fleet.system.plane.kubectl("delete", "itask", "-n", namespace, *names)
        assert sum(each > 0 for each in live.values()) == len(names)
        assert rebuilt == pytest.approx(live, abs=LEDGER_S)
