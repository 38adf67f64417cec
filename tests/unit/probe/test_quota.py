import pytest

from acesniper.probe.measure import ProbeEffort, cores_allowed, mean_s, measure
from machine import Machine, make_machine

EFFORT = ProbeEffort(rounds=4, item_s=0.02, throttled_item_s=0.5, meter_s=2.0)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return make_machine(monkeypatch)


@pytest.mark.parametrize("quota_s", [0.03, 0.05, 0.08])
def test_the_share_allowed_is_read_to_a_percent(machine: Machine, quota_s: float) -> None:
    machine.now_s = 0.017  # somewhere within a period

    found = cores_allowed(machine.limited(lambda: 0.0007, quota_s), 2.0, None)

    assert found == pytest.approx(quota_s / 0.1, rel=0.01)


def test_a_process_that_is_never_stopped_has_what_it_uses(machine: Machine) -> None:
    assert cores_allowed(machine.item(lambda: 0.01), 1.0, None) == pytest.approx(1.0)


def test_a_share_that_others_took_is_not_put_down_to_the_quota(machine: Machine) -> None:
    contended = machine.limited(lambda: 0.001, 0.02)

    assert cores_allowed(contended, 2.0, 0.5) == 0.5
    assert cores_allowed(contended, 2.0, 0.21) == pytest.approx(0.2, rel=0.01)


@pytest.mark.parametrize("duration_s", [0.0005, 0.003, 0.02])
def test_the_mean_is_over_whole_periods(machine: Machine, duration_s: float) -> None:
    machine.now_s = 0.041

    found = mean_s(machine.limited(lambda: duration_s, 0.03), 0.55)

    assert found == pytest.approx(duration_s / 0.3, rel=0.12)


def test_a_suite_under_a_quota_reads_what_its_items_take_in_the_long_run(machine: Machine) -> None:
    items = {
        "short": machine.limited(lambda: 0.0002, 0.03),
        "long": machine.limited(lambda: 0.04, 0.03),
    }

    found = measure(items, EFFORT, throttled=True, sentinel=machine.limited(lambda: 0.001, 0.03))

    assert found["short"].seconds == pytest.approx(0.0002 / 0.3, rel=0.02)
    assert found["long"].seconds == pytest.approx(0.04 / 0.3, rel=0.02)


def test_an_item_alone_under_a_quota_reads_its_mean(machine: Machine) -> None:
    found = measure({"a": machine.limited(lambda: 0.002, 0.05)}, EFFORT, throttled=True)

    assert found["a"].seconds == pytest.approx(0.004, rel=0.1)
    assert found["a"].spread == 0.0


def test_an_item_that_leaves_its_share_unused_is_not_slowed(machine: Machine) -> None:
    def mostly_waiting() -> None:
        machine.now_s += 0.01
        machine.cpu_s += 0.001

    found = measure(
        {"a": mostly_waiting},
        EFFORT,
        throttled=True,
        sentinel=machine.limited(lambda: 0.001, 0.05),
    )

    assert found["a"].seconds == pytest.approx(0.01)
