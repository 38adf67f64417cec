"""The feasibility rules agree with the real kube-scheduler."""

from acesniper.testbed import ControlPlane
from acesniper.testbed.agreement.compare import compare
from acesniper.testbed.agreement.pairs import PairGenerator

PAIRS = 120


def test_the_rules_agree_with_kube_scheduler(control_plane: ControlPlane, namespace: str) -> None:
    generator = PairGenerator(seed=15, namespace=namespace)

    compared = compare(control_plane, namespace, [generator.pair(i) for i in range(PAIRS)])

    different = [
        f"{item.pair.number} {item.pair.topics}: bound {item.bound} {item.message!r}, "
        f"computed {item.verdict}"
        for item in compared
        if not item.agrees
    ]
    assert different == []
    bound = sum(item.bound for item in compared)
    assert PAIRS / 5 < bound < 4 * PAIRS / 5, "both answers have to be frequent"
