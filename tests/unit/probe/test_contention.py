import itertools
import subprocess
import sys
from types import SimpleNamespace

import pytest

from acesniper.probe import contention
from acesniper.probe.contention import sustained, with_busy_neighbour
from machine import Machine, make_machine


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return make_machine(monkeypatch)


def test_sustained_readings_show_thermal_throttling(machine: Machine) -> None:
    item = machine.item(lambda: 0.01 if machine.now_s < 2 else 0.015)

    assert sustained({"a": item}, heat_s=4.0, alone=True) == {"a": pytest.approx(0.015)}


def test_interrupted_runs_do_not_count_as_sustained(machine: Machine) -> None:
    item = machine.interrupted(lambda: 0.01, itertools.cycle([0.05, 0.05, 0.0]))

    assert sustained({"a": item}, heat_s=4.0, alone=True) == {"a": pytest.approx(0.01)}


def test_an_always_interrupted_item_has_its_cpu_time_or_no_reading(
    machine: Machine,
) -> None:
    item = machine.interrupted(lambda: 0.01, itertools.repeat(0.05))

    assert sustained({"a": item}, heat_s=4.0, alone=True) == {"a": pytest.approx(0.01)}
    assert sustained({"a": item}, heat_s=4.0, alone=False) == {}


def test_the_neighbour_reports_ready_and_ends_with_its_parent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parents = iter((7, 7, 7, 1))
    system = SimpleNamespace(environ={}, getppid=lambda: next(parents))
    monkeypatch.setattr(contention, "os", system)

    contention.main()

    assert capsys.readouterr().out.strip() == contention.READY
    assert list(parents) == []


def test_without_a_neighbour_there_is_no_contended_reading(machine: Machine) -> None:
    silent = (sys.executable, "-c", "pass")

    assert with_busy_neighbour({"a": machine.item(lambda: 0.01)}, 1.0, silent) == {}


def test_the_neighbour_ends_with_the_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[str]] = []

    class Watched(subprocess.Popen[str]):
        def __init__(self, *args: object, **options: object) -> None:
            super().__init__(*args, **options)  # type: ignore[call-overload]  # passed on
            started.append(self)

    monkeypatch.setattr("subprocess.Popen", Watched)

    readings = with_busy_neighbour({"a": lambda: None}, 0.0001)

    assert readings["a"] > 0
    assert started[0].returncode is not None
