"""A real Prometheus beside a real run: every query of the dashboard has data, and alerts ring."""

import json
from collections.abc import Iterator
from itertools import count
from math import isnan

import pytest

from acesniper.api.names import MODEL_LABEL
from acesniper.runtime.metrics import Label
from acesniper.testbed.chart.generated import all_declarations
from acesniper.testbed.deployment import EXTENDER, OPERATOR, ROOT
from acesniper.testbed.faults.proxy import FaultProxy
from acesniper.testbed.prometheus import Prometheus
from fast_rules import fast_rules
from fleet_of_five import FleetOfFive

BOARD = ROOT / "charts/acesniper/dashboards/acesniper.json"
VARIABLES = {"$provider": ".*", "$__rate_interval": "30s", "$__range": "5m"}
NO_NUMBER = {"Cold start"}
"""Emulated pods load nothing: there is a series, without a value."""


@pytest.fixture(scope="module")
def prometheus(
    fleet: FleetOfFive, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    folder = tmp_path_factory.mktemp("prometheus")
    system = fleet.system
    parts = {"extender": system.extender_port, "operator": system.metrics_port}
    yield Prometheus.start(system.plane, parts, fast_rules(folder), folder)
    system.plane.stop("prometheus")


def queries() -> dict[str, str]:
    """Every query of the shipped dashboard by panel and letter, its variables filled."""
    found = {}
    for panel in json.loads(BOARD.read_text())["panels"]:
        for target in panel.get("targets", []):
            expression = target["expr"]
            for name, value in VARIABLES.items():
                expression = expression.replace(name, value)
            found[f"{panel['title']} {target['refId']}"] = expression
    return found


def test_every_query_of_the_dashboard_has_data_and_no_alert_fires(
    fleet: FleetOfFive, prometheus: Prometheus, namespace: str
) -> None:
    fleet.add_models(namespace)
    fleet.exit_codes["fails"] = [1]
    models = [model for model in fleet.sources for _ in range(4)]
    names = ["fails", *(f"t{number:02d}" for number in range(1, len(models)))]
    fleet.apply(
        fleet.task(name, namespace, model=model, inferences=fleet.inferences(0.5, model))
        for name, model in zip(names, models, strict=True)
    )
    fleet.apply([pod("plain", namespace)])
    fleet.finish(namespace)
    succeeded = f'acesniper_task_phases_total{{phase="Succeeded"}} >= {len(names)}'
    prometheus.wait_until(lambda: bool(prometheus.query(succeeded)))

    found = {
        name: [float(each["value"][1]) for each in prometheus.query(expression)]
        for name, expression in queries().items()
    }

    assert [name for name, values in found.items() if not values] == []
    without = {name[:-2] for name, values in found.items() if all(map(isnan, values))}
    assert without <= NO_NUMBER
    assert prometheus.firing() == set()


def test_labels_have_the_values_that_were_declared(prometheus: Prometheus) -> None:
    """What is stated of the number of series rests on it."""
    prometheus.wait_until(lambda: bool(prometheus.query("acesniper_planner_away")))
    for declaration in all_declarations():
        for label in declaration.labels:
            assert strays(prometheus, declaration.series_names[0], label) == set()


def strays(prometheus: Prometheus, series: str, label: Label) -> set[str]:
    if label.per:
        return set()
    found = {each["metric"].get(label.name, "") for each in prometheus.query(series)}
    return found - set(label.values)


def test_alerts_ring_for_what_was_broken_and_stop_when_it_is_mended(
    fleet: FleetOfFive, prometheus: Prometheus, namespace: str
) -> None:
    fleet.add_models(namespace)
    fleet.wait_idle()
    profile = fleet.devices[0].profile
    old = {**profile, "metadata": {"name": "measured-long-ago"}, "spec": {"node": "is-gone"}}
    old["status"] = {**profile["status"], "measuredAt": "2020-01-01T00:00:00Z"}
    fleet.apply([old])
    fleet.apply([old], "--subresource=status")
    long = fleet.inferences(600)
    fleet.apply(
        fleet.task(
            *(f"busy-{number}", namespace),
            inferences=long,
            nodeSelector={"kubernetes.io/hostname": device.node},
        )
        for number, device in enumerate(fleet.devices)
    )
    fleet.wait_until(lambda: len(fleet.runs(namespace)) == len(fleet.devices))

    fleet.apply([fleet.task("late", namespace, deadline="1s")])
    expected = {
        "AcesniperProfileStale",
        "AcesniperTasksOverdue",
        "AcesniperPlacedWithoutPrediction",
    }
    numbers = count()

    def rings() -> bool:
        """Every now and then there is another one, or it would not be worth an alert."""
        name = f"stranger-{next(numbers)}"
        fleet.apply([pod(name, namespace, **{MODEL_LABEL: "nobody-knows"})])
        return expected <= prometheus.firing()

    prometheus.wait_until(rings)
    fleet.system.kill(EXTENDER)
    try:
        away = {"AcesniperExtenderDown", "AcesniperPlannerDown"}
        prometheus.wait_until(lambda: away <= prometheus.firing())
    finally:
        fleet.system.restart(EXTENDER)
    fleet.system.kill(OPERATOR)
    try:
        prometheus.wait_until(lambda: "AcesniperOperatorDown" in prometheus.firing())
    finally:
        fleet.system.restart(OPERATOR)
    fleet.system.plane.kubectl("delete", "dprof", "measured-long-ago")
    fleet.system.plane.kubectl("delete", "itask,pod", "-n", namespace, "--all")

    prometheus.wait_until(lambda: not prometheus.firing())


def test_alerts_ring_when_nothing_takes_what_was_predicted(
    fleet: FleetOfFive, prometheus: Prometheus, namespace: str
) -> None:
    """Devices are five times as slow for one batch of tasks, and themselves for the next."""
    fleet.add_models(namespace)
    fleet.wait_idle()
    steady = dict(fleet.emulator.latencies)
    slow = {key: 5 * seconds for key, seconds in steady.items()}
    expected = {
        *("AcesniperPredictionErrorHigh", "AcesniperIntervalCoverageLow"),
        "AcesniperDeviceDrifted",
    }
    rung: set[str] = set()
    batches = count()

    def rings() -> bool:
        batch = next(batches)
        fleet.emulator.latencies = steady if batch % 2 else slow
        fleet.apply(
            fleet.task(f"odd-{batch}-{number}", namespace, inferences=fleet.inferences(0.1))
            for number in range(10)
        )
        fleet.finish(namespace)
        rung.update(prometheus.firing())
        return expected <= rung

    try:
        prometheus.wait_until(rings)
    finally:
        fleet.emulator.latencies = steady
        fleet.forget(*fleet.devices)


def test_an_alert_rings_while_the_operator_cannot_do_its_work(
    fleet: FleetOfFive, prometheus: Prometheus, namespace: str
) -> None:
    fleet.add_models(namespace)
    fleet.wait_idle()
    system = fleet.system
    with (
        FaultProxy(system.plane, OPERATOR) as proxy,
        system.rerouted({OPERATOR: proxy.kubeconfig}, {}),
    ):
        proxy.faults.share = 0.3  # with more, it cannot hold its lease either, and stands by
        batches = count()

        def rings() -> bool:
            """What failed is tried again less and less often, so that there is always more."""
            batch = next(batches)
            fleet.apply(
                fleet.task(f"hard-{batch}-{number}", namespace, inferences=1) for number in range(3)
            )
            return "AcesniperReconcileErrors" in prometheus.firing()

        prometheus.wait_until(rings)
        proxy.faults.share = 0.0
        statuses = fleet.finish(namespace)

    assert {each["phase"] for each in statuses.values()} == {"Succeeded"}


def test_an_alert_rings_when_a_watch_hears_nothing_even_after_it_was_opened_anew(
    fleet: FleetOfFive, prometheus: Prometheus
) -> None:
    """Only how long the alert stays is in fast motion: the silence takes its three minutes."""
    system = fleet.system
    with (
        FaultProxy(system.plane, EXTENDER) as proxy,
        system.rerouted({EXTENDER: proxy.kubeconfig}, {}),
    ):
        prometheus.wait_until(lambda: not prometheus.firing())
        proxy.faults.deaf = True

        prometheus.wait_until(lambda: "AcesniperWatchStalled" in prometheus.firing(), timeout_s=300)

        assert proxy.deafened > 0
    prometheus.wait_until(lambda: "AcesniperWatchStalled" not in prometheus.firing())


def pod(name: str, namespace: str, **labels: str) -> dict[str, object]:
    """A pod of nobody's that asks for our scheduler."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "schedulerName": "ace-sniper",
            "containers": [{"name": "main", "image": "example"}],
        },
    }
