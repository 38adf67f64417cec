"""A real Prometheus on a real control plane: dashboard queries have data, and alerts fire."""

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
"""Emulated pods load nothing: the series exists without a value."""


@pytest.fixture(scope="module")
def prometheus(
    fleet: FleetOfFive, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    """Started once predictions match the latencies: learning them may count as drift.

    Two namespaces learn, because the others do not follow a single one.
    """
    folder = tmp_path_factory.mktemp("prometheus")
    system = fleet.system
    namespaces = [f"warm-up-{number}-{folder.name}" for number in range(2)]
    for namespace in namespaces:
        system.plane.kubectl("create", "namespace", namespace)
        fleet.learn_latencies(namespace)
    parts = {"extender": system.extender_port, "operator": system.metrics_port}
    yield Prometheus.start(system.plane, parts, fast_rules(folder), folder)
    system.plane.stop("prometheus")
    # Not earlier: without their ModelProfiles, what they observed does not count.
    system.plane.kubectl("delete", "namespace", *namespaces, "--wait=false")


def queries() -> dict[str, str]:
    """Every query of the shipped dashboard, by panel and letter, with its variables replaced."""
    expressions = {}
    for panel in json.loads(BOARD.read_text())["panels"]:
        for target in panel.get("targets", []):
            expression = target["expr"]
            for name, value in VARIABLES.items():
                expression = expression.replace(name, value)
            expressions[f"{panel['title']} {target['refId']}"] = expression
    return expressions


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

    results = {
        name: [float(sample["value"][1]) for sample in prometheus.query(expression)]
        for name, expression in queries().items()
    }

    assert [name for name, values in results.items() if not values] == []
    without = {name[:-2] for name, values in results.items() if all(map(isnan, values))}
    assert without <= NO_NUMBER
    assert prometheus.firing() == set()


def test_labels_have_the_declared_values(prometheus: Prometheus) -> None:
    """The documented number of series depends on it."""
    prometheus.wait_until(lambda: bool(prometheus.query("acesniper_planner_down")))
    for declaration in all_declarations():
        for label in declaration.labels:
            assert undeclared(prometheus, declaration.series_names[0], label) == set()


def undeclared(prometheus: Prometheus, series: str, label: Label) -> set[str]:
    if label.per:
        return set()
    values = {sample["metric"].get(label.name, "") for sample in prometheus.query(series)}
    return values - set(label.values)


def test_alerts_fire_for_injected_faults_and_stop_once_they_are_fixed(
    fleet: FleetOfFive, prometheus: Prometheus, namespace: str
) -> None:
    fleet.add_model(namespace)
    fleet.wait_idle()
    profile = fleet.devices[0].profile
    old = {**profile, "metadata": {"name": "measured-long-ago"}, "spec": {"node": "is-gone"}}
    old["status"] = {**profile["status"], "measuredAt": "2020-01-01T00:00:00Z"}
    fleet.apply([old])
    fleet.apply([old], "--subresource=status")
    long = fleet.inferences(300)  # on the slowest device, below the limit of a task
    fleet.apply(
        fleet.task(
            f"busy-{number}",
            namespace,
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

    def fires() -> bool:
        """The alert is for a rate, so there is another such pod in every round."""
        name = f"foreign-{next(numbers)}"
        fleet.apply([pod(name, namespace, **{MODEL_LABEL: "unknown-model"})])
        return expected <= prometheus.firing()

    prometheus.wait_until(fires)
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


def test_alerts_fire_when_latencies_differ_from_predictions(
    fleet: FleetOfFive, prometheus: Prometheus, namespace: str
) -> None:
    """Devices are five times slower for one batch of tasks, and unchanged for the next.

    Tasks run in two namespaces, because one alone does not show a drift.
    """
    other = f"{namespace}-2"
    fleet.system.plane.kubectl("create", "namespace", other)
    for tenant in (namespace, other):
        fleet.add_model(tenant)
    fleet.wait_idle()
    steady = dict(fleet.emulator.latencies)
    slow = {key: 5 * seconds for key, seconds in steady.items()}
    expected = {
        "AcesniperPredictionErrorHigh",
        "AcesniperIntervalCoverageLow",
        "AcesniperDeviceDrifted",
    }
    fired: set[str] = set()
    batches = count()

    def fires() -> bool:
        batch = next(batches)
        fleet.emulator.latencies = steady if batch % 2 else slow
        fleet.apply(
            fleet.task(f"odd-{batch}-{number}", tenant, inferences=fleet.inferences(0.1))
            for number in range(10)
            for tenant in (namespace, other)
        )
        fleet.finish(namespace)
        fleet.finish(other)
        fired.update(prometheus.firing())
        return expected <= fired

    try:
        prometheus.wait_until(fires)
    finally:
        fleet.emulator.latencies = steady
        fleet.system.plane.kubectl("delete", "namespace", other, "--wait=false")
        fleet.forget(*fleet.devices)


def test_an_alert_fires_while_the_operator_cannot_reconcile(
    fleet: FleetOfFive, prometheus: Prometheus, namespace: str
) -> None:
    fleet.add_model(namespace)
    fleet.wait_idle()
    system = fleet.system
    with (
        FaultProxy(system.plane, OPERATOR) as proxy,
        system.rerouted({OPERATOR: proxy.kubeconfig}, {}),
    ):
        proxy.faults.share = 0.3  # with more, it could not renew its lease
        batches = count()

        def fires() -> bool:
            """Retries back off, so each round adds tasks."""
            batch = next(batches)
            fleet.apply(
                fleet.task(f"hard-{batch}-{number}", namespace, inferences=1) for number in range(3)
            )
            return "AcesniperReconcileErrors" in prometheus.firing()

        prometheus.wait_until(fires)
        proxy.faults.share = 0.0
        statuses = fleet.finish(namespace)

    assert {status["phase"] for status in statuses.values()} == {"Succeeded"}


def test_an_alert_fires_when_a_restarted_watch_stalls_again(
    fleet: FleetOfFive, prometheus: Prometheus
) -> None:
    """Unlike the alert's range, the threshold of three minutes is not shortened."""
    system = fleet.system
    with (
        FaultProxy(system.plane, EXTENDER) as proxy,
        system.rerouted({EXTENDER: proxy.kubeconfig}, {}),
    ):
        prometheus.wait_until(lambda: not prometheus.firing())
        proxy.faults.stalled = True

        prometheus.wait_until(lambda: "AcesniperWatchStalled" in prometheus.firing(), timeout_s=300)

        assert proxy.stalled_watches > 0
    prometheus.wait_until(lambda: "AcesniperWatchStalled" not in prometheus.firing())


def pod(name: str, namespace: str, **labels: str) -> dict[str, object]:
    """A pod without an owner that requests our scheduler."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "schedulerName": "ace-sniper",
            "containers": [{"name": "main", "image": "example"}],
        },
    }
