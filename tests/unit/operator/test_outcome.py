"""What a finished pod tells, also where its node's clock is wrong."""

from typing import Any

import pytest

from acesniper.api.units import epoch_s, rfc3339
from acesniper.operator.task.termination import observed_outcome
from builders import make_pod

BOUND_S = 10_000.0


def finished(skew_s: float, *, late_s: float = 0.0) -> dict[str, Any]:
    """Taken `late_s` after its binding, started 1 s later, ended 5 s later, by its node's clock."""
    taken_s = BOUND_S + late_s + skew_s
    ended = {"startedAt": rfc3339(taken_s + 1.0), "finishedAt": rfc3339(taken_s + 6.0)}
    pod = make_pod(node="n", phase="Succeeded", terminated=ended, started=rfc3339(taken_s))
    bound = {"type": "PodScheduled", "status": "True", "lastTransitionTime": rfc3339(BOUND_S)}
    pod["status"]["conditions"] = [bound]
    return pod


@pytest.mark.parametrize("skew_s", [-86400.0, -3600.0, -1.0, 0.0, 1.0, 3600.0, 86400.0])
def test_times_are_those_of_the_api_server_whatever_the_nodes_clock_says(skew_s: float) -> None:
    created_s, now_s = BOUND_S - 4.0, BOUND_S + 7.0

    seen, _ = observed_outcome(None, finished(skew_s), created_s, now_s)

    assert seen.container_seconds == pytest.approx(1.0, abs=1.0)
    assert seen.wait_seconds == pytest.approx(5.0, abs=1.0)
    assert epoch_s(str(seen.finish_time)) == pytest.approx(BOUND_S + 6.0, abs=1.0)


def test_a_node_that_took_its_pod_late_has_no_wrong_clock() -> None:
    now_s = BOUND_S + 607.0

    seen, _ = observed_outcome(None, finished(0.0, late_s=600.0), BOUND_S, now_s)

    assert (seen.container_seconds, seen.wait_seconds) == (601.0, 601.0)
