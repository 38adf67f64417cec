"""Components are killed during a workload: no task is lost, no task runs twice."""

from collections import Counter

import pytest

from acesniper.testbed.deployment import EXTENDER, OPERATOR, SCHEDULER
from fleet_of_five import FleetOfFive, overlaps

TASKS = 30


@pytest.mark.parametrize(
    "victims",
    [(SCHEDULER,), (OPERATOR, EXTENDER)],
    ids=["scheduler", "operator and extender"],
)
def test_a_kill_during_a_workload_loses_and_duplicates_nothing(
    fleet: FleetOfFive, namespace: str, victims: tuple[str, ...]
) -> None:
    fleet.add_models(namespace)
    inferences = {model: fleet.inferences(0.5, model) for model in fleet.sources}
    models = list(fleet.sources) * (TASKS // len(fleet.sources))
    tasks = [
        fleet.task(f"t{number:02d}", namespace, model=model, inferences=inferences[model])
        for number, model in enumerate(models)
    ]

    fleet.apply(tasks[: TASKS // 2])
    fleet.wait_until(lambda: len(fleet.runs(namespace)) >= 5)
    for victim in victims:
        fleet.system.kill(victim)
    fleet.apply(tasks[TASKS // 2 :])
    for victim in victims:
        fleet.system.restart(victim)
    statuses = fleet.finish(namespace)

    runs = fleet.runs(namespace)
    assert len(statuses) == TASKS
    assert {status["phase"] for status in statuses.values()} == {"Succeeded"}
    assert set(Counter(run.task for run in runs).values()) == {1}, "every task ran exactly once"
    assert len(runs) == TASKS
    assert not overlaps(runs)
    assert all(status["attempts"] == 0 for status in statuses.values())
    assert len(fleet.get("pods", namespace)) == TASKS


def test_a_rebuilt_ledger_equals_the_live_one(fleet: FleetOfFive, namespace: str) -> None:
    fleet.add_model(namespace)
    fleet.wait_idle()
    long = fleet.inferences(600)
    fleet.apply(
        fleet.task(
            f"long-{number}",
            namespace,
            inferences=long,
            nodeSelector={"kubernetes.io/hostname": device.node},
        )
        for number, device in enumerate(fleet.devices[:3])
    )
    fleet.wait_until(lambda: len(fleet.runs(namespace)) == 3)
    live = fleet.backlogs()

    fleet.system.kill(EXTENDER)
    fleet.system.restart(EXTENDER)

    rebuilt = fleet.backlogs()
    fleet.system.plane.kubectl("delete", "itask", "-n", namespace, "--all")
    assert sum(seconds > 0 for seconds in live.values()) == 3
    assert rebuilt.keys() == live.keys()
    for device, seconds in live.items():
        # They are read one after the other, and Kubernetes' start times are whole seconds.
        assert rebuilt[device] == pytest.approx(seconds, abs=30)
