"""Simulated machine whose clocks advance only while an item runs."""

import math
from collections.abc import Callable, Iterable

import pytest

from acesniper.probe import measure

Run = Callable[[], None]


class Machine:
    """Double of the module `time` and of the kernel's count of preemptions."""

    def __init__(self) -> None:
        self.now_s = self.cpu_s = 0.0
        self.interruptions = 0

    def perf_counter(self) -> float:
        return self.now_s

    def process_time(self) -> float:
        return self.cpu_s

    def item(self, duration: Callable[[], float]) -> Run:
        """An item whose duration is drawn for each run."""

        def run() -> None:
            seconds = duration()
            self.now_s += seconds
            self.cpu_s += seconds

        return run

    def interrupted(self, duration: Callable[[], float], away: Iterable[float]) -> Run:
        """An item that is preempted for a while in each run; 0 for no preemption."""
        run, absences = self.item(duration), iter(away)

        def interrupted() -> None:
            run()
            absence = next(absences)
            self.now_s += absence
            self.interruptions += absence > 0

        return interrupted

    def limited(self, duration: Callable[[], float], quota_s: float, period_s: float = 0.1) -> Run:
        """An item of a process with `quota_s` of CPU time per period."""

        def run() -> None:
            left_s = duration()
            while left_s > 1e-12:
                periods = math.floor(self.now_s / period_s + 1e-6)
                allowed_s = periods * period_s + quota_s - self.now_s
                if allowed_s < 1e-9:
                    self.now_s = (periods + 1) * period_s
                    continue
                step = min(left_s, allowed_s)
                self.now_s += step
                self.cpu_s += step
                left_s -= step

        return run


def make_machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Replace the clocks of `measure` by those of a simulated machine."""
    machine = Machine()
    monkeypatch.setattr(measure, "time", machine)
    monkeypatch.setattr(measure, "involuntary_switches", lambda: machine.interruptions)
    return machine
