"""An API server that takes two seconds for each request."""

import json

from acesniper.api.names import OPERATOR_LEASE, SLOW_REQUESTS_ANNOTATION
from acesniper.testbed.deployment import OPERATOR
from acesniper.testbed.faults.proxy import FaultProxy
from fleet_of_five import FleetOfFive

DELAY_S = 2.0


def test_the_operator_keeps_its_lease_and_finishes_tasks(
    fleet: FleetOfFive, namespace: str
) -> None:
    system = fleet.system
    fleet.add_model(namespace)
    with (
        FaultProxy(system.plane, OPERATOR) as proxy,
        system.rerouted({OPERATOR: proxy.kubeconfig}, {}),
    ):
        proxy.faults.delay_s = DELAY_S

        def is_longer() -> bool:
            text = system.plane.kubectl(
                "get", "lease", OPERATOR_LEASE, "-n", system.namespace, "-o", "json"
            )
            lease = json.loads(text)
            slow = (lease["metadata"].get("annotations") or {}).get(SLOW_REQUESTS_ANNOTATION)
            duration_s = lease["spec"]["leaseDurationSeconds"]
            return slow is not None and duration_s >= 8 * DELAY_S

        system.plane.children[OPERATOR].wait_until(is_longer)
        fleet.apply([fleet.task("slow", namespace, inferences=1)])
        status = fleet.finish(namespace, "slow")["slow"]
        proxy.faults.delay_s = 0.0

    assert status["phase"] == "Succeeded"
